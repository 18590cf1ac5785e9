/* SPDX-License-Identifier: Apache-2.0
 *
 * One thread asks others to stop. Whoever runs long looks at it often enough to end within a tenth
 * of a second. Zeroed, it is not set; it never goes back.
 */
#ifndef FC_CANCEL_H
#define FC_CANCEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct fc_cancel {
    atomic_int flag;
};

static inline void fc_cancel_set(struct fc_cancel *cancel) {
    atomic_store_explicit(&cancel->flag, 1, memory_order_relaxed);
}

/* NULL is one that nobody can set. */
static inline bool fc_cancel_is_set(const struct fc_cancel *cancel) {
    return cancel != NULL && atomic_load_explicit(&cancel->flag, memory_order_relaxed) != 0;
}

#endif
