/* SPDX-License-Identifier: Apache-2.0 */
#include "generator.h"

enum {
    SOURCE_AT = 6,
    BENCH_AT = 8,
    TYPE_AT = 12,
    IP_AT = 14,
    PROTOCOL_AT = 23,
    IP_SUM_AT = 24,
    ADDRESSES_AT = 26,
    PORTS_AT = 34,
    UDP_MAGIC_AT = 42,
    UDP_SERIAL_AT = 44,
    TCP_SERIAL_AT = 38,
    TCP_MAGIC_AT = 48,
    TCP_SUM_AT = 50,
    UDP_SUM_AT = 40,
    TIME_AT = 52,
    OUR_ADDRESSES = 0x02fc, /* what source addresses begin with: locally administered */
    MAGIC = 0xfcb7,
    IPV4 = 0x0800,
    VERSION_AND_LENGTH = 0x4500,
    DO_NOT_FRAGMENT = 0x4000,
    TTL = 64,
    TCP = 6,
    UDP = 17,
    HEADER_AND_ACK = 0x5010, /* 20 bytes, ACK */
    DYNAMIC_PORTS = 49152,   /* and above: RFC 6335 */
};

/* ---- Numbers that follow from a seed ------------------------------------------------------ */

/* Every bit of the result depends on every bit of both; and for one seed no two numbers have the
 * same result. */
static inline uint64_t mix(uint64_t seed, uint64_t number) {
    uint64_t x = seed + number * UINT64_C(0x9e3779b97f4a7c15);
    for (int i = 0; i < 2; i++) {
        x ^= x >> 32;
        x *= UINT64_C(0xd6e8feb86659fd93);
    }
    return x ^ x >> 32;
}

/* One of `bound` numbers, each as likely, from 32 random bits. */
static inline uint32_t below(uint32_t random, uint32_t bound) {
    return (uint32_t)((uint64_t)random * bound >> 32);
}

/* ---- Bytes and their sums ------------------------------------------------------------------ */

static inline uint8_t *put16(uint8_t *to, uint32_t value) {
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
    return to + 2;
}

static inline uint8_t *put32(uint8_t *to, uint32_t value) {
    return put16(put16(to, value >> 16), value & 0xffff);
}

static inline uint8_t *put64(uint8_t *to, uint64_t value) {
    return put32(put32(to, (uint32_t)(value >> 32)), (uint32_t)value);
}

static inline uint64_t get64(const uint8_t *at) {
    return (uint64_t)fc_load_big32(at) << 32 | fc_load_big32(at + 4);
}

/* Sums of 16-bit words (RFC 1071); a frame has too few of them to overflow 32 bits. */
static inline uint32_t sum32(uint32_t value) {
    return (value >> 16) + (value & 0xffff);
}

static inline uint32_t sum64(uint64_t value) {
    return sum32((uint32_t)(value >> 32)) + sum32((uint32_t)value);
}

static uint32_t sum_bytes(const uint8_t *bytes, size_t length) {
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
    return sum;
}

static inline uint32_t checksum(uint32_t sum) {
    sum = sum32(sum);
    sum = sum32(sum);
    return ~sum & 0xffff;
}

/* ---- Making -------------------------------------------------------------------------------- */

static bool takes_size(struct fc_generator *generator, const struct fc_generator_size *size) {
    if (size->wire < FC_GENERATOR_SHORTEST || size->wire > FC_GENERATOR_LONGEST ||
        size->weight > UINT32_MAX - generator->weights)
        return false;
    uint32_t given = size->wire - FC_GENERATOR_FCS;
    generator->weights += size->weight;
    generator->sizes[generator->size_count++] = (struct fc_generator_choice){
        .below = generator->weights,
        .given = given,
        .sum = sum_bytes(generator->body, given - FC_GENERATOR_HEAD),
    };
    return true;
}

int fc_generator_init(struct fc_generator *generator,
                      const struct fc_generator_settings *settings) {
    if (settings->size_count == 0 || settings->size_count > FC_GENERATOR_MOST_SIZES ||
        settings->flows == 0 || settings->flows > FC_GENERATOR_MOST_FLOWS ||
        settings->tcp_percent > 100)
        return FC_ERROR_ARGUMENT;
    *generator = (struct fc_generator){
        .seed = mix(0, settings->seed),
        .bench = settings->bench,
        .flows = settings->flows,
        .tcp_percent = settings->tcp_percent,
    };
    memcpy(generator->destination, settings->destination, sizeof generator->destination);
    for (size_t i = 0; i < sizeof generator->body; i++)
        generator->body[i] = (uint8_t)(mix(~generator->seed, i) >> 56);
    for (size_t i = 0; i < settings->size_count; i++)
        if (!takes_size(generator, &settings->sizes[i]))
            return FC_ERROR_ARGUMENT;
    return generator->weights > 0 ? FC_OK : FC_ERROR_ARGUMENT;
}

void fc_generator_flow_of(const struct fc_generator *generator, uint32_t number,
                          struct fc_generator_flow *flow) {
    static const uint16_t of_tcp[4] = {443, 80, 22, 8080};
    static const uint16_t of_udp[4] = {443, 53, 123, 514};
    uint64_t random = mix(generator->seed ^ UINT64_C(0x5851f42d4c957f2d), number);
    /* 10.0.0.0/8: an odd factor leads to each of its addresses once */
    uint32_t host = (number * 0x9e3779u + (uint32_t)generator->seed) & 0xffffff;
    flow->tcp = below((uint32_t)(random >> 32), 100) < generator->tcp_percent;
    flow->source = 0x0a000000 | host;
    flow->destination = 0xac100000 | ((uint32_t)random & 0xfffff); /* 172.16.0.0/12 */
    flow->source_port = (uint16_t)(DYNAMIC_PORTS | (random >> 20 & 0x3fff));
    flow->destination_port = (flow->tcp ? of_tcp : of_udp)[random >> 34 & 3];
}

