/* SPDX-License-Identifier: Apache-2.0
 *
 * Where headers end. Frames are put together header by header, and whoever puts them together knows
 * where each ends; the walk must find the same, however short the frame was on the wire or is
 * captured, with the outer tag in its place or apart. Frames lie in blocks of exactly their length.
 */
#include "check.h"
#include "slice.h"

enum { MOST_HEADERS = 80, BODY = 40 };

/* A header: of layer 2, 3 or 4. */
struct part {
    uint32_t layer;
    uint32_t start;
    uint32_t fixed; /* bytes that must be there to know its length */
    uint32_t size;  /* UINT32_MAX: it lies */
};

struct stack {
    const char *name;
    struct made made;
    struct part parts[MOST_HEADERS];
    uint32_t count;
    bool raw;
};

static void begin(struct stack *stack, const char *name) {
    made_free(&stack->made);
    *stack = (struct stack){.name = name};
    check_about("%s", name);
}

/* Adds a header of `size` bytes, of which those that `hex` has are said and the others 0xee. */
static void add(struct stack *stack, uint32_t layer, uint32_t fixed, uint32_t size,
                const char *hex) {
    uint32_t digits = 0;
    stack->parts[stack->count++] = (struct part){layer, (uint32_t)stack->made.length, fixed, size};
    uint8_t *at = made_room(&stack->made, size);
    memset(at, 0xee, size);
    for (; *hex != '\0'; hex++) {
        if (*hex == ' ')
            continue;
        uint32_t digit = (uint32_t)(*hex <= '9' ? *hex - '0' : *hex - 'a' + 10);
        if (digits / 2 >= size)
            abort();
        at[digits / 2] = (uint8_t)(digits % 2 ? at[digits / 2] | digit : digit << 4);
        digits++;
    }
}

/* What was added last says of its length what cannot be. */
static void lies(struct stack *stack) {
    stack->parts[stack->count - 1].size = UINT32_MAX;
}

static void add_ethernet(struct stack *stack, uint32_t type) {
    char hex[40];
    snprintf(hex, sizeof hex, "020000000001 020000000002 %04x", type);
    add(stack, 2, 14, 14, hex);
}

static void add_tag(struct stack *stack, uint32_t type) {
    char hex[40];
    snprintf(hex, sizeof hex, "6064%04x", type);
    add(stack, 2, 4, 4, hex);
}

static void add_ipv4(struct stack *stack, uint32_t words, uint32_t fragment, uint32_t protocol) {
    char hex[40];
    snprintf(hex, sizeof hex, "4%x00ffff0001%04x40%02x", words, fragment, protocol);
    add(stack, 3, 20, words < 5 ? 20 : 4 * words, hex);
    if (words < 5)
        lies(stack);
}

static void add_ipv6(struct stack *stack, uint32_t protocol) {
    char hex[40];
    snprintf(hex, sizeof hex, "60000000ffff%02x40", protocol);
    add(stack, 3, 40, 40, hex);
}

static void add_extension(struct stack *stack, uint32_t next, uint32_t length, uint32_t size) {
    char hex[40];
    snprintf(hex, sizeof hex, "%02x%02x0000", next, length);
    add(stack, 3, 8, size, hex);
}

static void add_tcp(struct stack *stack, uint32_t words) {
    char hex[40];
    snprintf(hex, sizeof hex, "0050c000 00000001 00000002 %02x", words << 4 | 2);
    add(stack, 4, 20, words < 5 ? 20 : 4 * words, hex);
    if (words < 5)
        lies(stack);
}

/* ---- What must come out ------------------------------------------------------------------ */

static uint32_t smaller(uint32_t one, uint32_t other) {
    return one < other ? one : other;
}

static uint32_t expected(const struct stack *stack, uint32_t layer, uint32_t more,
                         uint32_t captured, uint32_t wire) {
    uint32_t seen = smaller(captured, 512);
    uint32_t end = 0;
    if (!stack->raw && seen < 14)
        return smaller(seen + more, captured);
    for (uint32_t i = 0; i < stack->count && stack->parts[i].layer <= layer; i++) {
        const struct part *part = &stack->parts[i];
        if (part->start + part->fixed > wire)
            break;
        if (part->start + part->fixed > seen) {
            end = seen;
            break;
        }
        if (part->size == UINT32_MAX || part->start + part->size > wire)
            break;
        end = smaller(part->start + part->size, seen);
        if (end == seen)
            break;
    }
    return smaller(end + more, captured);
}

