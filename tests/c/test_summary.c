/* SPDX-License-Identifier: Apache-2.0
 *
 * Protocols of frames that are whole, cut anywhere, tagged, of every link type, or lie; and the
 * sums, in whatever order seconds come. Frames lie in blocks of exactly their length.
 */
#include "check.h"
#include "summary.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static uint32_t protocol_cut(const struct made *made, enum fc_flow_link link, size_t captured) {
    uint8_t *bytes = block_copy(made->bytes, captured);
    const struct fc_frame frame = {
        .bytes = bytes, .captured = (uint32_t)captured, .wire = (uint32_t)made->length};
    uint32_t protocol = fc_summary_protocol_of(&frame, link);
    free(bytes);
    return protocol;
}

/* Of a frame whose tag, the bytes from 12 to 16, lies apart. */
static uint32_t protocol_apart(const struct made *made, size_t captured) {
    struct made rest = {0};
    made_append(&rest, made->bytes, FC_TAG_OFFSET);
    made_append(&rest, made->bytes + 16, captured - 16);
    uint8_t *bytes = block_copy(rest.bytes, rest.length);
    struct fc_frame frame = {.bytes = bytes,
                             .captured = (uint32_t)captured,
                             .wire = (uint32_t)made->length,
                             .tagged = true};
    memcpy(frame.tag, made->bytes + FC_TAG_OFFSET, FC_TAG_LENGTH);
    uint32_t protocol = fc_summary_protocol_of(&frame, FC_FLOW_ETHERNET);
    free(bytes);
    made_free(&rest);
    return protocol;
}

/* ---- Frames ------------------------------------------------------------------------------ */

