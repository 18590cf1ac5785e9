/* SPDX-License-Identifier: Apache-2.0
 *
 * The live loop: frames of the ring become records in chunks, and chunks files. The one copy of a
 * frame is from the kernel's block into a chunk; a record that does not fit the rest of a chunk is
 * continued in the next. Which file a frame goes to is decided here, by its time and the file's
 * length; what a file is called and when it is opened, synced and renamed is the writer's business,
 * on another thread, which takes the chunks from the queue.
 *
 * The struct owns its rings and its queue. fc_capture_run is for one thread; the functions that say
 * so, and the queue's other end, are for others meanwhile.
 */
#ifndef FC_CAPTURE_H
#define FC_CAPTURE_H

#include "loss.h"
#include "program.h"
#include "queue.h"
#include "record.h"
#include "ring.h"
#include "slice.h"

enum {
    FC_CAPTURE_LONGEST_FRAME = 262144,   /* bytes, as MAXIMUM_SNAPLEN of libpcap */
    FC_CAPTURE_LONGEST_HEADER = 1 << 17, /* of a file */
    FC_CAPTURE_SLACK = FC_RECORD_MOST_AROUND + FC_CAPTURE_LONGEST_FRAME,
};

struct fc_capture_settings {
    const uint8_t *header; /* what every file begins with; borrowed until fc_capture_close */
    size_t header_length;  /* at most the longest, and at most a chunk */
    size_t trailer_length; /* room that the writer wants for what every file ends with */
    uint32_t snaplen;      /* bytes on the wire that are kept, at most the longest */
    struct fc_slice slice; /* what else ends a frame, behind the snaplen's cut */
    struct fc_record_format format;
    bool ethernet;                     /* tags that the kernel took off are put back */
    bool eager;                        /* a file begins at once, not with the first frame */
    uint64_t rotate_bytes;             /* a file is no longer than that, or one record; 0: any */
    uint64_t rotate_ns;                /* files end at multiples of that since 1970; 0: never */
    uint64_t flush_ns;                 /* so long a chunk waits to be full, while nothing comes */
    uint64_t limit;                    /* frames kept, then it stops */
    const struct fc_program *program;  /* borrowed; NULL: the ring's filter decides alone */
    struct fc_ring_filter ring_filter; /* borrowed during fc_capture_run */
    int counter_fd;                    /* a socket that counts what arrives, or -1; borrowed */
    struct fc_ring_filter counter_filter;
};

/* Counters from the start on, never reset. Where frames were kept they are in `kept`; the queue
 * and the writer may have lost them since. */
struct fc_capture_account {
    uint64_t accepted;         /* by the ring's filter: what the kernel counted */
    uint64_t dropped;          /* of these, those that the ring had no room for */
    uint64_t ring_full;        /* times that the ring became full */
    uint64_t read;             /* frames taken from the ring */
    uint64_t rejected;         /* of these, those that the program rejected */
    uint64_t after_limit;      /* of these, those that came after the limit was reached */
    uint64_t kept;             /* of these, those handed over to the writer */
    uint64_t kept_wire_bytes;  /* their length on the wire */
    uint64_t counted;          /* frames that the counting socket saw */
    uint64_t longest_wait_ns;  /* from when a block was handed over until it was taken, at least */
    uint64_t waits_for_writer; /* times that no chunk was empty */
    uint64_t link_downs;       /* times that the interface went down */
    uint64_t oversize;         /* frames longer than fc_capture_set_longest allows */
};

/* A file that is open: the records of one interval, or of all time. */
struct fc_capture_lane {
    struct fc_chunk *chunk; /* NULL: no file is open, and length_ns is 0 */
    uint64_t file;
    int64_t start_ns;
    uint64_t length_ns;  /* of the interval */
    uint64_t room;       /* bytes that the file may still get */
    bool empty;          /* it holds no record yet */
    size_t full_at;      /* bytes of the chunk after which the next write is aligned */
    int64_t handed_over; /* monotonic time of the last hand-over, nanoseconds */
};

struct fc_capture {
    struct fc_capture_settings settings;
    struct fc_ring ring;
    struct fc_queue queue;
    struct fc_capture_lane current;
    struct fc_capture_lane previous; /* for frames of the interval before that come late */
    uint64_t files;
    int64_t next_statistics; /* monotonic time */
    int64_t empty_at;        /* when the ring was last found empty, monotonic */
    uint32_t longest_now;    /* the reader's copy of `longest` */
    uint64_t missing;        /* frames that the ring dropped just before the next record */
    bool begun;
    int failure;                      /* errno of the first call that failed */
    struct fc_capture_account counts; /* the reader's own */
    struct fc_capture_account shown;  /* what others see, updated after each block */
    uint32_t stopping;
    uint32_t rotating;
    uint32_t longest; /* bytes on the wire that a frame of this interface can have */
    /* A change of rings, asked for by another thread and done by the reader: */
    uint32_t detaching;
    uint32_t attaching;
    struct fc_ring incoming;
    int incoming_counter_fd;
    pthread_mutex_t ring_mutex; /* held while `ring` changes, and by those who look at it */
    struct fc_loss loss;        /* last: what each frame touches stays close together */
};

/* The ring and the queue are opened by the caller, who hands them over with this. */
void fc_capture_init(struct fc_capture *capture, const struct fc_capture_settings *settings);

/* Frames that arrive from here on are received: they wait in the ring for fc_capture_run, which
 * begins by itself where this was not called before. */
int fc_capture_begin(struct fc_capture *capture);

/* Reads until it is stopped or the limit is reached, then ends as af_packet.c wants it for counts
 * that agree: reject everything, wait longer than a block may, drain, read the counters. Ends the
 * queue in every case. FC_ERROR_SYSTEM where a call for a socket fails; what was received by then
 * is handed over all the same. */
int fc_capture_run(struct fc_capture *capture);

/* From any thread: it ends soon. */
void fc_capture_stop(struct fc_capture *capture);

/* From any thread: the files that are open end; the next frame begins a new one. */
void fc_capture_rotate(struct fc_capture *capture);

/* The interface is gone, as one thread says that watches it: what its ring holds is read, then the
 * ring is closed and files go on without one. The counting socket is not used any more once
 * fc_capture_is_attached says false. */
void fc_capture_detach(struct fc_capture *capture);
bool fc_capture_is_attached(const struct fc_capture *capture);

/* From the same thread, where no ring is attached: a ring that is open, which is the capture's from
 * here on, and its counting socket or -1. Frames that arrive are received when it returns.
 * FC_ERROR_SYSTEM where they refuse their filters; then the ring stays the caller's. */
int fc_capture_attach(struct fc_capture *capture, const struct fc_ring *ring, int counter_fd);

/* From any thread: frames longer than this are counted as `oversize`; 0 means any length. */
void fc_capture_set_longest(struct fc_capture *capture, uint32_t bytes);

/* From any thread: the part of the ring's blocks that wait for the reader, 0 to 1. */
double fc_capture_ring_fill(struct fc_capture *capture);

/* From any thread. */
void fc_capture_read_account(const struct fc_capture *capture, struct fc_capture_account *account);

/* Closes rings and queue. Nobody may be inside any more. */
void fc_capture_close(struct fc_capture *capture);

#endif