static uint32_t length_of(const struct stack *stack, uint32_t layer, uint32_t more,
                          uint32_t captured, uint32_t wire, bool apart) {
    uint32_t less = apart ? FC_TAG_LENGTH : 0;
    uint8_t *bytes = block_new(captured - less);
    if (apart) {
        memcpy(bytes, stack->made.bytes, FC_TAG_OFFSET);
        memcpy(bytes + FC_TAG_OFFSET, stack->made.bytes + FC_TAG_OFFSET + less,
               captured - FC_TAG_OFFSET - less);
    } else if (captured > 0) {
        memcpy(bytes, stack->made.bytes, captured);
    }
    struct fc_frame frame = {.bytes = bytes, .captured = captured, .wire = wire, .tagged = apart};
    if (apart)
        memcpy(frame.tag, stack->made.bytes + FC_TAG_OFFSET, FC_TAG_LENGTH);
    struct fc_slice slice = {.layer = layer, .more = more, .ethernet = !stack->raw};
    uint32_t length = fc_slice_length(&slice, &frame);
    free(bytes);
    return length;
}

static bool begins_with_tag(const struct stack *stack) {
    return !stack->raw && stack->count > 1 && stack->parts[1].layer == 2 &&
           fc_frame_is_tpid(fc_load_big16(stack->made.bytes + 12));
}

/* At every length, captured and on the wire. */
static void check_stack(struct stack *stack) {
    static const uint32_t mores[] = {0, 1, 16, 65535};
    bool tagged = begins_with_tag(stack);
    memset(made_room(&stack->made, BODY), 0x45, BODY); /* might be IPv4, if one looked there */
    uint32_t whole = (uint32_t)stack->made.length;
    for (uint32_t layer = 2; layer <= 4; layer++)
        for (uint32_t captured = 0; captured <= whole; captured++)
            for (uint32_t cut = 0; cut < 2; cut++) {
                uint32_t wire = cut ? whole : captured;
                uint32_t more = mores[(captured + layer) % 4];
                uint32_t right = expected(stack, layer, more, captured, wire);
                check_about("%s, l%u+%u, %u of %u", stack->name, layer, more, captured, wire);
                CHECK_IS(length_of(stack, layer, more, captured, wire, false), right);
                if (tagged && captured >= 16)
                    CHECK_IS(length_of(stack, layer, more, captured, wire, true), right);
            }
    /* and once in plain numbers, for the whole frame */
    uint32_t end = expected(stack, 4, 0, whole, whole);
    CHECK_IS(length_of(stack, 4, 0, whole, whole, false), end);
    CHECK_IS(length_of(stack, 4, 7, whole, whole, false), smaller(end + 7, whole));
}

/* ---- Tests ------------------------------------------------------------------------------- */

static struct stack one;

