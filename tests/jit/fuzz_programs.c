/* SPDX-License-Identifier: Apache-2.0
 *
 * The fuzz target of programs (tests/fuzz/program.c) with machine code beside the interpreter.
 */
#define FC_MACHINE_CODE
#include "../fuzz/program.c"
