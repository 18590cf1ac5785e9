/* SPDX-License-Identifier: Apache-2.0
 *
 * The guard: a load behind the end of a file that was shortened ends the call that made it, and
 * nothing else; other faults go to whoever would have had them.
 */
#include "check.h"
#include "guard.h"
#include "status.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 4 };

static size_t page;

/* A mapped file of PAGES pages; each page begins with its number. */
struct mapped {
    int fd;
    uint8_t *bytes;
};

static void mapped_fill(const struct mapped *mapped) {
    for (uint8_t i = 0; i < PAGES; i++)
        if (pwrite(mapped->fd, &i, 1, (off_t)(i * page)) != 1)
            abort();
    if (ftruncate(mapped->fd, (off_t)(PAGES * page)) < 0)
        abort();
}

static void mapped_cut(const struct mapped *mapped, size_t pages) {
    if (ftruncate(mapped->fd, (off_t)(pages * page)) < 0)
        abort();
}

static struct mapped mapped_new(void) {
    FILE *stream = tmpfile();
    if (!stream)
        abort();
    struct mapped mapped = {.fd = dup(fileno(stream))};
    fclose(stream);
    mapped_fill(&mapped);
    mapped.bytes = mmap(NULL, PAGES * page, PROT_READ, MAP_SHARED, mapped.fd, 0);
    if (mapped.bytes == MAP_FAILED)
        abort();
    return mapped;
}

static void mapped_free(struct mapped *mapped) {
    munmap(mapped->bytes, PAGES * page);
    close(mapped->fd);
}

static uint8_t load(const uint8_t *at) {
    return *(const volatile uint8_t *)at;
}

/* The sum of the numbers of all pages, or one page's. */
static int sum(void *argument) {
    const struct mapped *mapped = argument;
    int all = 0;
    for (size_t i = 0; i < PAGES; i++)
        all += load(mapped->bytes + i * page);
    return all;
}

static int load_one(void *argument) {
    return load(argument);
}

static int run_sum(struct mapped *mapped) {
    return fc_guard_run(sum, mapped, mapped->bytes, PAGES * page);
}

/* ---- Other handlers ---------------------------------------------------------------------- */

static sigjmp_buf out;
static volatile sig_atomic_t calls;
static struct sigaction behind; /* what a handler that asks others calls */

static void leave(int number) {
    (void)number;
    calls++;
    siglongjmp(out, 1);
}

static void leave_with_info(int number, siginfo_t *info, void *context) {
    (void)context;
    CHECK_IS(number, SIGBUS);
    CHECK(info->si_addr != NULL);
    calls++;
    siglongjmp(out, 1);
}

/* Asks the handler before it, and where that one asks back ends it all. */
static void ask_behind(int number, siginfo_t *info, void *context) {
    if (++calls > 5)
        siglongjmp(out, 2);
    if (behind.sa_flags & SA_SIGINFO)
        behind.sa_sigaction(number, info, context);
    else
        behind.sa_handler(number);
}

static void handle_plainly(void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_NODEFER};
    sigaction(SIGBUS, &action, NULL);
}

static void handle(void (*handler)(int, siginfo_t *, void *)) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGBUS, &action, NULL);
}

