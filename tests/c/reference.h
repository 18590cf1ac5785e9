/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of pcap.h, scan.h, convert.h and program.h once more, written to be slow and plain and
 * to share nothing with the core but its types: tests and fuzz targets compare the two.
 */
#ifndef FC_TEST_REFERENCE_H
#define FC_TEST_REFERENCE_H

#include "program.h"
#include "scan.h"

#include <stdlib.h>

/* ---- Records ----------------------------------------------------------------------------- */

static inline bool reference_is_big(bool swapped) {
    return swapped != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

static inline uint32_t reference_number(const uint8_t *at, bool big) {
    uint64_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value * 256 + at[big ? i : 3 - i];
    return (uint32_t)value;
}

static inline void reference_store(uint8_t *at, uint32_t value, bool big) {
    for (int i = 0; i < 4; i++) {
        at[big ? 3 - i : i] = (uint8_t)(value % 256);
        value /= 256;
    }
}

/* The record at `offset`, or why there is none. */
static inline enum fc_scan_stop reference_record(const uint8_t *bytes, uint64_t length,
                                                 uint64_t offset,
                                                 const struct fc_pcap_layout *layout,
                                                 struct fc_pcap_record *record) {
    if (offset == length)
        return FC_SCAN_END;
    if (offset + 16 > length)
        return FC_SCAN_CUT_HEADER;
    bool big = reference_is_big(layout->swapped);
    record->seconds = reference_number(bytes + offset, big);
    record->fraction = reference_number(bytes + offset + 4, big);
    record->captured = reference_number(bytes + offset + 8, big);
    record->wire = reference_number(bytes + offset + 12, big);
    if (record->captured > layout->max_captured)
        return FC_SCAN_TOO_LONG;
    if (offset + 16 + record->captured > length)
        return FC_SCAN_CUT_FRAME;
    bool zeros = true;
    for (int i = 0; i < 16; i++)
        zeros = zeros && bytes[offset + (uint64_t)i] == 0;
    return zeros ? FC_SCAN_ZEROS : FC_SCAN_RECORD;
}

static inline int64_t reference_nanoseconds(const struct fc_pcap_record *record, bool nanoseconds) {
    uint64_t fraction = record->fraction;
    return (int64_t)(record->seconds * UINT64_C(1000000000) + fraction * (nanoseconds ? 1 : 1000));
}

/* Writes the record at `from_bytes` in the other layout; the bytes written. `to_bytes` has room
 * for as many as were read. */
static inline size_t reference_convert(const uint8_t *from_bytes, const struct fc_pcap_layout *from,
                                       uint8_t *to_bytes, const struct fc_pcap_layout *to) {
    bool from_big = reference_is_big(from->swapped);
    bool to_big = reference_is_big(to->swapped);
    uint64_t seconds = reference_number(from_bytes, from_big);
    uint64_t fraction = reference_number(from_bytes + 4, from_big);
    uint32_t captured = reference_number(from_bytes + 8, from_big);
    if (captured > from->snaplen)
        captured = from->snaplen;
    if (captured > to->snaplen)
        captured = to->snaplen;
    if (from->nanoseconds && !to->nanoseconds)
        fraction /= 1000;
    if (!from->nanoseconds && to->nanoseconds)
        for (fraction *= 1000; fraction >= 1000000000; fraction -= 1000000000)
            seconds++;
    reference_store(to_bytes, (uint32_t)seconds, to_big);
    reference_store(to_bytes + 4, (uint32_t)fraction, to_big);
    reference_store(to_bytes + 8, captured, to_big);
    reference_store(to_bytes + 12, reference_number(from_bytes + 12, from_big), to_big);
    memcpy(to_bytes + 16, from_bytes + 16, captured);
    return 16 + (size_t)captured;
}

/* ---- Programs ---------------------------------------------------------------------------- */

/* Every code there is, as libpcap's and our documents list them. */
static const uint16_t reference_codes[] = {
    0x20,  0x28,  0x30,                            /* ld, ldh, ldb [k] */
    0x40,  0x48,  0x50,                            /* ld, ldh, ldb [x + k] */
    0xb1,                                          /* ldx 4*([k] & 0xf) */
    0x00,  0x60,  0x80,                            /* ld #k, M[k], len */
    0x01,  0x61,  0x81,                            /* ldx #k, M[k], len */
    0x02,  0x03,                                   /* st, stx */
    0x04,  0x0c,  0x14,  0x1c,  0x24,  0x2c,       /* add, sub, mul by k and x */
    0x34,  0x3c,  0x94,  0x9c,                     /* div, mod */
    0x44,  0x4c,  0x54,  0x5c,  0xa4,  0xac,       /* or, and, xor */
    0x64,  0x6c,  0x74,  0x7c,  0x84,              /* lsh, rsh, neg */
    0x05,  0x15,  0x1d,  0x25,  0x2d,  0x35, 0x3d, /* ja, jeq, jgt, jge */
    0x45,  0x4d,                                   /* jset */
    0x06,  0x16,  0x07,  0x87,                     /* ret k, ret a, tax, txa */
    0x100, 0x105, 0x115, 0x125, 0x135,             /* ld captured; jmp in set, in wide, contains */
};
enum { REFERENCE_CODES = sizeof reference_codes / sizeof *reference_codes };

static inline bool reference_is_code(uint16_t code) {
    for (size_t i = 0; i < REFERENCE_CODES; i++)
        if (reference_codes[i] == code)
            return true;
    return false;
}

/* Classic BPF packs a code of parts. */
static inline int reference_class(uint16_t code) {
    return code & 0x07;
}

static inline bool reference_is_load(uint16_t code) {
    int mode = code & 0xe0;
    return code == 0xb1 || (reference_class(code) == 0 && (mode == 0x20 || mode == 0x40));
}

static inline bool reference_is_divide(uint16_t code) {
    int operation = code & 0xf0;
    return reference_class(code) == 4 && (operation == 0x30 || operation == 0x90);
}

/* What can be told to see the frame without its tags. */
static inline bool reference_sees_bytes(uint16_t code) {
    return reference_is_load(code) || code == 0x80 || code == 0x81 || code == 0x100 ||
           code == 0x115;
}

/* True where instruction number `at` of `count` keeps every rule of program.h. */
static inline bool reference_is_valid(const struct fc_program_source *source, size_t at) {
    const struct fc_instruction *i = &source->instructions[at];
    size_t count = source->count;
    uint64_t next = at + 1;
    bool true_inside = next + i->on_true < count;
    bool false_inside = next + i->on_false < count;
    if (!reference_is_code(i->code) || i->flags > (reference_sees_bytes(i->code) ? 1 : 0))
        return false;
    if (i->code == 0x105)
        return true_inside && false_inside && i->k < source->set_count;
    if (i->code == 0x115)
        return true_inside && false_inside && i->k < source->wide_set_count;
    if (i->code == 0x125)
        return true_inside && false_inside && i->k < source->pattern_count;
    if (i->code == 0x135)
        return i->k >= 1 && i->k <= next;
    if (reference_class(i->code) == 6)
        return true;
    if (i->code == 0x05)
        return true_inside;
    if (reference_class(i->code) == 5)
        return true_inside && false_inside;
    if (next >= count)
        return false;
    if (reference_is_load(i->code))
        return false_inside;
    if (reference_is_divide(i->code))
        return (i->code & 0x08) ? false_inside : i->k != 0;
    if (i->code == 0x60 || i->code == 0x61 || i->code == 0x02 || i->code == 0x03)
        return i->k < 16;
    return true;
}

static inline bool reference_in_set(const struct fc_ranges *set, uint32_t value) {
    for (uint32_t i = 0; i < set->count; i++)
        if (set->pairs[2 * i] <= value && value <= set->pairs[2 * i + 1])
            return true;
    return false;
}

static inline bool reference_in_wide(const struct fc_wide_ranges *set, const uint8_t *bytes) {
    for (uint32_t i = 0; i < set->count; i++) {
        const uint8_t *low = set->pairs + (size_t)2 * i * set->width;
        if (memcmp(low, bytes, set->width) <= 0 && memcmp(bytes, low + set->width, set->width) <= 0)
            return true;
    }
    return false;
}

static inline bool reference_contains(const struct fc_pattern *pattern, const uint8_t *frame,
                                      uint32_t captured) {
    for (uint64_t at = 0; at + pattern->length <= captured; at++)
        if (memcmp(frame + at, pattern->bytes, pattern->length) == 0)
            return true;
    return false;
}

/* A frame in one piece, with or without its tags. */
struct reference_frame {
    uint8_t bytes[4096];
    uint32_t captured;
    uint32_t wire;
};

static inline void reference_without_tags(struct reference_frame *frame, uint32_t at) {
    while (at != 0 && frame->captured >= at + 2) {
        unsigned type = frame->bytes[at] * 256u + frame->bytes[at + 1];
        if (type != 0x8100 && type != 0x88a8 && type != 0x9100)
            return;
        uint32_t there = frame->captured - at < 4 ? frame->captured - at : 4;
        memmove(frame->bytes + at, frame->bytes + at + there, frame->captured - at - there);
        frame->captured -= there;
        frame->wire = frame->wire < 4 ? 0 : frame->wire - 4;
        if (there < 4)
            return;
    }
}

static inline uint32_t reference_alu(int operation, uint64_t a, uint64_t b) {
    switch (operation) {
    case 0x00: return (uint32_t)(a + b);
    case 0x10: return (uint32_t)(a + (UINT64_C(1) << 32) - b);
    case 0x20: return (uint32_t)(a * b);
    case 0x30: return (uint32_t)(a / b);
    case 0x40: return (uint32_t)(a | b);
    case 0x50: return (uint32_t)(a & b);
    case 0x60: return b > 31 ? 0 : (uint32_t)(a << b);
    case 0x70: return b > 31 ? 0 : (uint32_t)(a >> b);
    case 0x80: return (uint32_t)((UINT64_C(1) << 32) - a);
    case 0x90: return (uint32_t)(a % b);
    case 0xa0: return (uint32_t)(a ^ b);
    }
    abort();
}

static inline bool reference_test(int operation, uint32_t a, uint32_t b) {
    return operation == 0x10   ? a == b
           : operation == 0x20 ? a > b
           : operation == 0x30 ? a >= b
                               : (a & b) != 0;
}

/* What a valid program returns for a frame that is one piece. */
static inline uint32_t reference_run(const struct fc_program_source *source, const uint8_t *whole,
                                     uint32_t length, uint32_t wire_length) {
    const struct fc_instruction *program = source->instructions;
    size_t count = source->count;
    struct reference_frame bare = {.captured = length, .wire = wire_length};
    if (source->tags_at != 0 && length != 0) {
        if (length > sizeof bare.bytes)
            abort();
        memcpy(bare.bytes, whole, length);
        reference_without_tags(&bare, source->tags_at);
    }
    uint32_t a = 0;
    uint32_t x = 0;
    uint32_t memory[16] = {0};
    uint64_t back = 0;
    for (uint64_t at = 0; at < count; at++) {
        const struct fc_instruction *i = &program[at];
        uint16_t code = i->code;
        uint32_t operand = (code & 0x08) ? x : i->k;
        bool skips = i->flags && source->tags_at != 0;
        const uint8_t *frame = skips ? bare.bytes : whole;
        uint32_t captured = skips ? bare.captured : length;
        uint32_t wire = skips ? bare.wire : wire_length;
        if (code == FC_JA_BACK) {
            if (++back > 65536)
                return 0;
            at -= i->k; /* may pass 0: the loop adds 1 */
        } else if (code == FC_LD_CAPTURED) {
            a = captured;
        } else if (code == FC_JMP_IN_SET) {
            at += reference_in_set(&source->sets[i->k], a) ? i->on_true : i->on_false;
        } else if (code == FC_JMP_IN_WIDE) {
            const struct fc_wide_ranges *set = &source->wide_sets[i->k];
            bool in = (uint64_t)a + set->width <= captured && reference_in_wide(set, frame + a);
            at += in ? i->on_true : i->on_false;
        } else if (code == FC_JMP_CONTAINS) {
            at += reference_contains(&source->patterns[i->k], frame, captured) ? i->on_true
                                                                               : i->on_false;
        } else if (reference_is_load(code)) {
            uint64_t size = code == 0xb1 || (code & 0x18) == 0x10 ? 1 : (code & 0x18) ? 2 : 4;
            uint64_t offset = i->k + ((code & 0xe0) == 0x40 ? (uint64_t)x : 0);
            uint32_t value = 0;
            if (offset + size > captured) {
                at += i->on_false;
                continue;
            }
            for (uint64_t byte = 0; byte < size; byte++)
                value = value * 256 + frame[offset + byte];
            if (code == 0xb1)
                x = value % 16 * 4;
            else
                a = value;
        } else {
            switch (reference_class(code)) {
            case 0: a = code == 0x00 ? i->k : code == 0x60 ? memory[i->k] : wire; break;
            case 1: x = code == 0x01 ? i->k : code == 0x61 ? memory[i->k] : wire; break;
            case 2: memory[i->k] = a; break;
            case 3: memory[i->k] = x; break;
            case 4:
                if (reference_is_divide(code) && operand == 0)
                    at += i->on_false;
                else
                    a = reference_alu(code & 0xf0, a, operand);
                break;
            case 5:
                if (code == 0x05)
                    at += i->on_true;
                else
                    at += reference_test(code & 0xf0, a, operand) ? i->on_true : i->on_false;
                break;
            case 6: return code == 0x06 ? i->k : a;
            case 7:
                if (code == 0x07)
                    x = a;
                else
                    a = x;
                break;
            }
        }
    }
    abort(); /* a valid program returns */
}

/* The same frame with its 802.1Q tag apart: `rest` owns a block of exactly the bytes that are
 * left. The frame has at least 16 bytes captured. */
static inline struct fc_frame reference_tagged(const uint8_t *frame, uint32_t captured,
                                               uint32_t wire, uint8_t **rest) {
    struct fc_frame tagged = {.captured = captured, .wire = wire, .tagged = true};
    uint8_t *block = malloc(captured - FC_TAG_LENGTH);
    if (!block)
        abort();
    memcpy(tagged.tag, frame + FC_TAG_OFFSET, FC_TAG_LENGTH);
    memcpy(block, frame, FC_TAG_OFFSET);
    memcpy(block + FC_TAG_OFFSET, frame + FC_TAG_OFFSET + FC_TAG_LENGTH,
           captured - FC_TAG_OFFSET - FC_TAG_LENGTH);
    tagged.bytes = block;
    *rest = block;
    return tagged;
}

#endif
