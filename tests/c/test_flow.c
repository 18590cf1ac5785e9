/* SPDX-License-Identifier: Apache-2.0
 *
 * Flows: both directions and all fragments alike, tags of no matter, others apart; and samples of
 * them that are as large as they should be. Frames lie in blocks of exactly their length.
 */
#include "check.h"
#include "flow.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What a frame is made of. Addresses of IPv4 are the first 4 bytes. */
struct packet {
    enum fc_flow_link link;
    uint32_t tags;
    bool ipv6;
    uint8_t from[16];
    uint8_t to[16];
    uint8_t protocol;
    uint16_t from_port;
    uint16_t to_port;
    uint16_t fragment; /* the field of IPv4: flags and offset */
    uint8_t options;   /* of IPv4, in 4 bytes */
    uint8_t payload;
};

enum { PAYLOAD = 30 };

static const struct packet ordinary = {
    .link = FC_FLOW_ETHERNET,
    .from = {10, 0, 0, 1, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7},
    .to = {192, 168, 3, 4, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3},
    .protocol = 6,
    .from_port = 40000,
    .to_port = 443,
};

static void add(struct made *made, const void *bytes, size_t size) {
    made_append(made, bytes, size);
}

static void add16(struct made *made, uint32_t value) {
    add(made, (const uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

static void add_link(struct made *made, const struct packet *packet) {
    static const uint16_t tpids[] = {0x8100, 0x88a8, 0x9100};
    uint32_t type = packet->ipv6 ? 0x86dd : 0x0800;
    switch (packet->link) {
    case FC_FLOW_ETHERNET: add(made, "\2\0\0\0\0\1\2\0\0\0\0\2", 12); break;
    case FC_FLOW_SLL: add(made, "\0\0\0\1\0\6\2\0\0\0\0\1\0\0", 14); break;
    case FC_FLOW_SLL2:
        add16(made, type);
        add(made, "\0\0\0\0\0\2\0\1\0\6\2\0\0\0\0\1\0\0", 18);
        return;
    default: return;
    }
    for (uint32_t i = 0; i < packet->tags; i++) {
        add16(made, tpids[i % COUNT(tpids)]);
        add16(made, random32() & 0xffff);
    }
    add16(made, type);
}

static struct made frame_of(const struct packet *packet) {
    struct made made = {0};
    add_link(&made, packet);
    if (packet->ipv6) {
        add(&made, "\x60\0\0\0\0\x20", 6);
        add(&made, &packet->protocol, 1);
        add(&made, "\x40", 1);
        add(&made, packet->from, 16);
        add(&made, packet->to, 16);
    } else {
        uint8_t first = (uint8_t)(0x45 + packet->options);
        add(&made, &first, 1);
        add(&made, "\0\0\x40\1\2", 5);
        add16(&made, packet->fragment);
        add(&made, "\x40", 1);
        add(&made, &packet->protocol, 1);
        add16(&made, random32() & 0xffff);
        add(&made, packet->from, 4);
        add(&made, packet->to, 4);
        for (int i = 0; i < packet->options; i++)
            add(&made, "\7\4\0\1", 4);
    }
    add16(&made, packet->from_port);
    add16(&made, packet->to_port);
    memset(made_room(&made, PAYLOAD), packet->payload, PAYLOAD);
    made_exact(&made);
    return made;
}

static uint64_t hash_cut(const struct made *made, enum fc_flow_link link, size_t captured) {
    uint8_t *bytes = block_copy(made->bytes, captured);
    const struct fc_frame frame = {
        .bytes = bytes, .captured = (uint32_t)captured, .wire = (uint32_t)made->length};
    uint64_t hash = fc_flow_hash(&frame, link);
    free(bytes);
    return hash;
}

static uint64_t hash_of(const struct packet *packet) {
    struct made made = frame_of(packet);
    uint64_t hash = hash_cut(&made, packet->link, made.length);
    made_free(&made);
    return hash;
}

static struct packet back(struct packet packet) {
    struct packet turned = packet;
    memcpy(turned.from, packet.to, sizeof turned.from);
    memcpy(turned.to, packet.from, sizeof turned.to);
    turned.from_port = packet.to_port;
    turned.to_port = packet.from_port;
    return turned;
}

/* One of all links, versions and protocols, by a number. */
enum { KINDS = 4 * 2 * 7 };
static struct packet kind(uint32_t number) {
    const uint8_t protocols[] = {6, 17, 132, 136, 33, 1, 47};
    struct packet packet = ordinary;
    packet.link = (enum fc_flow_link)(1 + number % 4);
    packet.ipv6 = number / 4 % 2;
    packet.protocol = protocols[number / 8];
    check_about("link %d, IPv%d, protocol %u", (int)packet.link, packet.ipv6 ? 6 : 4,
                packet.protocol);
    return packet;
}

static bool has_ports(const struct packet *packet) {
    return packet->protocol != 1 && packet->protocol != 47;
}

static void both_directions_are_one_flow(void) {
    for (uint32_t i = 0; i < KINDS; i++) {
        struct packet packet = kind(i);
        const struct packet turned = back(packet);
        CHECK(hash_of(&packet) == hash_of(&turned));
        memcpy(packet.to, packet.from, 16); /* to itself */
        const struct packet same = back(packet);
        CHECK(hash_of(&packet) == hash_of(&same));
    }
}

/* The link does not matter, where the packet is the same. */
static void what_is_around_the_packet_makes_no_difference(void) {
    for (uint32_t i = 0; i < KINDS; i++) {
        struct packet packet = kind(i);
        uint64_t hash = hash_of(&packet);
        struct packet other = packet;
        other.payload = 0x5a;
        other.options = packet.ipv6 ? 0 : 10;
        CHECK(hash_of(&other) == hash);
        other = packet;
        other.link = FC_FLOW_RAW;
        CHECK(hash_of(&other) == hash);
    }
}

static void tags_make_no_difference(void) {
    for (uint32_t i = 0; i < KINDS; i++) {
        struct packet packet = kind(i);
        uint64_t hash = hash_of(&packet);
        for (packet.tags = 1; packet.tags <= 4; packet.tags++)
            CHECK(hash_of(&packet) == hash);
    }
}

static void other_flows_are_apart(void) {
    for (uint32_t i = 0; i < KINDS; i++) {
        const struct packet packet = kind(i);
        uint64_t hash = hash_of(&packet);
        for (int byte = 0; byte < (packet.ipv6 ? 16 : 4); byte++) {
            struct packet other = packet;
            other.from[byte] ^= 1;
            CHECK(hash_of(&other) != hash);
            other.to[byte] ^= 1; /* the same change at both ends is one too */
            CHECK(hash_of(&other) != hash);
            other.from[byte] ^= 1;
            CHECK(hash_of(&other) != hash);
        }
        struct packet other = packet;
        other.from_port++;
        CHECK((hash_of(&other) != hash) == has_ports(&packet));
        other = packet;
        other.to_port--;
        CHECK((hash_of(&other) != hash) == has_ports(&packet));
        other = packet; /* ends that have exchanged their ports are others */
        other.from_port = packet.to_port;
        other.to_port = packet.from_port;
        CHECK((hash_of(&other) != hash) == has_ports(&packet));
        other = packet;
        other.protocol = packet.protocol == 6 ? 17 : 6;
        CHECK(hash_of(&other) != hash);
        other = packet;
        other.ipv6 = !packet.ipv6;
        CHECK(hash_of(&other) != hash);
    }
}

/* The first has ports, the others have payload in their place. */
static void fragments_belong_together(void) {
    for (uint32_t i = 0; i < KINDS; i++) {
        struct packet packet = kind(i);
        if (packet.ipv6)
            continue;
        packet.fragment = 0x2000;
        uint64_t hash = hash_of(&packet);
        const uint16_t others[] = {0x2001, 0x2b00, 0x3fff, 0x0001, 0x1fff};
        for (size_t o = 0; o < COUNT(others); o++) {
            struct packet other = packet;
            other.fragment = others[o];
            other.from_port = (uint16_t)random32();
            other.to_port = (uint16_t)random32();
            const struct packet turned = back(other);
            CHECK(hash_of(&other) == hash);
            CHECK(hash_of(&turned) == hash);
        }
        uint64_t whole = 0;
        packet.fragment = 0;
        whole = hash_of(&packet);
        packet.fragment = 0x4000; /* may not be fragmented, so it is whole */
        CHECK(hash_of(&packet) == whole);
    }
}

static uint64_t hash_ethernet(const char *macs, uint32_t tags, uint32_t type) {
    struct made made = {0};
    add(&made, macs, 12);
    for (uint32_t i = 0; i < tags; i++)
        add(&made, "\x81\0\0\5", 4);
    add16(&made, type);
    add16(&made, random32() & 0xffff);
    uint64_t hash = hash_cut(&made, FC_FLOW_ETHERNET, made.length);
    made_free(&made);
    return hash;
}

static void what_is_not_ip_belongs_to_its_stations(void) {
    uint64_t hash = hash_ethernet("abcdefghijkl", 0, 0x0806);
    CHECK(hash_ethernet("abcdefghijkl", 0, 0x0806) == hash);
    CHECK(hash_ethernet("abcdefghijkl", 2, 0x0806) == hash);
    CHECK(hash_ethernet("ghijklabcdef", 0, 0x0806) == hash);
    CHECK(hash_ethernet("abcdefghijkl", 0, 0x0807) != hash);
    for (int i = 0; i < 12; i++) {
        char other[] = "abcdefghijkl";
        other[i] ^= 1;
        CHECK(hash_ethernet(other, 0, 0x0806) != hash);
    }
}

static uint64_t hash_bytes(const char *bytes, size_t length, enum fc_flow_link link) {
    struct made made = {0};
    add(&made, bytes, length);
    uint64_t hash = hash_cut(&made, link, made.length);
    made_free(&made);
    return hash;
}

/* ARP, sent and received: there is no other address. */
static void what_is_not_ip_belongs_to_its_type_where_only_the_sender_is_known(void) {
    uint64_t sent = hash_bytes("\0\4\0\1\0\6\2\0\0\0\0\1\0\0\x08\6arp", 19, FC_FLOW_SLL);
    CHECK(hash_bytes("\0\0\0\1\0\6\2\0\0\0\0\2\0\0\x08\6arp", 19, FC_FLOW_SLL) == sent);
    CHECK(hash_bytes("\x08\6\0\0\0\0\0\2\0\1\0\6\2\0\0\0\0\1\0\0", 20, FC_FLOW_SLL2) == sent);
    CHECK(hash_bytes("\x08\6\0\0\0\0\0\2\0\1\4\6\2\0\0\0\0\2\0\0", 20, FC_FLOW_SLL2) == sent);
    CHECK(hash_bytes("\0\4\0\1\0\6\2\0\0\0\0\1\0\0\x88\314", 16, FC_FLOW_SLL) != sent);
}

static void missing_bytes_are_zeros(void) {
    for (uint32_t i = 0; i < KINDS; i++) {
        struct packet packet = kind(i);
        for (packet.tags = 0; packet.tags < 20; packet.tags += 5) {
            struct made made = frame_of(&packet);
            struct made zeros = {0};
            memset(made_room(&zeros, made.length), 0, made.length);
            for (int link = FC_FLOW_UNKNOWN; link <= FC_FLOW_RAW; link++)
                for (size_t captured = 0; captured <= made.length; captured++)
                    hash_cut(&made, (enum fc_flow_link)link, captured);
            uint64_t whole = hash_cut(&made, packet.link, made.length);
            CHECK(hash_cut(&made, packet.link, made.length - PAYLOAD) == whole);
            CHECK(hash_cut(&made, packet.link, 0) == hash_cut(&zeros, packet.link, zeros.length));
            if (has_ports(&packet) && packet.tags < 16) {
                struct packet silent = packet;
                silent.from_port = silent.to_port = 0;
                CHECK(hash_cut(&made, packet.link, made.length - PAYLOAD - 4) == hash_of(&silent));
            }
            made_free(&zeros);
            made_free(&made);
        }
    }
}

/* Tags without an end, random bytes: nothing to check but that they can be read. */
static void noise_is_safe(void) {
    for (int round = 0; round < 20000; round++) {
        struct made made = {0};
        size_t length = random_below(120);
        uint8_t *bytes = made_room(&made, length + 1);
        random_fill(bytes, length);
        for (size_t at = 12; at + 2 <= length && random_below(2); at += 4)
            memcpy(bytes + at, "\x81\0", 2);
        if (length > 14 && random_below(2))
            memcpy(bytes + 12, "\x08\0", 2);
        for (int link = FC_FLOW_UNKNOWN; link <= FC_FLOW_RAW; link++)
            hash_cut(&made, (enum fc_flow_link)link, length);
        made_free(&made);
    }
    CHECK(true);
}

static void unknown_links_are_one_flow(void) {
    for (uint32_t i = 0; i < KINDS; i++) {
        struct packet packet = kind(i);
        struct made made = frame_of(&packet);
        CHECK(hash_cut(&made, FC_FLOW_UNKNOWN, made.length) == 0);
        made_free(&made);
    }
}

/* Addresses and ports that count up are as good as random ones. */
static void a_sample_is_as_large_as_it_should_be(void) {
    enum { FLOWS = 40000 };
    const uint32_t samples[] = {1, 2, 3, 10, 100, 1000};
    for (int random = 0; random < 2; random++) {
        uint32_t taken[COUNT(samples)] = {0};
        for (uint32_t i = 0; i < FLOWS; i++) {
            struct packet packet = ordinary;
            uint32_t number = random ? random32() : i;
            packet.from[3] = (uint8_t)number;
            packet.from[2] = (uint8_t)(number >> 8);
            packet.from_port = (uint16_t)(random ? random32() : 1024 + i % 7);
            uint64_t hash = hash_of(&packet);
            for (size_t s = 0; s < COUNT(samples); s++)
                taken[s] += fc_flow_is_sampled(hash, samples[s]);
        }
        for (size_t s = 0; s < COUNT(samples); s++) {
            double expected = (double)FLOWS / samples[s];
            double off = taken[s] - expected;
            check_about("1 in %u: %u of %d", samples[s], taken[s], FLOWS);
            CHECK(off * off <= 25 * expected); /* five times the deviation */
            CHECK(samples[s] != 1 || taken[s] == FLOWS);
        }
    }
}

static void borders_of_a_sample(void) {
    CHECK(fc_flow_is_sampled(UINT64_MAX, 1));
    CHECK(fc_flow_is_sampled(0, UINT32_MAX));
    CHECK(fc_flow_is_sampled(UINT64_C(0x7fffffffffffffff), 2));
    CHECK(!fc_flow_is_sampled(UINT64_C(0x8000000000000000), 2));
    CHECK(!fc_flow_is_sampled(UINT64_MAX, UINT32_MAX));
}

/* On every machine, and in every version: samples of parts of a capture belong together. */
static void the_numbers_stay_what_they_are(void) {
    const uint64_t expected[] = {UINT64_C(0x749f246e8828c12b), UINT64_C(0x20bdd535e61d62bb),
                                 UINT64_C(0x7f23badd3dd7be44), UINT64_C(0x1b6583ec3e89a2f7)};
    struct packet packets[] = {ordinary, ordinary, ordinary, ordinary};
    packets[1].ipv6 = true;
    packets[2].fragment = 1;
    packets[3].protocol = 1;
    for (size_t i = 0; i < COUNT(packets); i++) {
        check_about("number %zu: 0x%" PRIx64, i, hash_of(&packets[i]));
        CHECK(hash_of(&packets[i]) == expected[i]);
    }
}

int main(int count, char **arguments) {
    random_seed(random_seed_argument(count, arguments));
    TEST(both_directions_are_one_flow);
    TEST(what_is_around_the_packet_makes_no_difference);
    TEST(tags_make_no_difference);
    TEST(other_flows_are_apart);
    TEST(fragments_belong_together);
    TEST(what_is_not_ip_belongs_to_its_stations);
    TEST(what_is_not_ip_belongs_to_its_type_where_only_the_sender_is_known);
    TEST(missing_bytes_are_zeros);
    TEST(noise_is_safe);
    TEST(unknown_links_are_one_flow);
    TEST(a_sample_is_as_large_as_it_should_be);
    TEST(borders_of_a_sample);
    TEST(the_numbers_stay_what_they_are);
    return check_result();
}
