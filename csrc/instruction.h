/* SPDX-License-Identifier: Apache-2.0
 *
 * Instructions of filter programs: classic BPF's codes, and ours. csrc/program.h says what they
 * mean.
 */
#ifndef FC_INSTRUCTION_H
#define FC_INSTRUCTION_H

#include <stdint.h>

/* One instruction as Python hands it over. Targets count instructions, from the next one on. */
struct fc_instruction {
    uint16_t code;
    uint16_t flags; /* FC_SKIPS_TAGS, or 0 */
    uint32_t k;
    uint32_t on_true;  /* jumps: taken when the test holds */
    uint32_t on_false; /* jumps: when not; loads: bytes missing; div and mod by X: X is 0 */
};

/* Codes beside classic BPF's. */
enum {
    FC_LD_CAPTURED = 0x100,  /* A = captured length */
    FC_JMP_IN_SET = 0x105,   /* A is in set number k */
    FC_JMP_IN_WIDE = 0x115,  /* the bytes from offset A on are in wide set number k */
    FC_JMP_CONTAINS = 0x125, /* pattern number k is somewhere in the captured bytes */
    FC_JA_BACK = 0x135,      /* k instructions back, counted from the next one */
};

/* For loads, lengths and FC_JMP_IN_WIDE: the frame as it would be without its tags. */
enum { FC_SKIPS_TAGS = 1 };

/* Classic BPF's, composed as in linux/bpf_common.h: class, size, mode or operation, source. */
enum {
    FC_LD_W_ABS = 0x20,
    FC_LD_H_ABS = 0x28,
    FC_LD_B_ABS = 0x30,
    FC_LD_W_IND = 0x40,
    FC_LD_H_IND = 0x48,
    FC_LD_B_IND = 0x50,
    FC_LD_IMM = 0x00,
    FC_LD_MEM = 0x60,
    FC_LD_LEN = 0x80,
    FC_LDX_IMM = 0x01,
    FC_LDX_MEM = 0x61,
    FC_LDX_LEN = 0x81,
    FC_LDX_MSH = 0xb1,
    FC_ST = 0x02,
    FC_STX = 0x03,
    FC_ADD_K = 0x04,
    FC_ADD_X = 0x0c,
    FC_SUB_K = 0x14,
    FC_SUB_X = 0x1c,
    FC_MUL_K = 0x24,
    FC_MUL_X = 0x2c,
    FC_DIV_K = 0x34,
    FC_DIV_X = 0x3c,
    FC_OR_K = 0x44,
    FC_OR_X = 0x4c,
    FC_AND_K = 0x54,
    FC_AND_X = 0x5c,
    FC_LSH_K = 0x64,
    FC_LSH_X = 0x6c,
    FC_RSH_K = 0x74,
    FC_RSH_X = 0x7c,
    FC_NEG = 0x84,
    FC_MOD_K = 0x94,
    FC_MOD_X = 0x9c,
    FC_XOR_K = 0xa4,
    FC_XOR_X = 0xac,
    FC_JA = 0x05,
    FC_JEQ_K = 0x15,
    FC_JEQ_X = 0x1d,
    FC_JGT_K = 0x25,
    FC_JGT_X = 0x2d,
    FC_JGE_K = 0x35,
    FC_JGE_X = 0x3d,
    FC_JSET_K = 0x45,
    FC_JSET_X = 0x4d,
    FC_RET_K = 0x06,
    FC_RET_A = 0x16,
    FC_TAX = 0x07,
    FC_TXA = 0x87,
};

#endif
