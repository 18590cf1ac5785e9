# Every C declaration that the bindings use: one block per header, lowest layer first.
# The compiler does not notice a mistake here; tests/test_bindings.py compares it with the headers.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "status.h" nogil:
    enum: FC_OK
    enum: FC_ERROR_SYSTEM
    enum: FC_ERROR_MEMORY
    enum: FC_ERROR_PROGRAM
    enum: FC_ERROR_CANCELLED
    enum: FC_ERROR_SHRUNK
    enum: FC_ERROR_ARGUMENT
    enum: FC_ERROR_EXISTS
    const char *fc_status_text(int status)

cdef extern from "bytes.h" nogil:
    # for pointers to bool; a bint is an int
    ctypedef unsigned char fc_bool "bool"

cdef extern from "cancel.h" nogil:
    struct fc_cancel:
        pass
    void fc_cancel_set(fc_cancel *cancel)
    bint fc_cancel_is_set(const fc_cancel *cancel)

cdef extern from "frame.h" nogil:
    struct fc_frame:
        const uint8_t *bytes
        uint32_t captured
        uint32_t wire
        bint tagged

cdef extern from "pcap.h" nogil:
    struct fc_pcap_layout:
        bint swapped
        bint nanoseconds
        uint32_t snaplen
        uint32_t max_captured

cdef extern from "pcapng.h" nogil:
    struct fc_pcapng_walk:
        uint64_t blocks
        uint64_t frames
        int64_t first_ns
        int64_t last_ns
    size_t fc_pcapng_walk_on(fc_pcapng_walk *walk, const uint8_t *bytes, size_t length,
                             fc_bool *damaged)

cdef extern from "record.h" nogil:
    struct fc_record_format:
        bint pcapng
        bint nanoseconds

cdef extern from "buffer.h" nogil:
    struct fc_buffer:
        uint8_t *bytes
        size_t length
        size_t capacity
    void fc_buffer_free(fc_buffer *buffer)

cdef extern from "scan.h" nogil:
    enum fc_scan_stop:
        FC_SCAN_CALLER
    struct fc_scan:
        const uint8_t *bytes
        size_t length
        size_t offset
        fc_pcap_layout layout
    struct fc_scan_summary:
        uint64_t frames
        int64_t first_ns
        int64_t last_ns
    void fc_scan_take(fc_scan *scan, uint64_t room, bint at_least_one, fc_scan_summary *summary)
    bint fc_scan_is_cut(fc_scan_stop stop)
    const char *fc_scan_damage_text(fc_scan_stop stop)

cdef extern from "convert.h" nogil:
    struct fc_convert:
        # "from" is a word of Python's
        fc_pcap_layout from_ "from"
        fc_pcap_layout to

cdef extern from "set.h" nogil:
    struct fc_ranges:
        const uint32_t *pairs
        uint32_t count

cdef extern from "wide_set.h" nogil:
    struct fc_wide_ranges:
        const uint8_t *pairs
        uint32_t count
        uint32_t width

cdef extern from "code.h" nogil:
    enum: FC_CODE_ABI
    struct fc_frame_tags:
        pass
    struct fc_code_group:
        pass
    ctypedef uint32_t fc_code_run(const fc_frame *frame, const fc_frame_tags *tags)
    ctypedef void fc_code_judge(const fc_code_group *group, uint64_t frames, uint64_t *taken)

cdef extern from "program.h" nogil:
    struct fc_instruction:
        pass
    struct fc_pattern:
        const uint8_t *bytes
        uint32_t length
    struct fc_program_source:
        const fc_instruction *instructions
        size_t count
        const fc_ranges *sets
        size_t set_count
        const fc_wide_ranges *wide_sets
        size_t wide_set_count
        const fc_pattern *patterns
        size_t pattern_count
        uint32_t tags_at
    struct fc_program:
        pass
    int fc_program_new(const fc_program_source *source, fc_program **program, size_t *bad)
    void fc_program_free(fc_program *program)
    void fc_program_use(fc_program *program, fc_code_run *code)
    uint32_t fc_program_run(const fc_program *program, const fc_frame *frame)

cdef extern from "columns.h" nogil:
    struct fc_columns:
        int64_t *timestamps
        uint32_t *captured
        uint32_t *wire
        int64_t *offsets
        size_t count
    int fc_columns_fill(fc_columns *columns, fc_scan *scan, fc_scan_stop *stop)
    void fc_columns_free(fc_columns *columns)

cdef extern from "writer.h" nogil:
    enum:
        FC_WRITER_BLOCK
    struct fc_writer:
        uint64_t written
        size_t used
    int fc_writer_open(fc_writer *writer, int fd, size_t room, const fc_cancel *cancel)
    int fc_writer_append(fc_writer *writer, const uint8_t *bytes, size_t length)
    int fc_writer_write(fc_writer *writer, const uint8_t *bytes, size_t length)
    int fc_writer_flush(fc_writer *writer)
    void fc_writer_close(fc_writer *writer)
    int fc_writer_publish(const char *temporary, const char *name, bint replace)

