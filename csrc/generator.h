/* SPDX-License-Identifier: Apache-2.0
 *
 * The frames of a bench: Ethernet, IPv4, TCP or UDP, with true checksums. What a frame is follows
 * from the seed and its serial number alone, but for the time in it; so threads that share the
 * serials among them send together what one would, and whoever has a frame can make it again.
 *
 * Each carries its label in its first 60 bytes, so that a capture of so many bytes a frame keeps
 * it, and the smallest frame has room for it:
 *
 *      6  02:fc, and the bench (32 bits), as the source address
 *     42  magic (16), serial (64)            of UDP, whose data begins here
 *     38  serial (64) as sequence number and acknowledgement, magic (16) at 48 as window, of TCP
 *     52  nanoseconds since 1970 when it was made, just before it was sent (64)
 *
 * all of it in network byte order. In TCP the time begins in the urgent pointer, which means
 * nothing without its flag. Behind byte 60 all frames are alike.
 *
 * The struct owns nothing; once made it is only read, by any number of threads.
 */
#ifndef FC_GENERATOR_H
#define FC_GENERATOR_H

#include "bytes.h"
#include "status.h"

enum {
    FC_GENERATOR_FCS = 4, /* bytes of a frame on the wire that the interface adds */
    FC_GENERATOR_SHORTEST = 64,
    FC_GENERATOR_LONGEST = 1518,
    FC_GENERATOR_HEAD = 60, /* bytes that differ from frame to frame, the label among them */
    FC_GENERATOR_ROOM = FC_GENERATOR_LONGEST - FC_GENERATOR_FCS,
    FC_GENERATOR_MOST_SIZES = 16,
    FC_GENERATOR_MOST_FLOWS = 1 << 24, /* their source addresses are all different */
    FC_GENERATOR_ADDRESS = 6,
};

/* `wire` is the length on the wire with the checksum (FCS), as in RFC 2544 and on data sheets, and
 * without preamble and gap: 64 to 1518. What is handed to the interface, and captured, is 4 bytes
 * shorter. */
struct fc_generator_size {
    uint32_t wire;
    uint32_t weight; /* its share of the frames is that of the weights */
};

struct fc_generator_settings {
    uint64_t seed;
    uint32_t bench; /* tells benches apart that run at the same time */
    const struct fc_generator_size *sizes;
    size_t size_count;
    uint32_t flows;       /* pairs of addresses and ports, each as often */
    uint32_t tcp_percent; /* of the flows, about; the others are UDP */
    uint8_t destination[FC_GENERATOR_ADDRESS];
};

struct fc_generator_choice {
    uint32_t below; /* of the numbers up to `weights`, those below it that no other has */
    uint32_t given; /* bytes that are handed over */
    uint32_t sum;   /* of those behind the head, for checksums */
};

struct fc_generator {
    uint64_t seed;
    uint32_t bench;
    uint32_t flows;
    uint32_t tcp_percent;
    uint32_t weights;
    uint32_t size_count;
    struct fc_generator_choice sizes[FC_GENERATOR_MOST_SIZES];
    uint8_t destination[FC_GENERATOR_ADDRESS];
    uint8_t body[FC_GENERATOR_ROOM - FC_GENERATOR_HEAD];
};

struct fc_generator_flow {
    uint32_t source; /* addresses as numbers: 10.0.0.1 is 0x0a000001 */
    uint32_t destination;
    uint16_t source_port;
    uint16_t destination_port;
    bool tcp;
};

/* What a frame says of itself. */
struct fc_generator_label {
    uint32_t bench;
    uint64_t serial;
    int64_t ns; /* nanoseconds since 1970, as it says */
};

/* FC_ERROR_ARGUMENT for sizes, weights, a number of flows or a share that cannot be. */
int fc_generator_init(struct fc_generator *generator, const struct fc_generator_settings *settings);

/* `number` is below generator->flows. */
void fc_generator_flow_of(const struct fc_generator *generator, uint32_t number,
                          struct fc_generator_flow *flow);

/* Writes what all frames have in common to `frame`, which has room for FC_GENERATOR_ROOM bytes;
 * once, and then any number of frames there. */
void fc_generator_prepare(const struct fc_generator *generator, uint8_t *frame);

/* Makes a frame where one was prepared: the bytes to hand over. */
uint32_t fc_generator_write(const struct fc_generator *generator, uint64_t serial, int64_t ns,
                            uint8_t *frame);

/* Gives a frame that was made, of which at least FC_GENERATOR_HEAD bytes are there, another serial
 * number, in its label and checksum. All else stays: size, flow, time, and the number in IPv4. */
void fc_generator_renumber(uint8_t *frame, uint64_t serial);

/* Reads the label of a frame of which `captured` bytes are there; false where there is none. Any
 * bytes may be asked: only these are believed, whatever lengths they claim. */
bool fc_generator_read(const uint8_t *bytes, size_t captured, struct fc_generator_label *label);

#endif