static void every_transport_header_ends_where_it_ends(void) {
    static const struct {
        const char *name;
        uint32_t protocol;
        uint32_t fixed;
        uint32_t size; /* 0: there is none */
        const char *hex;
    } kinds[] = {
        {"ICMP", 1, 8, 8, "0800"},
        {"IGMP", 2, 8, 8, "1600"},
        {"UDP", 17, 8, 8, "00350035"},
        {"UDP-Lite", 136, 8, 8, "00350035"},
        {"ICMPv6", 58, 8, 8, "8000"},
        {"ESP", 50, 8, 8, ""},
        {"SCTP", 132, 12, 12, ""},
        {"DCCP short", 33, 12, 12, "00010002 03000000 ee"},
        {"DCCP long", 33, 12, 16, "00010002 04000000 ef"},
        {"DCCP with options", 33, 12, 120, "00010002 1e000000 01"},
        {"GRE", 47, 4, 4, "00000800"},
        {"GRE, checksum", 47, 4, 8, "80000800"},
        {"GRE, key", 47, 4, 8, "20000800"},
        {"GRE, sequence number", 47, 4, 8, "10000800"},
        {"GRE, all of them", 47, 4, 16, "b0000800"},
        {"GRE 0, a bit of version 1", 47, 4, 4, "00800800"},
        {"GRE 1", 47, 4, 8, "2001880b"},
        {"GRE 1, both numbers", 47, 4, 16, "3081880b"},
        {"IPv4 in it", 4, 0, 0, "4500"},
        {"IPv6 in it", 41, 0, 0, "6000"},
        {"OSPF", 89, 0, 0, "0201"},
        {"nothing", 59, 0, 0, ""},
        {"reserved", 255, 0, 0, ""},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (uint32_t ipv6 = 0; ipv6 < 2; ipv6++) {
            begin(&one, kinds[i].name);
            add_ethernet(&one, ipv6 ? 0x86dd : 0x0800);
            if (ipv6)
                add_ipv6(&one, kinds[i].protocol);
            else
                add_ipv4(&one, 5, 0x4000, kinds[i].protocol);
            if (kinds[i].size > 0)
                add(&one, 4, kinds[i].fixed, kinds[i].size, kinds[i].hex);
            CHECK_IS(expected(&one, 4, 0, 500, 500), (ipv6 ? 54 : 34) + kinds[i].size);
            check_stack(&one);
        }
}

static void options_of_ipv4_and_tcp_count_and_what_is_too_short_lies(void) {
    for (uint32_t ip = 0; ip < 16; ip++)
        for (uint32_t tcp = 0; tcp < 16; tcp++) {
            char name[40];
            snprintf(name, sizeof name, "IPv4 of %u words, TCP of %u", ip, tcp);
            begin(&one, name);
            add_ethernet(&one, 0x0800);
            add_ipv4(&one, ip, 0, 6);
            add_tcp(&one, tcp);
            check_stack(&one);
        }
}

static void headers_that_lie_end_the_frame_before_them(void) {
    static const struct {
        const char *name;
        uint32_t type;
        uint32_t protocol; /* of IPv4; 0: none */
        uint32_t layer;
        uint32_t fixed;
        const char *hex;
    } lying[] = {
        {"IPv4 of another version", 0x0800, 0, 3, 20, "65"},
        {"IPv6 of another version", 0x86dd, 0, 3, 40, "45"},
        {"DCCP of 2 words", 0x0800, 33, 4, 12, "00010002 02000000 00"},
        {"DCCP of 3 words, long", 0x0800, 33, 4, 12, "00010002 03000000 01"},
        {"GRE, routing", 0x0800, 47, 4, 4, "40000800"},
        {"GRE 2", 0x0800, 47, 4, 4, "00020800"},
        {"AH of nothing", 0x0800, 51, 3, 8, "0600"},
        {"PPPoE of another version", 0x8864, 0, 2, 8, "21000001 00100021"},
        {"LLC much like SNAP", 0x0050, 0, 2, 3, "aaaa0400 00000800"},
        {"LLC a little like SNAP", 0x0050, 0, 2, 3, "aa420300 00000800"},
        {"PPPoE with a code", 0x8864, 0, 2, 8, "11090001 00100021"},
    };
    for (size_t i = 0; i < sizeof lying / sizeof *lying; i++) {
        begin(&one, lying[i].name);
        add_ethernet(&one, lying[i].type);
        if (lying[i].protocol != 0)
            add_ipv4(&one, 5, 0, lying[i].protocol);
        add(&one, lying[i].layer, lying[i].fixed, 60, lying[i].hex);
        lies(&one);
        check_stack(&one);
    }
}

static void extension_headers_belong_to_ipv6(void) {
    static const uint8_t kinds[] = {0, 43, 60, 135, 139, 140};
    for (uint32_t i = 0; i < sizeof kinds; i++)
        for (uint32_t length = 0; length < 70; length += 23) {
            begin(&one, "IPv6, an extension header, and one for the destination");
            add_ethernet(&one, 0x86dd);
            add_ipv6(&one, kinds[i]);
            add_extension(&one, 60, length, 8 * (length + 1));
            add_extension(&one, 6, 0, 8);
            add_tcp(&one, 7);
            check_stack(&one);
        }
    begin(&one, "IPv6, the first fragment");
    add_ethernet(&one, 0x86dd);
    add_ipv6(&one, 44);
    add(&one, 3, 8, 8, "11ff0007");
    add(&one, 4, 8, 8, "");
    CHECK_IS(expected(&one, 4, 0, 500, 500), 14 + 40 + 8 + 8);
    check_stack(&one);
    begin(&one, "IPv6, another fragment");
    add_ethernet(&one, 0x86dd);
    add_ipv6(&one, 44);
    add(&one, 3, 8, 8, "11ff0009");
    CHECK_IS(expected(&one, 4, 0, 500, 500), 14 + 40 + 8);
    check_stack(&one);
    for (uint32_t length = 1; length < 12; length++) {
        begin(&one, "IPv6, AH");
        add_ethernet(&one, 0x86dd);
        add_ipv6(&one, 51);
        add_extension(&one, 50, length, 4 * (length + 2));
        add(&one, 4, 8, 8, "");
        check_stack(&one);
        begin(&one, "IPv4, AH");
        add_ethernet(&one, 0x0800);
        add_ipv4(&one, 6, 0, 51);
        add_extension(&one, 17, length, 4 * (length + 2));
        add(&one, 4, 8, 8, "");
        check_stack(&one);
    }
    begin(&one, "IPv4 has no such headers");
    add_ethernet(&one, 0x0800);
    add_ipv4(&one, 5, 0, 60);
    check_stack(&one);
}

/* Sixty extension headers are 480 bytes: the last of them begin where nothing is looked for. */
static void headers_are_looked_for_in_the_first_512_bytes(void) {
    for (uint32_t headers = 50; headers < 64; headers++) {
        char name[40];
        snprintf(name, sizeof name, "%u extension headers", headers);
        begin(&one, name);
        add_ethernet(&one, 0x8100);
        add_tag(&one, 0x86dd);
        add_ipv6(&one, 60);
        for (uint32_t i = 1; i < headers; i++)
            add_extension(&one, 60, 0, 8);
        add_extension(&one, 17, 0, 8);
        add(&one, 4, 8, 8, "");
        check_stack(&one);
        CHECK_IS(length_of(&one, 4, 9, 590 < one.made.length ? 590 : (uint32_t)one.made.length,
                           9000, true),
                 smaller(smaller(512, 14 + 4 + 40 + 8 * headers + 8) + 9,
                         smaller(590, (uint32_t)one.made.length)));
    }
    begin(&one, "a long extension header");
    add_ethernet(&one, 0x86dd);
    add_ipv6(&one, 0);
    add_extension(&one, 6, 255, 2048);
    add_tcp(&one, 5);
    check_stack(&one);
    CHECK_IS(length_of(&one, 3, 0, 1500, 1500, false), 54); /* it leads out of the wire: it lies */
    CHECK_IS(length_of(&one, 3, 0, 1500, 9000, false), 512);
    CHECK_IS(length_of(&one, 3, 100, 1500, 9000, false), 612);
}

static void fragments_but_the_first_have_no_transport_header(void) {
    static const struct {
        uint32_t field;
        bool has;
    } fields[] = {{0, true},       {0x4000, true},  {0x2000, true},  {0x8000, true}, {1, false},
                  {0x1fff, false}, {0x2001, false}, {0x1000, false}, {0x2100, false}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        begin(&one, "a fragment");
        add_ethernet(&one, 0x0800);
        add_ipv4(&one, 8, fields[i].field, 17);
        if (fields[i].has)
            add(&one, 4, 8, 8, "");
        check_stack(&one);
    }
}

static void tags_labels_and_sessions_belong_to_the_link_header(void) {
    static const uint16_t tpids[] = {0x8100, 0x88a8, 0x9100};
    for (uint32_t tags = 0; tags < 6; tags++)
        for (uint32_t inner = 0; inner < 9; inner++) {
            static const uint16_t types[] = {0x0800, 0x86dd, 0x8847, 0x8848, 0x8864,
                                             0x8864, 0x0026, 0x0806, 0x88b5};
            char name[40];
            uint32_t type = types[inner];
            snprintf(name, sizeof name, "%u tags, then %04x", tags, type);
            begin(&one, name);
            add_ethernet(&one, tags > 0 ? tpids[tags % 3] : type);
            for (uint32_t i = 1; i <= tags; i++)
                add_tag(&one, i < tags ? tpids[(i + inner) % 3] : type);
            if (type == 0x8847 || type == 0x8848) {
                add(&one, 2, 4, 4, "00010040");
                add(&one, 2, 4, 4, "fffffeff");
                add(&one, 2, 4, 4, "00011140");
                type = tags % 2 ? 0x0800 : 0x86dd;
            } else if (inner == 4) {
                add(&one, 2, 8, 8, "11000001 00100021");
                type = 0x0800;
            } else if (inner == 5) {
                add(&one, 2, 8, 8, "11000001 00100057");
                type = 0x86dd;
            } else if (type == 0x0026) {
                add(&one, 2, 3, 8, "aaaa03000000 0800");
                type = 0x0800;
            }
            if (type == 0x0800)
                add_ipv4(&one, 5, 0, 6);
            else if (type == 0x86dd)
                add_ipv6(&one, 6);
            else if (type == 0x0806)
                add(&one, 3, 8, 28, "0001080006040001");
            if (type == 0x0800 || type == 0x86dd)
                add_tcp(&one, 8);
            check_stack(&one);
        }
}

static void what_is_not_known_ends_behind_the_link_header(void) {
    static const struct {
        const char *name;
        uint32_t type;
        uint32_t fixed;
        uint32_t size;
        const char *hex;
    } ends[] = {
        {"no such type", 0x88b5, 0, 0, ""},
        {"PPPoE discovery", 0x8863, 0, 0, ""},
        {"spanning tree", 0x0026, 0, 0, ""},
        {"SNAP in the longest length", 0x05ff, 3, 8, "aaaa03000000 2000"},
        {"the smallest type", 0x0600, 0, 0, ""},
        {"SNAP of another organisation", 0x0050, 3, 8, "aaaa0300000c0800"},
        {"SNAP of an unknown type", 0x0050, 3, 8, "aaaa03000000 2000"},
        {"PPP of its own", 0x8864, 8, 8, "11000001 0010c021"},
        {"a pseudowire", 0x8847, 4, 4, "00011140"},
    };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        begin(&one, ends[i].name);
        add_ethernet(&one, ends[i].type);
        if (ends[i].size > 0)
            add(&one, 2, ends[i].fixed, ends[i].size, ends[i].hex);
        /* behind a type it is not SNAP, and it is not IP either */
        made_append(&one.made,
                    ends[i].type == 0x0026 ? "\x42\x42\3\0\0\0\0\0" : "\xaa\xaa\3\0\0\0\0\0", 8);
        check_stack(&one);
    }
}