cdef extern from "summary.h" nogil:
    enum: FC_SUMMARY_PROTOCOLS
    struct fc_summary_row:
        uint64_t second
        uint64_t protocol
        uint64_t frames
        uint64_t bytes
    struct fc_summary:
        fc_summary_row *rows
        size_t count
    const char *fc_summary_name(uint32_t protocol)
    void fc_summary_free(fc_summary *summary)

cdef extern from "postfilter.h" nogil:
    struct fc_postfilter:
        fc_convert convert
        const fc_program *const *programs
        uint32_t outputs
        fc_code_judge *code
        bint rest
        bint keep
        bint summary
        const fc_program *skipping
        int64_t since_ns
        int64_t until_ns
        uint32_t sample
        uint32_t link
        uint64_t limit
        uint64_t most_kept
        const fc_cancel *cancel
    struct fc_postfilter_kept:
        fc_scan_summary matched
        fc_buffer records
    struct fc_postfilter_result:
        uint64_t frames_read
        uint64_t frames_taken
        uint64_t start
        uint64_t end
        fc_scan_stop stop
        bint filled
        uint64_t tagged_missed
        uint64_t chains_redone
        fc_summary summary
        fc_postfilter_kept *kept
    int fc_postfilter_range(const fc_postfilter *postfilter, int fd, uint64_t start, uint64_t stop,
                            uint64_t size, bint guess, fc_postfilter_result *result)
    int fc_postfilter_bytes(const fc_postfilter *postfilter, const uint8_t *bytes, size_t length,
                            fc_postfilter_result *result)

cdef extern from "ring.h" nogil:
    enum: FC_RING_TIMEOUT_MS
    struct fc_ring_filter:
        const void *instructions
        size_t count
    struct fc_ring_settings:
        int interface
        uint32_t block_size
        uint32_t block_count
        bint promiscuous
        bint ignore_outgoing
    struct fc_ring:
        int fd
        uint32_t block_count
    int fc_ring_open(fc_ring *ring, const fc_ring_settings *settings)
    void fc_ring_close(fc_ring *ring)
    int fc_ring_reject_all(int fd)

cdef extern from "generator.h" nogil:
    enum: FC_GENERATOR_ADDRESS
    enum: FC_GENERATOR_FCS
    enum: FC_GENERATOR_HEAD
    enum: FC_GENERATOR_LONGEST
    enum: FC_GENERATOR_MOST_FLOWS
    enum: FC_GENERATOR_MOST_SIZES
    enum: FC_GENERATOR_ROOM
    enum: FC_GENERATOR_SHORTEST
    struct fc_generator_size:
        uint32_t wire
        uint32_t weight
    struct fc_generator_settings:
        uint64_t seed
        uint32_t bench
        const fc_generator_size *sizes
        size_t size_count
        uint32_t flows
        uint32_t tcp_percent
        uint8_t destination[6]
    struct fc_generator:
        uint32_t flows
    struct fc_generator_flow:
        uint32_t source
        uint32_t destination
        uint16_t source_port
        uint16_t destination_port
        bint tcp
    struct fc_generator_label:
        uint32_t bench
        uint64_t serial
        int64_t ns
    int fc_generator_init(fc_generator *generator, const fc_generator_settings *settings)
    void fc_generator_flow_of(const fc_generator *generator, uint32_t number,
                              fc_generator_flow *flow)
    void fc_generator_prepare(const fc_generator *generator, uint8_t *frame)
    uint32_t fc_generator_write(const fc_generator *generator, uint64_t serial, int64_t ns,
                                uint8_t *frame)
    bint fc_generator_read(const uint8_t *bytes, size_t captured, fc_generator_label *label)

cdef extern from "serials.h" nogil:
    enum: FC_SERIALS_LONGEST_FRAME
    struct fc_serials:
        uint64_t frames
        uint64_t distinct
        uint64_t duplicates
        uint64_t never_sent
        uint64_t other_benches
        uint64_t foreign
        uint64_t highest
        int64_t first_ns
        int64_t last_ns
    struct fc_serials_walk:
        uint64_t bytes
        fc_scan_stop stop
    int fc_serials_open(fc_serials *serials, uint32_t bench, const uint64_t *sent, uint32_t threads)
    int fc_serials_read(fc_serials *serials, int fd, const fc_pcap_layout *layout,
                        const fc_cancel *cancel, fc_serials_walk *walk)
    void fc_serials_close(fc_serials *serials)