/* As one that blocks all signals while it runs. */
static void handle_and_ask(void) {
    struct sigaction action = {.sa_sigaction = ask_behind, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    sigaction(SIGBUS, &action, &behind);
}

/* ---- Faults inside ----------------------------------------------------------------------- */

static int give(void *argument) {
    return *(int *)argument;
}

static void a_result_is_that_of_the_body(void) {
    int values[] = {0, 1, -1, FC_ERROR_SHRUNK, 12345};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        CHECK_IS(fc_guard_run(give, &values[i], NULL, 0), values[i]);
}

static void a_load_behind_the_end_is_an_error(void) {
    struct mapped mapped = mapped_new();
    for (int round = 0; round < 300; round++) {
        CHECK_IS(run_sum(&mapped), 0 + 1 + 2 + 3);
        for (size_t pages = PAGES; pages-- > 0;) {
            mapped_cut(&mapped, pages);
            CHECK_IS(run_sum(&mapped), FC_ERROR_SHRUNK);
        }
        mapped_fill(&mapped);
    }
    mapped_free(&mapped);
}

static void a_load_behind_the_end_is_an_error_where_signals_are_blocked(void) {
    struct mapped mapped = mapped_new();
    sigset_t all;
    sigset_t before;
    sigset_t after;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    CHECK_IS(run_sum(&mapped), 0 + 1 + 2 + 3);
    mapped_cut(&mapped, 1);
    CHECK_IS(run_sum(&mapped), FC_ERROR_SHRUNK);
    pthread_sigmask(SIG_SETMASK, &before, &after);
    CHECK(sigismember(&after, SIGBUS) == 1 && sigismember(&after, SIGTERM) == 1);
    mapped_free(&mapped);
}

/* ---- Faults elsewhere -------------------------------------------------------------------- */

/* Loads what is not there, with a guard over something else, or without one. */
static void fault_elsewhere(struct mapped *mapped, size_t guarded) {
    uint8_t *missing = mapped->bytes + 2 * page;
    calls = 0;
    if (sigsetjmp(out, 1) == 0) {
        if (guarded > 0)
            fc_guard_run(load_one, missing, mapped->bytes, guarded);
        else
            load(missing);
        CHECK(false); /* not reached */
    }
}

static void a_fault_elsewhere_goes_to_the_handler_before(void) {
    struct mapped mapped = mapped_new();
    for (int with_info = 0; with_info < 2; with_info++) {
        if (with_info)
            handle(leave_with_info);
        else
            handle_plainly(leave);
        check_about("with info: %d", with_info);
        mapped_fill(&mapped);
        CHECK_IS(run_sum(&mapped), 6); /* installs ours */
        mapped_cut(&mapped, 1);
        for (int round = 0; round < 20; round++) {
            fault_elsewhere(&mapped, 0);
            CHECK_IS(calls, 1);
            fault_elsewhere(&mapped, 2 * page); /* one byte behind what is guarded */
            CHECK_IS(calls, 1);
            calls = 0;
            CHECK_IS(run_sum(&mapped), FC_ERROR_SHRUNK);
            CHECK_IS(calls, 0);
        }
    }
    mapped_free(&mapped);
}

static void a_handler_that_comes_later_is_behind_ours(void) {
    struct mapped mapped = mapped_new();
    handle_plainly(leave);
    CHECK_IS(run_sum(&mapped), 6);
    handle(leave_with_info);
    mapped_cut(&mapped, 1);
    CHECK_IS(run_sum(&mapped), FC_ERROR_SHRUNK);
    fault_elsewhere(&mapped, 0);
    CHECK_IS(calls, 1);
    struct sigaction now;
    sigaction(SIGBUS, NULL, &now);
    CHECK(now.sa_sigaction != leave_with_info);
    mapped_free(&mapped);
}

/* A good neighbour: it has ours from when it came, and asks it in its turn. */
static void handlers_do_not_ask_each_other_for_ever(void) {
    struct mapped mapped = mapped_new();
    handle(leave_with_info);
    CHECK_IS(run_sum(&mapped), 6);
    for (int round = 0; round < 3; round++) { /* it comes and goes */
        mapped_fill(&mapped);
        handle_and_ask();
        CHECK_IS(run_sum(&mapped), 6);
        mapped_cut(&mapped, 1);
        CHECK_IS(run_sum(&mapped), FC_ERROR_SHRUNK);
        fault_elsewhere(&mapped, 0);
        check_about("round %d", round);
        CHECK_IS(calls, 2); /* itself, and the one that was there first */
        fault_elsewhere(&mapped, page);
        CHECK_IS(calls, 2);
        sigaction(SIGBUS, &behind, NULL);
        fault_elsewhere(&mapped, page);
        CHECK_IS(calls, 1);
    }
    mapped_free(&mapped);
}

/* It comes while a guarded call is at work, and asks ours. */
static int sum_with_a_neighbour(void *argument) {
    handle_and_ask();
    return sum(argument);
}

static void a_handler_in_front_of_ours_may_ask_it(void) {
    struct mapped mapped = mapped_new();
    handle(leave_with_info);
    mapped_cut(&mapped, 1);
    for (int round = 0; round < 3; round++) {
        calls = 0;
        check_about("round %d", round);
        CHECK_IS(fc_guard_run(sum_with_a_neighbour, &mapped, mapped.bytes, PAGES * page),
                 FC_ERROR_SHRUNK);
        CHECK_IS(calls, 1);
    }
    mapped_free(&mapped);
}

/* The signal that ends a child, or its exit code, negative. */
static int death_of(void (*child)(struct mapped *), struct mapped *mapped) {
    int status = 0;
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        child(mapped);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid)
        abort();
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void fault_by_default(struct mapped *mapped) {
    signal(SIGBUS, SIG_DFL);
    mapped_cut(mapped, 1);
    if (run_sum(mapped) != FC_ERROR_SHRUNK)
        _exit(1);
    load(mapped->bytes + 2 * page);
}

static void fault_ignored(struct mapped *mapped) {
    signal(SIGBUS, SIG_IGN);
    mapped_cut(mapped, 1);
    if (run_sum(mapped) != FC_ERROR_SHRUNK)
        _exit(1);
    load(mapped->bytes + 2 * page);
}

static void signal_by_default(struct mapped *mapped) {
    signal(SIGBUS, SIG_DFL);
    run_sum(mapped);
    raise(SIGBUS);
}

static void signal_ignored(struct mapped *mapped) {
    signal(SIGBUS, SIG_IGN);
    run_sum(mapped);
    raise(SIGBUS);
}

/* No load is tried again after it. */
static void a_signal_that_somebody_sends_does_what_it_did(void) {
    struct mapped mapped = mapped_new();
    CHECK_IS(death_of(signal_by_default, &mapped), SIGBUS);
    CHECK_IS(death_of(signal_ignored, &mapped), 0);
    mapped_free(&mapped);
}

/* Far more often than there are slots. */
static void come_and_go(struct mapped *mapped) {
    for (int round = 0; round < 100; round++) {
        mapped_fill(mapped);
        handle_and_ask();
        if (run_sum(mapped) != 6)
            _exit(1);
        mapped_cut(mapped, 1);
        if (run_sum(mapped) != FC_ERROR_SHRUNK)
            _exit(2);
        sigaction(SIGBUS, &behind, NULL);
    }
    _exit(33);
}

static void handlers_may_come_and_go_for_ever(void) {
    struct mapped mapped = mapped_new();
    CHECK_IS(death_of(come_and_go, &mapped), -33);
    mapped_free(&mapped);
}

static void a_fault_that_nobody_handles_ends_the_process(void) {
    struct mapped mapped = mapped_new();
    CHECK_IS(death_of(fault_by_default, &mapped), SIGBUS);
    CHECK_IS(death_of(fault_ignored, &mapped), SIGBUS);
    mapped_free(&mapped);
}

/* ---- Threads ----------------------------------------------------------------------------- */

static void *fault_in_a_thread(void *argument) {
    struct mapped mapped = mapped_new();
    int *failed = argument;
    for (int round = 0; round < 200; round++) {
        mapped_fill(&mapped);
        *failed += run_sum(&mapped) != 6;
        mapped_cut(&mapped, (size_t)round % PAGES);
        *failed += run_sum(&mapped) != FC_ERROR_SHRUNK;
    }
    mapped_free(&mapped);
    return NULL;
}

static void threads_do_not_see_each_other(void) {
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    int failed[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, fault_in_a_thread, &failed[i]) != 0)
            abort();
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_IS(failed[i], 0);
    }
}

int main(void) {
    page = (size_t)sysconf(_SC_PAGESIZE);
    TEST(a_result_is_that_of_the_body);
    TEST(a_load_behind_the_end_is_an_error);
    TEST(a_load_behind_the_end_is_an_error_where_signals_are_blocked);
    TEST(a_fault_elsewhere_goes_to_the_handler_before);
    TEST(a_handler_that_comes_later_is_behind_ours);
    TEST(handlers_do_not_ask_each_other_for_ever);
    TEST(a_handler_in_front_of_ours_may_ask_it);
    TEST(handlers_may_come_and_go_for_ever);
    TEST(a_signal_that_somebody_sends_does_what_it_did);
    TEST(a_fault_that_nobody_handles_ends_the_process);
    TEST(threads_do_not_see_each_other);
    return check_result();
}