void fc_generator_prepare(const struct fc_generator *generator, uint8_t *frame) {
    memset(frame, 0, FC_GENERATOR_HEAD);
    memcpy(frame, generator->destination, sizeof generator->destination);
    put32(put16(frame + SOURCE_AT, OUR_ADDRESSES), generator->bench);
    put16(frame + TYPE_AT, IPV4);
    memcpy(frame + FC_GENERATOR_HEAD, generator->body, sizeof generator->body);
}

/* The length that a serial number has. */
static const struct fc_generator_choice *choose(const struct fc_generator *generator,
                                                uint32_t random) {
    const struct fc_generator_choice *choice = generator->sizes;
    uint32_t number = below(random, generator->weights);
    while (number >= choice->below)
        choice++;
    return choice;
}

/* The number of a frame that people see is that of its serial, as far as it goes. */
static void write_ip(uint8_t *frame, uint32_t length, uint32_t number, uint32_t protocol,
                     const struct fc_generator_flow *flow) {
    uint32_t sum = VERSION_AND_LENGTH + length + number + DO_NOT_FRAGMENT + (TTL << 8 | protocol) +
                   sum32(flow->source) + sum32(flow->destination);
    uint8_t *to = put16(frame + IP_AT, VERSION_AND_LENGTH);
    to = put16(put16(put16(to, length), number), DO_NOT_FRAGMENT);
    to = put16(put16(to, TTL << 8 | protocol), checksum(sum));
    put32(put32(to, flow->source), flow->destination);
}

/* `sum` is that of the pseudo header, the ports, the time and the bytes behind it. */
static void write_tcp(uint8_t *frame, uint64_t serial, uint32_t sum) {
    sum += sum64(serial) + HEADER_AND_ACK + MAGIC;
    uint8_t *to = put64(frame + TCP_SERIAL_AT, serial);
    put16(put16(put16(to, HEADER_AND_ACK), MAGIC), checksum(sum));
}

/* A sum of 0 is written as 0xffff: 0 means that there is none (RFC 768). */
static void write_udp(uint8_t *frame, uint64_t serial, uint32_t length, uint32_t sum) {
    uint32_t check = checksum(sum + length + MAGIC + sum64(serial));
    uint8_t *to = put16(frame + PORTS_AT + 4, length);
    put64(put16(put16(to, check == 0 ? 0xffff : check), MAGIC), serial);
}

uint32_t fc_generator_write(const struct fc_generator *generator, uint64_t serial, int64_t ns,
                            uint8_t *frame) {
    uint64_t random = mix(generator->seed, serial);
    const struct fc_generator_choice *choice = choose(generator, (uint32_t)random);
    struct fc_generator_flow flow;
    fc_generator_flow_of(generator, below((uint32_t)(random >> 32), generator->flows), &flow);
    uint32_t protocol = flow.tcp ? TCP : UDP;
    uint32_t length = choice->given - PORTS_AT; /* behind the IPv4 header */
    uint32_t sum = sum32(flow.source) + sum32(flow.destination) + protocol + length +
                   flow.source_port + flow.destination_port + sum64((uint64_t)ns) + choice->sum;
    write_ip(frame, choice->given - IP_AT, (uint32_t)serial & 0xffff, protocol, &flow);
    put16(put16(frame + PORTS_AT, flow.source_port), flow.destination_port);
    if (flow.tcp)
        write_tcp(frame, serial, sum);
    else
        write_udp(frame, serial, length, sum);
    put64(frame + TIME_AT, (uint64_t)ns);
    return choice->given;
}

/* RFC 1624: what was there is added as its complement. */
void fc_generator_renumber(uint8_t *frame, uint64_t serial) {
    bool tcp = frame[PROTOCOL_AT] == TCP;
    uint8_t *label = frame + (tcp ? TCP_SERIAL_AT : UDP_SERIAL_AT);
    uint8_t *sum = frame + (tcp ? TCP_SUM_AT : UDP_SUM_AT);
    uint32_t check =
        checksum((~fc_load_big16(sum) & 0xffff) + sum64(~get64(label)) + sum64(serial));
    put64(label, serial);
    put16(sum, check == 0 && !tcp ? 0xffff : check);
}

/* ---- Reading ------------------------------------------------------------------------------- */

bool fc_generator_read(const uint8_t *bytes, size_t captured, struct fc_generator_label *label) {
    if (captured < FC_GENERATOR_HEAD || fc_load_big16(bytes + SOURCE_AT) != OUR_ADDRESSES ||
        fc_load_big16(bytes + TYPE_AT) != IPV4 ||
        fc_load_big16(bytes + IP_AT) != VERSION_AND_LENGTH)
        return false;
    bool tcp = bytes[PROTOCOL_AT] == TCP;
    if ((!tcp && bytes[PROTOCOL_AT] != UDP) ||
        fc_load_big16(bytes + (tcp ? TCP_MAGIC_AT : UDP_MAGIC_AT)) != MAGIC)
        return false;
    label->bench = fc_load_big32(bytes + BENCH_AT);
    label->serial = get64(bytes + (tcp ? TCP_SERIAL_AT : UDP_SERIAL_AT));
    label->ns = (int64_t)get64(bytes + TIME_AT);
    return true;
}