cdef extern from "sender.h" nogil:
    struct fc_sender_settings:
        const fc_generator *generator
        uint32_t index
        uint32_t threads
        double rate
        uint64_t frames
        uint64_t duration_ns
        int64_t start_ns
        const fc_cancel *cancel
    struct fc_sender_account:
        uint64_t sent
        uint64_t bytes
        uint64_t refused
        uint64_t late
        uint64_t late_ns
        uint64_t elapsed_ns
    struct fc_sender:
        fc_sender_settings settings
    int fc_sender_open(fc_sender *sender, const fc_sender_settings *settings, int interface)
    int fc_sender_over(fc_sender *sender, const fc_sender_settings *settings, int fd)
    int fc_sender_run(fc_sender *sender)
    void fc_sender_read_account(const fc_sender *sender, fc_sender_account *account)
    void fc_sender_close(fc_sender *sender)

cdef extern from "simulated.h" nogil:
    struct fc_simulated_settings:
        const fc_generator *generator
        uint32_t snaplen
        uint32_t block_size
        uint32_t block_count
    struct fc_simulated_limits:
        double rate
        uint64_t frames
        uint64_t duration_ns
        const fc_cancel *cancel
    struct fc_simulated_account:
        uint64_t offered
        uint64_t dropped
        uint64_t wire_bytes
        uint64_t full
        uint64_t blocks
        uint64_t most_waiting
        uint64_t late
        uint64_t late_ns
        uint64_t elapsed_ns
    struct fc_simulated:
        pass
    int fc_simulated_open(fc_simulated *simulated, const fc_simulated_settings *settings)
    void fc_simulated_lend(fc_simulated *simulated, fc_ring *ring)
    int fc_simulated_run(fc_simulated *simulated, const fc_simulated_limits *limits)
    void fc_simulated_read_account(const fc_simulated *simulated, fc_simulated_account *account)
    void fc_simulated_close(fc_simulated *simulated)

cdef extern from "queue.h" nogil:
    struct fc_gap:
        uint64_t record
        uint64_t frames
        int64_t ns
    struct fc_chunk:
        uint8_t *bytes
        size_t length
        uint64_t file
        bint ends
        size_t head
        size_t tail
        uint64_t frames
        int64_t first_ns
        int64_t last_ns
        fc_gap gaps[16]
        uint32_t gap_count
        uint64_t gaps_left_out
        uint64_t frames_left_out
        int64_t ended_ns
    struct fc_queue:
        pass
    int fc_queue_open(fc_queue *queue, size_t chunk_size, size_t slack, uint32_t count)
    fc_chunk *fc_queue_next(fc_queue *queue, int milliseconds, fc_bool *ended)
    void fc_queue_give_back(fc_queue *queue, fc_chunk *chunk)
    void fc_queue_used(fc_queue *queue, uint64_t *now, uint64_t *most)

cdef extern from "slice.h" nogil:
    enum: FC_SLICE_HEADERS
    struct fc_slice:
        uint32_t layer
        uint32_t more
        bint ethernet

cdef extern from "capture.h" nogil:
    enum: FC_CAPTURE_LONGEST_FRAME
    enum: FC_CAPTURE_LONGEST_HEADER
    enum: FC_CAPTURE_SLACK
    struct fc_capture_settings:
        const uint8_t *header
        size_t header_length
        size_t trailer_length
        uint32_t snaplen
        fc_slice slice
        fc_record_format format
        bint ethernet
        bint eager
        uint64_t rotate_bytes
        uint64_t rotate_ns
        uint64_t flush_ns
        uint64_t limit
        const fc_program *program
        fc_ring_filter ring_filter
        int counter_fd
        fc_ring_filter counter_filter
    struct fc_capture_account:
        uint64_t accepted
        uint64_t dropped
        uint64_t ring_full
        uint64_t read
        uint64_t rejected
        uint64_t after_limit
        uint64_t kept
        uint64_t kept_wire_bytes
        uint64_t counted
        uint64_t longest_wait_ns
        uint64_t waits_for_writer
        uint64_t link_downs
        uint64_t oversize
    struct fc_capture:
        fc_capture_settings settings
        fc_ring ring
        fc_queue queue
    void fc_capture_init(fc_capture *capture, const fc_capture_settings *settings)
    int fc_capture_begin(fc_capture *capture)
    int fc_capture_run(fc_capture *capture)
    void fc_capture_stop(fc_capture *capture)
    void fc_capture_rotate(fc_capture *capture)
    void fc_capture_detach(fc_capture *capture)
    fc_bool fc_capture_is_attached(const fc_capture *capture)
    int fc_capture_attach(fc_capture *capture, const fc_ring *ring, int counter_fd)
    void fc_capture_set_longest(fc_capture *capture, uint32_t bytes)
    double fc_capture_ring_fill(fc_capture *capture)
    void fc_capture_read_account(const fc_capture *capture, fc_capture_account *account)
    void fc_capture_close(fc_capture *capture)
