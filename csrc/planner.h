/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the part of a program that can be a plan (csrc/plan.h).
 */
#ifndef FC_PLANNER_H
#define FC_PLANNER_H

#include "instruction.h"
#include "plan.h"
#include "status.h"

enum { FC_PLANNER_LONGEST = 65536 /* instructions; longer programs get no plan */ };

/* The instructions must be those of a valid program, and `sets` its sets, which the plan borrows.
 * `plan->reach` is 0 where nothing can be planned. FC_ERROR_MEMORY. */
int fc_planner_make(struct fc_plan *plan, const struct fc_instruction *instructions, size_t count,
                    const struct fc_set *sets);

#endif