static void add16(struct made *made, uint32_t value) {
    made_append(made, (const uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

static struct made link_of(enum fc_flow_link link, uint32_t tags, uint32_t type) {
    static const uint16_t tpids[] = {0x8100, 0x88a8, 0x9100};
    struct made made = {0};
    if (link == FC_FLOW_ETHERNET)
        made_append(&made, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
    else if (link == FC_FLOW_SLL)
        made_append(&made, "\0\0\0\1\0\6\2\0\0\0\0\1\0\0", 14);
    if (link == FC_FLOW_RAW || link == FC_FLOW_UNKNOWN)
        return made;
    add16(&made, tags > 0 ? tpids[0] : type);
    if (link == FC_FLOW_SLL2)
        made_append(&made, "\0\0\0\0\0\2\0\1\0\6\2\0\0\0\0\1\0\0", 18);
    for (uint32_t i = 1; i <= tags; i++) {
        add16(&made, random32() & 0xffff);
        add16(&made, i < tags ? tpids[i % COUNT(tpids)] : type);
    }
    return made;
}

static void add_ipv4(struct made *made, uint32_t protocol) {
    made_append(made, "\x45\0\0\x40\1\2\0\0\x40", 9);
    made_append(made, &(uint8_t){(uint8_t)protocol}, 1);
    made_append(made, "\0\0\12\0\0\1\12\0\0\2abcdefgh", 18);
}

static void add_ipv6(struct made *made, uint32_t next) {
    made_append(made, "\x60\0\0\0\0\x40", 6);
    made_append(made, &(uint8_t){(uint8_t)next}, 1);
    memset(made_room(made, 33), 0x20, 33);
}

static const struct {
    uint32_t number;
    uint32_t ipv4;
    uint32_t ipv6;
} protocols[] = {
    {1, FC_SUMMARY_IPV4_ICMP, FC_SUMMARY_IPV6_OTHER},
    {2, FC_SUMMARY_IPV4_IGMP, FC_SUMMARY_IPV6_OTHER},
    {4, FC_SUMMARY_IPV4_OTHER, FC_SUMMARY_IPV6_OTHER},
    {6, FC_SUMMARY_IPV4_TCP, FC_SUMMARY_IPV6_TCP},
    {17, FC_SUMMARY_IPV4_UDP, FC_SUMMARY_IPV6_UDP},
    {41, FC_SUMMARY_IPV4_OTHER, FC_SUMMARY_IPV6_OTHER},
    {47, FC_SUMMARY_IPV4_GRE, FC_SUMMARY_IPV6_GRE},
    {50, FC_SUMMARY_IPV4_ESP, FC_SUMMARY_IPV6_ESP},
    {51, FC_SUMMARY_IPV4_AH, FC_SUMMARY_IPV6_AH},
    {58, FC_SUMMARY_IPV4_OTHER, FC_SUMMARY_IPV6_ICMP6},
    {89, FC_SUMMARY_IPV4_OSPF, FC_SUMMARY_IPV6_OSPF},
    {132, FC_SUMMARY_IPV4_SCTP, FC_SUMMARY_IPV6_SCTP},
    {255, FC_SUMMARY_IPV4_OTHER, FC_SUMMARY_IPV6_OTHER},
};

static const enum fc_flow_link links[] = {FC_FLOW_ETHERNET, FC_FLOW_SLL, FC_FLOW_SLL2, FC_FLOW_RAW};

/* ---- Protocols --------------------------------------------------------------------------- */

/* What is there of a frame that was cut behind `seen` bytes of its IP header. */
static void check_cuts(const struct made *made, enum fc_flow_link link, size_t ip_at, size_t needs,
                       uint32_t protocol, uint32_t other) {
    for (size_t captured = 0; captured <= made->length; captured++) {
        bool typed = captured >= (link == FC_FLOW_RAW ? 1 : link == FC_FLOW_SLL2 ? 2 : ip_at);
        if (link == FC_FLOW_SLL2 && ip_at > 20)
            typed = captured >= ip_at;
        check_about("link %d, IP at %zu, %zu bytes", (int)link, ip_at, captured);
        CHECK_IS(protocol_cut(made, link, captured), captured >= ip_at + needs ? protocol
                                                     : typed                   ? other
                                                                               : FC_SUMMARY_OTHER);
    }
}

static void every_protocol_is_found_behind_every_link(void) {
    for (size_t i = 0; i < COUNT(protocols) * COUNT(links) * 5; i++) {
        enum fc_flow_link link = links[i % COUNT(links)];
        uint32_t tags = (uint32_t)(i / COUNT(links) % 5);
        size_t number = i / COUNT(links) / 5;
        struct made made = link_of(link, tags, 0x0800);
        size_t ip_at = made.length;
        add_ipv4(&made, protocols[number].number);
        check_cuts(&made, link, ip_at, 10, protocols[number].ipv4, FC_SUMMARY_IPV4_OTHER);
        made_free(&made);
        made = link_of(link, tags, 0x86dd);
        add_ipv6(&made, protocols[number].number);
        check_cuts(&made, link, ip_at, 7, protocols[number].ipv6, FC_SUMMARY_IPV6_OTHER);
        CHECK_IS(protocol_cut(&made, FC_FLOW_UNKNOWN, made.length), FC_SUMMARY_OTHER);
        made_free(&made);
    }
}

static void what_is_not_ip_is_told_by_its_type(void) {
    const struct {
        uint32_t type;
        uint32_t protocol;
    } types[] = {
        {0x0806, FC_SUMMARY_ARP},  {0x8035, FC_SUMMARY_OTHER}, {0x8847, FC_SUMMARY_MPLS},
        {0x8848, FC_SUMMARY_MPLS}, {0x8863, FC_SUMMARY_PPPOE}, {0x8864, FC_SUMMARY_PPPOE},
        {0x88cc, FC_SUMMARY_LLDP}, {0x0600, FC_SUMMARY_OTHER}, {0x05ff, FC_SUMMARY_LLC},
        {0x0000, FC_SUMMARY_LLC},  {0xffff, FC_SUMMARY_OTHER}, {0x9200, FC_SUMMARY_OTHER},
    };
    for (size_t i = 0; i < COUNT(types) * 3 * 4; i++) {
        enum fc_flow_link link = links[i % 3];
        uint32_t tags = (uint32_t)(i / 3 % 4);
        uint32_t protocol = types[i / 12].protocol;
        if (protocol == FC_SUMMARY_LLC && link != FC_FLOW_ETHERNET)
            protocol = FC_SUMMARY_OTHER; /* numbers of Linux's own */
        struct made made = link_of(link, tags, types[i / 12].type);
        check_about("link %d, %u tags, type 0x%04x", (int)link, tags, types[i / 12].type);
        CHECK_IS(protocol_cut(&made, link, made.length), protocol);
        if (link == FC_FLOW_ETHERNET && tags > 0)
            CHECK_IS(protocol_apart(&made, made.length), protocol);
        made_free(&made);
    }
}

static void a_tag_that_lies_apart_is_skipped_too(void) {
    for (uint32_t tags = 1; tags < 5; tags++) {
        for (size_t i = 0; i < COUNT(protocols); i++) {
            struct made made = link_of(FC_FLOW_ETHERNET, tags, 0x0800);
            add_ipv4(&made, protocols[i].number);
            check_about("%u tags, protocol %u", tags, protocols[i].number);
            CHECK_IS(protocol_apart(&made, made.length), protocols[i].ipv4);
            for (size_t captured = 16; captured < made.length; captured++)
                CHECK_IS(protocol_apart(&made, captured),
                         protocol_cut(&made, FC_FLOW_ETHERNET, captured));
            made_free(&made);
        }
    }
}

/* Nothing but tags, up to the end. */
static void tags_may_go_on_to_the_end(void) {
    struct made made = link_of(FC_FLOW_ETHERNET, 30, 0x8100);
    for (size_t captured = 0; captured <= made.length; captured++)
        CHECK_IS(protocol_cut(&made, FC_FLOW_ETHERNET, captured), FC_SUMMARY_OTHER);
    made_free(&made);
}

static void headers_that_lie_are_other(void) {
    for (uint32_t first = 0; first < 256; first++) {
        struct made made = link_of(FC_FLOW_ETHERNET, 0, 0x0800);
        add_ipv4(&made, 6);
        made.bytes[14] = (uint8_t)first;
        bool lies = first >> 4 != 4 || (first & 0xf) < 5;
        check_about("first byte 0x%02x", first);
        CHECK_IS(protocol_cut(&made, FC_FLOW_ETHERNET, made.length),
                 lies ? FC_SUMMARY_IPV4_OTHER : FC_SUMMARY_IPV4_TCP);
        made_free(&made);
        made = link_of(FC_FLOW_ETHERNET, 0, 0x86dd);
        add_ipv6(&made, 6);
        made.bytes[14] = (uint8_t)first;
        CHECK_IS(protocol_cut(&made, FC_FLOW_ETHERNET, made.length),
                 first >> 4 == 6 ? FC_SUMMARY_IPV6_TCP : FC_SUMMARY_IPV6_OTHER);
        made.bytes[14] = 0x60;
        memmove(made.bytes, made.bytes + 14, made.length - 14);
        made.bytes[0] = (uint8_t)first;
        uint32_t raw = protocol_cut(&made, FC_FLOW_RAW, made.length - 14);
        CHECK_IS(raw, first >> 4 == 6   ? FC_SUMMARY_IPV6_TCP
                      : first >> 4 == 4 ? FC_SUMMARY_IPV4_OTHER
                                        : FC_SUMMARY_OTHER);
        made_free(&made);
    }
}

/* ---- Extension headers ------------------------------------------------------------------- */

/* A header of `size` bytes, or with a `field`, 2 bytes in, a fragment's. */
static void add_extension(struct made *made, uint32_t next, uint32_t size, uint32_t field) {
    uint8_t *at = made_room(made, size);
    memset(at, 0, size);
    at[0] = (uint8_t)next;
    at[1] = (uint8_t)(size / 8 - 1);
    if (field != 0)
        at[1] = (uint8_t)random32(); /* a fragment's is reserved */
    at[2] = (uint8_t)(field >> 8);
    at[3] = (uint8_t)field;
}

static void extension_headers_are_walked_as_far_as_they_were_captured(void) {
    const uint32_t kinds[] = {0, 43, 44, 60};
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t chain[6];
        uint32_t count = random_below(COUNT(chain));
        for (uint32_t i = 0; i < count; i++)
            chain[i] = kinds[random_below(COUNT(kinds))];
        size_t number = random_below(COUNT(protocols));
        struct made made = {0};
        size_t needs = 7; /* the last header's first bytes say what is behind it */
        add_ipv6(&made, count > 0 ? chain[0] : protocols[number].number);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t next = i + 1 < count ? chain[i + 1] : protocols[number].number;
            needs = made.length + (chain[i] == 44 ? 4 : 2);
            bool fragment = chain[i] == 44;
            add_extension(&made, next, fragment ? 8 : 8 * (1 + random_below(4)), fragment);
        }
        check_cuts(&made, FC_FLOW_RAW, 0, needs, protocols[number].ipv6, FC_SUMMARY_IPV6_OTHER);
        made_free(&made);
    }
}

/* It names the protocol, and bytes behind it are no header. */
static void a_later_fragment_ends_the_walk(void) {
    const uint32_t next[] = {6, 17, 60, 44};
    for (size_t i = 0; i < COUNT(next); i++) {
        struct made made = {0};
        add_ipv6(&made, 44);
        add_extension(&made, next[i], 8, 0x0008);
        add_extension(&made, 17, 8, 0);
        add_extension(&made, 17, 8, 0);
        check_about("next header %u", next[i]);
        CHECK_IS(protocol_cut(&made, FC_FLOW_RAW, made.length), next[i] == 6 ? FC_SUMMARY_IPV6_TCP
                                                                : next[i] == 17
                                                                    ? FC_SUMMARY_IPV6_UDP
                                                                    : FC_SUMMARY_IPV6_OTHER);
        made_free(&made);
    }
}

static void a_chain_without_end_ends_with_the_frame(void) {
    struct made made = {0};
    add_ipv6(&made, 0);
    for (uint32_t i = 0; i < 8000; i++)
        add_extension(&made, i % 2 ? 60 : 0, 8, 0);
    CHECK_IS(protocol_cut(&made, FC_FLOW_RAW, made.length), FC_SUMMARY_IPV6_OTHER);
    made.bytes[41] = 255; /* longer than the next ones */
    CHECK_IS(protocol_cut(&made, FC_FLOW_RAW, 100), FC_SUMMARY_IPV6_OTHER);
    made_free(&made);
}

static void random_frames_have_some_protocol(void) {
    for (uint32_t round = 0; round < 20000; round++) {
        struct made made = link_of(links[round % 4], random_below(3),
                                   (uint32_t[]){0x0800, 0x86dd, random32() & 0xffff}[round % 3]);
        uint32_t more = random_below(90);
        random_fill(made_room(&made, more), more);
        CHECK(protocol_cut(&made, links[round % 4], random_below((uint32_t)made.length + 1)) <
              FC_SUMMARY_PROTOCOLS);
        made_free(&made);
    }
}

static void every_protocol_has_a_name_of_its_own(void) {
    for (uint32_t i = 0; i < FC_SUMMARY_PROTOCOLS; i++) {
        const char *name = fc_summary_name(i);
        check_about("%s", name);
        CHECK(name[0] != '\0');
        for (uint32_t other = 0; other < i; other++)
            CHECK(strcmp(name, fc_summary_name(other)) != 0);
    }
    CHECK(strcmp(fc_summary_name(FC_SUMMARY_PROTOCOLS), "other") == 0);
    CHECK(strcmp(fc_summary_name(FC_SUMMARY_IPV6_ICMP6), "ipv6/icmp6") == 0);
}

/* ---- Sums -------------------------------------------------------------------------------- */

enum { SECONDS = 40 };

struct sums {
    uint64_t frames[SECONDS][FC_SUMMARY_PROTOCOLS];
    uint64_t bytes[SECONDS][FC_SUMMARY_PROTOCOLS];
};

static void check_sums(const struct fc_summary *summary, const struct sums *sums) {
    size_t at = 0;
    for (uint64_t second = 0; second < SECONDS; second++) {
        for (uint64_t protocol = 0; protocol < FC_SUMMARY_PROTOCOLS; protocol++) {
            if (sums->frames[second][protocol] == 0)
                continue;
            if (!CHECK(at < summary->count))
                return;
            CHECK_IS(summary->rows[at].second, second);
            CHECK_IS(summary->rows[at].protocol, protocol);
            CHECK_IS(summary->rows[at].frames, sums->frames[second][protocol]);
            CHECK_IS(summary->rows[at].bytes, sums->bytes[second][protocol]);
            at++;
        }
    }
    CHECK_IS(summary->count, at);
}

/* Seconds that go on, go back, or are any; in several parts, some of which are empty. */
static void sums_are_exact_in_any_order(void) {
    for (uint32_t round = 0; round < 60; round++) {
        struct sums *sums = block_new(sizeof *sums);
        struct fc_summary all = {0};
        struct fc_summary parts[3] = {{0}, {0}, {0}};
        uint32_t frames = random_below(4) * random_below(3000);
        for (uint32_t i = 0; i < frames; i++) {
            uint32_t second = round % 3 == 0   ? i * SECONDS / frames
                              : round % 3 == 1 ? SECONDS - 1 - i * SECONDS / frames
                                               : random_below(SECONDS);
            uint32_t protocol = random_below(FC_SUMMARY_PROTOCOLS);
            uint32_t wire = round & 1 ? UINT32_MAX : random_below(1500);
            CHECK_IS(fc_summary_note(&parts[random_below(2)], second,
                                     (enum fc_summary_protocol)protocol, wire),
                     FC_OK);
            sums->frames[second][protocol]++;
            sums->bytes[second][protocol] += wire;
        }
        check_about("round %u, %u frames", round, frames);
        for (size_t i = 0; i < COUNT(parts); i++)
            CHECK_IS(fc_summary_join(&all, &parts[i]), FC_OK);
        CHECK_IS(fc_summary_join(&all, &parts[0]), FC_OK); /* empty by now */
        CHECK_IS(fc_summary_finish(&all), FC_OK);
        check_sums(&all, sums);
        CHECK_IS(fc_summary_finish(&all), FC_OK);
        check_sums(&all, sums);
        for (size_t i = 0; i < COUNT(parts); i++)
            fc_summary_free(&parts[i]);
        fc_summary_free(&all);
        free(sums);
    }
}

/* Of times that a file may lie about there is no more than one row a frame, nor is it slow. */
static void any_times_make_a_row_a_frame_at_most(void) {
    struct fc_summary summary = {0};
    for (uint32_t i = 0; i < 300000; i++) {
        CHECK_IS(fc_summary_note(&summary, (uint64_t)random32() << 10, FC_SUMMARY_ARP, 1), FC_OK);
        CHECK(summary.count <= i);
    }
    CHECK(summary.room <= 2 * 300000);
    CHECK_IS(fc_summary_finish(&summary), FC_OK);
    uint64_t frames = 0;
    for (size_t i = 0; i < summary.count; i++)
        frames += summary.rows[i].frames;
    CHECK_IS(frames, 300000);
    fc_summary_free(&summary);
}

static void what_was_cleared_counts_no_more(void) {
    struct fc_summary summary = {0};
    for (uint32_t i = 0; i < 10; i++)
        CHECK_IS(fc_summary_note(&summary, i / 3, FC_SUMMARY_ARP, 1), FC_OK);
    fc_summary_clear(&summary);
    CHECK_IS(fc_summary_note(&summary, 7, FC_SUMMARY_LLC, 60), FC_OK);
    CHECK_IS(fc_summary_finish(&summary), FC_OK);
    if (CHECK_IS(summary.count, 1)) {
        CHECK_IS(summary.rows[0].second, 7);
        CHECK_IS(summary.rows[0].frames, 1);
        CHECK_IS(summary.rows[0].bytes, 60);
    }
    fc_summary_free(&summary);
    CHECK_IS(fc_summary_finish(&summary), FC_OK);
    CHECK_IS(summary.count, 0);
}

int main(int count, char **arguments) {
    uint64_t seed = random_seed_argument(count, arguments);
    random_seed(seed);
    TEST(every_protocol_is_found_behind_every_link);
    TEST(what_is_not_ip_is_told_by_its_type);
    TEST(a_tag_that_lies_apart_is_skipped_too);
    TEST(tags_may_go_on_to_the_end);
    TEST(headers_that_lie_are_other);
    TEST(extension_headers_are_walked_as_far_as_they_were_captured);
    TEST(a_later_fragment_ends_the_walk);
    TEST(a_chain_without_end_ends_with_the_frame);
    TEST(random_frames_have_some_protocol);
    TEST(every_protocol_has_a_name_of_its_own);
    TEST(sums_are_exact_in_any_order);
    TEST(any_times_make_a_row_a_frame_at_most);
    TEST(what_was_cleared_counts_no_more);
    return check_result();
}
