/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include "status.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct guard {
    sigjmp_buf back;
    uintptr_t from;
    size_t length;
};

enum { SLOTS = 16 };

/* Who had the signal before each of our handlers. There are several of these, for a handler that
 * came later may have saved ours and call it in its turn: ours of then must lead to who was there
 * before it, and ours of now to it. A slot is written once, before its handler is installed. */
static struct sigaction before[SLOTS];
static int used;
static pthread_mutex_t installing = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct guard *volatile current;

static void pass_on(const struct sigaction *to, int number, siginfo_t *info, void *context) {
    bool sent = info->si_code <= 0; /* by a process: there is no load that is tried again */
    if (to->sa_flags & SA_SIGINFO) {
        to->sa_sigaction(number, info, context);
    } else if (to->sa_handler != SIG_DFL && to->sa_handler != SIG_IGN) {
        to->sa_handler(number);
    } else if (!sent || to->sa_handler == SIG_DFL) {
        signal(number, SIG_DFL); /* the load is tried again, and ends the process */
        if (sent)
            raise(number);
    }
}

static void on_fault(int slot, int number, siginfo_t *info, void *context) {
    struct guard *guard = current;
    if (guard != NULL && (uintptr_t)info->si_addr - guard->from < guard->length &&
        info->si_code > 0)
        siglongjmp(guard->back, 1);
    pass_on(&before[slot], number, info, context);
}

#define HANDLER(slot)                                                                              \
    static void handler_##slot(int number, siginfo_t *info, void *context) {                       \
        on_fault(0x##slot, number, info, context);                                                 \
    }
/* clang-format off */
#define ALL(WHAT)                                                           \
    WHAT(0) WHAT(1) WHAT(2) WHAT(3) WHAT(4) WHAT(5) WHAT(6) WHAT(7)         \
    WHAT(8) WHAT(9) WHAT(a) WHAT(b) WHAT(c) WHAT(d) WHAT(e) WHAT(f)
/* clang-format on */
#define NAME(slot) handler_##slot,

ALL(HANDLER)

static void (*const handlers[SLOTS])(int, siginfo_t *, void *) = {ALL(NAME)};

static bool is_ours(const struct sigaction *action) {
    for (int i = 0; i < SLOTS; i++)
        if ((action->sa_flags & SA_SIGINFO) && action->sa_sigaction == handlers[i])
            return true;
    return false;
}

/* Also where somebody has put another handler in its place meanwhile. When no slot is left, that
 * one gets no more signals. */
static int install(void) {
    struct sigaction now;
    struct sigaction ours;
    memset(&ours, 0, sizeof ours);
    ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigemptyset(&ours.sa_mask);
    pthread_mutex_lock(&installing);
    int status = sigaction(SIGBUS, NULL, &now);
    if (status == 0 && !is_ours(&now)) {
        if (used < SLOTS)
            before[used++] = now;
        ours.sa_sigaction = handlers[used - 1];
        status = sigaction(SIGBUS, &ours, NULL);
    }
    pthread_mutex_unlock(&installing);
    return status < 0 ? FC_ERROR_SYSTEM : FC_OK;
}

int fc_guard_run(int (*body)(void *), void *argument, const void *mapped, size_t length) {
    struct guard guard = {.from = (uintptr_t)mapped, .length = length};
    sigset_t unblocked;
    sigset_t blocked;
    int status = install();
    if (status < 0)
        return status;
    /* the kernel ends a process whose fault is blocked, and programs inherit what is */
    sigemptyset(&unblocked);
    sigaddset(&unblocked, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &unblocked, &blocked);
    /* with the signals that are blocked, for a handler in front of ours may block this one */
    if (sigsetjmp(guard.back, 1) == 0) {
        current = &guard;
        status = body(argument);
    } else {
        status = FC_ERROR_SHRUNK;
    }
    current = NULL;
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    return status;
}