static void an_arp_packet_is_as_long_as_its_addresses(void) {
    static const uint8_t lengths[][2] = {{6, 4}, {6, 16}, {8, 4}, {20, 4}, {0, 0}, {255, 255}};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (uint32_t reverse = 0; reverse < 2; reverse++) {
            char hex[40];
            begin(&one, "ARP");
            add_ethernet(&one, reverse ? 0x8035 : 0x0806);
            snprintf(hex, sizeof hex, "00010800%02x%02x0001", lengths[i][0], lengths[i][1]);
            add(&one, 3, 8, 8u + 2u * (lengths[i][0] + lengths[i][1]), hex);
            check_stack(&one);
        }
}

static void raw_frames_have_no_link_header(void) {
    begin(&one, "IPv4 alone");
    one.raw = true;
    add_ipv4(&one, 7, 0, 6);
    add_tcp(&one, 6);
    check_stack(&one);
    begin(&one, "IPv6 alone");
    one.raw = true;
    add_ipv6(&one, 0);
    add_extension(&one, 17, 1, 16);
    add(&one, 4, 8, 8, "");
    check_stack(&one);
    begin(&one, "neither");
    one.raw = true;
    memset(made_room(&one.made, 30), 0x55, 30);
    check_stack(&one);
    CHECK_IS(length_of(&one, 4, 5, 60, 60, false), 5);
}

