/* SPDX-License-Identifier: Apache-2.0
 *
 * What the crate in jit/ gives to C (jit/src/interface.rs).
 */
#ifndef FC_TEST_MACHINE_CODE_H
#define FC_TEST_MACHINE_CODE_H

#include "code.h"
#include "program.h"

struct fc_jit;

/* NULL: refused. `judge`: an fc_code_judge of all sources, else an fc_code_run of one. */
struct fc_jit *fc_jit_new(const struct fc_program_source *sources, size_t count, bool judge);
const void *fc_jit_function(const struct fc_jit *code);
void fc_jit_free(struct fc_jit *code);

#endif
