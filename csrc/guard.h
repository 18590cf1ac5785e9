/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading mapped files that others may shorten: the kernel answers a load behind their end with
 * SIGBUS, which ends the process. Here it ends the one call that made the load.
 *
 * A process has one handler for a signal, so this is the one piece of the core with state outside
 * its arguments. A fault elsewhere goes to the handler that was there before.
 */
#ifndef FC_GUARD_H
#define FC_GUARD_H

#include <stddef.h>

/* Calls `body(argument)`, which may read the `length` bytes from `mapped` on: its result, or
 * FC_ERROR_SHRUNK where the file does not reach so far any more. Then body ended at some load from
 * there; it must not hold a lock or own what nobody else can free. FC_ERROR_SYSTEM. */
int fc_guard_run(int (*body)(void *), void *argument, const void *mapped, size_t length);

#endif