/* A tag that the kernel took off, and that is none: what is behind it is not looked at. */
static void a_tag_that_is_none_ends_the_link_header(void) {
    begin(&one, "a strange tag");
    add_ethernet(&one, 0x0800);
    add_tag(&one, 0x0800);
    add_ipv4(&one, 5, 0, 17);
    one.made.bytes[10] = 0x45; /* IPv4 would be here if the tag's bytes were not apart */
    for (uint32_t captured = 16; captured <= one.made.length; captured++)
        CHECK_IS(length_of(&one, 4, 0, captured, captured, true), 14);
}

static void a_wire_that_is_shorter_than_what_was_captured_is_not_believed(void) {
    begin(&one, "IPv4 and UDP");
    add_ethernet(&one, 0x0800);
    add_ipv4(&one, 5, 0, 17);
    add(&one, 4, 8, 8, "");
    for (uint32_t wire = 0; wire < 42; wire++)
        CHECK_IS(length_of(&one, 4, 0, 42, wire, false), 42);
}

/* Of bytes that mean nothing, and of such that were headers: more layers are never less, more
 * bytes are exactly that many more, and nothing outside is read. */
static void noise_is_survived(void) {
    static const uint16_t types[] = {0x0800, 0x86dd, 0x8847, 0x8864, 0x0806, 0x8100, 0x0030};
    for (int round = 0; round < 100000; round++) {
        uint32_t captured = random_below(random_below(4) ? 120 : 700);
        begin(&one, "noise");
        one.raw = random_below(4) == 0;
        random_fill(made_room(&one.made, captured + 1), captured);
        uint8_t *bytes = one.made.bytes;
        uint32_t at = 0;
        if (!one.raw && captured > 24) {
            uint32_t type = types[random_below(7)];
            bytes[12] = (uint8_t)(type >> 8);
            bytes[13] = (uint8_t)type;
            at = 14;
        }
        if (captured > at + 10 && random_below(4)) {
            bytes[at] = (uint8_t)((random_below(2) ? 0x40 : 0x60) | (bytes[at] & 0xf));
            bytes[at + 6] &= random_below(2) ? 0x3f : 0xff;
        }
        uint32_t wire = captured + random_below(200);
        uint32_t before = 0;
        for (uint32_t layer = 2; layer <= 4; layer++) {
            uint32_t length = length_of(&one, layer, 0, captured, wire, false);
            uint32_t more = random_below(100);
            CHECK(length <= captured && length >= before);
            CHECK_IS(length_of(&one, layer, more, captured, wire, false),
                     smaller(length + more, captured));
            if (!one.raw && captured >= 16 && fc_frame_is_tpid(fc_load_big16(bytes + 12)))
                CHECK_IS(length_of(&one, layer, 0, captured, wire, true), length);
            before = length;
        }
    }
}

int main(int count, char **arguments) {
    random_seed(random_seed_argument(count, arguments));
    TEST(every_transport_header_ends_where_it_ends);
    TEST(options_of_ipv4_and_tcp_count_and_what_is_too_short_lies);
    TEST(headers_that_lie_end_the_frame_before_them);
    TEST(extension_headers_belong_to_ipv6);
    TEST(headers_are_looked_for_in_the_first_512_bytes);
    TEST(fragments_but_the_first_have_no_transport_header);
    TEST(tags_labels_and_sessions_belong_to_the_link_header);
    TEST(what_is_not_known_ends_behind_the_link_header);
    TEST(an_arp_packet_is_as_long_as_its_addresses);
    TEST(raw_frames_have_no_link_header);
    TEST(a_tag_that_is_none_ends_the_link_header);
    TEST(a_wire_that_is_shorter_than_what_was_captured_is_not_believed);
    TEST(noise_is_survived);
    made_free(&one.made);
    return check_result();
}
