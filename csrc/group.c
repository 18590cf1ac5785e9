/* SPDX-License-Identifier: Apache-2.0 */
#include "group.h"

const uint8_t fc_group_zeros[FC_GROUP_REACH] = {0};

void fc_group_begin(struct fc_group *group, uint32_t reach, uint32_t snaplen) {
    *group = (struct fc_group){.reach = reach, .snaplen = snaplen};
    for (size_t i = 0; i < FC_GROUP; i++)
        group->bytes[i] = fc_group_zeros;
    group->near = group->bytes;
}

void fc_group_empty(struct fc_group *group, uint64_t places) {
    while (places != 0)
        group->bytes[fc_group_next(&places)] = fc_group_zeros;
}

/* Zeros for frames that are shorter than `reach`; those are not `whole`. */
void fc_group_patch(struct fc_group *group) {
    for (uint32_t i = 0; i < FC_GROUP; i++) {
        bool whole = (group->present >> i & 1) && fc_group_captured(group, i) >= group->reach;
        group->patched[i] = whole ? group->bytes[i] : fc_group_zeros;
        if (!whole)
            group->whole &= ~(UINT64_C(1) << i);
    }
    group->near = group->patched;
}

/* `size` is a constant in each of the callers. */
static inline __attribute__((always_inline)) void fetch(const struct fc_group *group, uint32_t size,
                                                        uint32_t offset, uint32_t *column) {
    for (size_t i = 0; i < FC_GROUP; i++) {
        const uint8_t *at = group->near[i] + offset;
        if (size == 4) {
            column[i] = fc_load32(at);
        } else if (size == 2) {
            uint16_t half;
            memcpy(&half, at, sizeof half);
            column[i] = half;
        } else {
            column[i] = at[0];
        }
    }
}

const uint32_t *fc_group_column(struct fc_group *group, uint32_t size, uint32_t offset) {
    if (size == 0)
        return group->wire;
    uint32_t key = size << 16 | offset;
    for (uint32_t i = 0; i < group->column_count; i++)
        if (group->keys[i] == key)
            return group->columns[i];
    if (group->column_count == FC_GROUP_COLUMNS)
        group->column_count--; /* the last place is used again and again */
    uint32_t *column = group->columns[group->column_count];
    group->keys[group->column_count++] = key;
    if (size == 4)
        fetch(group, 4, offset, column);
    else if (size == 2)
        fetch(group, 2, offset, column);
    else
        fetch(group, 1, offset, column);
    return column;
}

uint64_t fc_group_tagged(struct fc_group *group, uint32_t at, uint64_t frames) {
    const uint32_t *types = fc_group_column(group, 2, at);
    uint8_t flags[FC_GROUP];
    uint8_t any = 0;
    for (size_t i = 0; i < FC_GROUP; i++) {
        uint32_t type = fc_group_number(types[i], 2);
        flags[i] = type == 0x8100 || type == 0x88a8 || type == 0x9100;
        any |= flags[i];
    }
    return any ? fc_group_as_bits(flags) & frames : 0;
}
