/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzz targets share: bytes to take decisions from, a check that ends the process, and,
 * with FC_FUZZ_STANDALONE, a main that runs the files given as arguments without libFuzzer.
 */
#ifndef FC_FUZZ_TARGET_H
#define FC_FUZZ_TARGET_H

#include "bytes.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLDS(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #what);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The input as it is used up from its beginning; behind its end are zeros. */
struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t take_byte(struct input *input) {
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

static inline uint32_t take_number(struct input *input) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)take_byte(input) << (8 * i);
    return value;
}

/* Up to `most` bytes in a block of exactly their number, so that ASAN sees what reads behind. */
static inline uint8_t *take_block(struct input *input, size_t most, size_t *length) {
    *length = input->left < most ? input->left : most;
    uint8_t *block = malloc(*length ? *length : 1);
    if (!block)
        abort();
    if (*length)
        memcpy(block, input->at, *length);
    input->at += *length;
    input->left -= *length;
    return block;
}

#ifdef FC_FUZZ_STANDALONE
int main(int count, char **names) {
    static uint8_t bytes[1 << 20];
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        if (!file) {
            perror(names[i]);
            return 1;
        }
        size_t length = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        fprintf(stderr, "%s\n", names[i]); /* before it runs, so a crash names its input */
        uint8_t *exact = malloc(length ? length : 1);
        if (!exact)
            return 1;
        memcpy(exact, bytes, length);
        LLVMFuzzerTestOneInput(exact, length);
        free(exact);
    }
    printf("%d inputs passed\n", count - 1);
    return 0;
}
#endif

#endif
