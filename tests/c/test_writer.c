/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes reach the file whole and in order, in blocks, whatever write() does; a sleeping reader does
 * not hold up a cancel; a finished file gets its name without harm to one that has it.
 */
#include "check.h"
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- A write that is watched and misbehaves ---------------------------------------------- */

static struct {
    size_t calls;
    size_t largest;
    size_t not_whole; /* calls of another size, or at another place, than whole blocks */
    uint64_t offset;  /* bytes taken since the watch began */
    size_t most;      /* bytes a call takes; 0 for all */
    int interrupts;   /* calls that fail with EINTR first */
    int again;        /* calls that fail with EAGAIN after those */
} watch;

/* Takes the place of the C library's in this program. */
ssize_t write(int fd, const void *bytes, size_t size) {
    watch.calls++;
    if (size > watch.largest)
        watch.largest = size;
    if (size != FC_WRITER_BLOCK || watch.offset % FC_WRITER_BLOCK != 0)
        watch.not_whole++;
    if (watch.interrupts > 0 || watch.again > 0) {
        errno = watch.interrupts > 0 ? EINTR : EAGAIN;
        (*(watch.interrupts > 0 ? &watch.interrupts : &watch.again))--;
        return -1;
    }
    if (watch.most > 0 && size > watch.most)
        size = watch.most;
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    ssize_t wrote = writev(fd, &part, 1);
    if (wrote > 0)
        watch.offset += (uint64_t)wrote;
    return wrote;
}

static void watch_anew(void) {
    memset(&watch, 0, sizeof watch);
}

/* A kernel, or a file system, that cannot rename without replacing. */
#if defined(__linux__) && defined(SYS_renameat2)
static int no_exclusive_rename; /* the errno it says so with; 0 where it can */

/* Takes the place of the C library's; the core asks it for this one call only. */
long syscall(long number, ...) {
    va_list arguments;
    va_start(arguments, number);
    int from_folder = va_arg(arguments, int);
    const char *from = va_arg(arguments, const char *);
    int to_folder = va_arg(arguments, int);
    const char *to = va_arg(arguments, const char *);
    int flags = va_arg(arguments, int);
    va_end(arguments);
    if (number != SYS_renameat2 || no_exclusive_rename != 0) {
        errno = number != SYS_renameat2 ? ENOSYS : no_exclusive_rename;
        return -1;
    }
    return renameat2(from_folder, from, to_folder, to, (unsigned int)flags);
}
#endif

/* ---- Helpers ----------------------------------------------------------------------------- */

static int new_file(void) {
    FILE *stream = tmpfile();
    if (!stream)
        abort();
    int fd = dup(fileno(stream));
    fclose(stream);
    return fd;
}

static uint64_t size_of(int fd) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        abort();
    return (uint64_t)status.st_size;
}

/* The file is these bytes and no more. */
static void check_content(int fd, const uint8_t *bytes, size_t length) {
    if (!CHECK_IS(size_of(fd), length))
        return;
    uint8_t *read_back = block_new(length);
    size_t done = 0;
    for (ssize_t got = 1; done < length && got > 0; done += (size_t)got)
        got = pread(fd, read_back + done, length - done, (off_t)done);
    CHECK_IS(done, length);
    CHECK(memcmp(read_back, bytes, length) == 0);
    free(read_back);
}

static uint8_t *random_block(size_t length) {
    uint8_t *block = block_new(length);
    for (size_t i = 0; i < length; i++)
        block[i] = (uint8_t)(i * 2654435761u >> 13);
    return block;
}

/* A flag that another process can set. */
static struct fc_cancel *shared_cancel(void) {
    void *page = mmap(NULL, sizeof(struct fc_cancel), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        abort();
    return page;
}

static void sleep_ms(long ms) {
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static pid_t cancel_after_ms(struct fc_cancel *cancel, long ms) {
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(ms);
        fc_cancel_set(cancel);
        _exit(0);
    }
    return child;
}

static void wait_for(pid_t child) {
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- Files ------------------------------------------------------------------------------- */

static void nothing_appended_writes_nothing(void) {
    struct fc_writer writer;
    int fd = new_file();
    watch_anew();
    CHECK_IS(fc_writer_open(&writer, fd, FC_WRITER_BLOCK, NULL), FC_OK);
    CHECK_IS(fc_writer_append(&writer, NULL, 0), FC_OK);
    CHECK_IS(fc_writer_flush(&writer), FC_OK);
    CHECK_IS(writer.written, 0);
    CHECK_IS(watch.calls, 0);
    fc_writer_close(&writer);
    fc_writer_close(&writer);
    CHECK_IS(size_of(fd), 0);
    close(fd);
    struct fc_writer zeroed = {0};
    fc_writer_close(&zeroed);
}

/* All but the last write are whole blocks at multiples of a block. */
static void append_sizes_do_not_matter(void) {
    const size_t total = 2 * (size_t)FC_WRITER_BLOCK + 12345;
    const size_t sizes[] = {13,
                            4096,
                            65537,
                            FC_WRITER_BLOCK - 1,
                            FC_WRITER_BLOCK,
                            FC_WRITER_BLOCK + 1,
                            2 * FC_WRITER_BLOCK - 1,
                            2 * FC_WRITER_BLOCK,
                            2 * FC_WRITER_BLOCK + 12345};
    uint8_t *bytes = random_block(total);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct fc_writer writer;
        int fd = new_file();
        watch_anew();
        check_about("appends of %zu", sizes[i]);
        CHECK_IS(fc_writer_open(&writer, fd, FC_WRITER_BLOCK, NULL), FC_OK);
        CHECK(!writer.patient);
        for (size_t done = 0; done < total;) {
            size_t part = total - done < sizes[i] ? total - done : sizes[i];
            CHECK_IS(fc_writer_append(&writer, bytes + done, part), FC_OK);
            done += part;
            CHECK_IS(writer.written, done - done % FC_WRITER_BLOCK);
            CHECK_IS(writer.written + writer.used, done);
        }
        CHECK_IS(watch.calls, 2);
        CHECK_IS(watch.not_whole, 0);
        CHECK_IS(size_of(fd), 2 * FC_WRITER_BLOCK);
        CHECK_IS(fc_writer_flush(&writer), FC_OK);
        CHECK_IS(writer.written, total);
        CHECK_IS(watch.calls, 3);
        fc_writer_close(&writer);
        check_content(fd, bytes, total);
        close(fd);
    }
    free(bytes);
}

static void single_bytes_arrive_in_order(void) {
    const size_t total = FC_WRITER_BLOCK + 3;
    uint8_t *bytes = random_block(total);
    struct fc_writer writer;
    int fd = new_file();
    int failures = 0;
    CHECK_IS(fc_writer_open(&writer, fd, FC_WRITER_BLOCK, NULL), FC_OK);
    for (size_t i = 0; i < total; i++)
        failures += fc_writer_append(&writer, bytes + i, 1) != FC_OK;
    CHECK_IS(failures, 0);
    CHECK_IS(fc_writer_flush(&writer), FC_OK);
    fc_writer_close(&writer);
    check_content(fd, bytes, total);
    close(fd);
    free(bytes);
}

static void mixed_appends_writes_and_flushes_arrive_in_order(void) {
    uint8_t *bytes = random_block(3 * FC_WRITER_BLOCK);
    for (int round = 0; round < 6; round++) {
        struct fc_writer writer;
        int fd = new_file();
        size_t done = 0;
        check_about("round %d", round);
        CHECK_IS(fc_writer_open(&writer, fd, FC_WRITER_BLOCK, NULL), FC_OK);
        while (done < 3 * FC_WRITER_BLOCK) {
            size_t part = random_below(2) ? random_below(100) : random_below(FC_WRITER_BLOCK * 2);
            if (part > 3 * FC_WRITER_BLOCK - done)
                part = 3 * FC_WRITER_BLOCK - done;
            bool at_once = random_below(3) == 0;
            int status = at_once ? fc_writer_write(&writer, bytes + done, part)
                                 : fc_writer_append(&writer, bytes + done, part);
            CHECK_IS(status, FC_OK);
            done += part;
            if (at_once)
                CHECK_IS(writer.written, done);
            if (random_below(8) == 0) {
                CHECK_IS(fc_writer_flush(&writer), FC_OK);
                CHECK_IS(writer.written, done);
            }
        }
        CHECK_IS(fc_writer_flush(&writer), FC_OK);
        fc_writer_close(&writer);
        check_content(fd, bytes, done);
        close(fd);
    }
    free(bytes);
}

static void short_and_interrupted_writes_go_on(void) {
    const size_t total = FC_WRITER_BLOCK + 1000;
    uint8_t *bytes = random_block(total);
    struct fc_writer writer;
    int fd = new_file();
    watch_anew();
    watch.most = 100003;
    watch.interrupts = 3;
    watch.again = 2;
    CHECK_IS(fc_writer_open(&writer, fd, FC_WRITER_BLOCK, NULL), FC_OK);
    CHECK_IS(fc_writer_append(&writer, bytes, total), FC_OK);
    CHECK_IS(fc_writer_flush(&writer), FC_OK);
    CHECK_IS(writer.written, total);
    CHECK_IS(watch.interrupts + watch.again, 0);
    watch_anew();
    fc_writer_close(&writer);
    check_content(fd, bytes, total);
    close(fd);
    free(bytes);
}

static void blocks_may_be_smaller(void) {
    enum { ROOM = 2 * FC_WRITER_ALIGNMENT };
    uint8_t *bytes = random_block(3 * ROOM + 5);
    struct fc_writer writer;
    int fd = new_file();
    watch_anew();
    CHECK_IS(fc_writer_open(&writer, fd, ROOM, NULL), FC_OK);
    CHECK_IS(fc_writer_append(&writer, bytes, 7), FC_OK);
    CHECK_IS(fc_writer_append(&writer, bytes + 7, 3 * ROOM - 2), FC_OK);
    CHECK_IS(writer.written, 3 * ROOM);
    CHECK_IS(watch.largest, ROOM);
    CHECK_IS(fc_writer_flush(&writer), FC_OK);
    fc_writer_close(&writer);
    check_content(fd, bytes, 3 * ROOM + 5);
    for (size_t room = 0; room <= ROOM; room += ROOM / 2 + 1) {
        CHECK_IS(fc_writer_open(&writer, fd, room, NULL), FC_ERROR_ARGUMENT);
        fc_writer_close(&writer);
    }
    close(fd);
    free(bytes);
}

static void a_bad_descriptor_is_an_error(void) {
    struct fc_writer writer;
    CHECK_IS(fc_writer_open(&writer, -1, FC_WRITER_BLOCK, NULL), FC_ERROR_SYSTEM);
    CHECK_IS(errno, EBADF);
    fc_writer_close(&writer);
    int fd = open("/dev/null", O_RDONLY);
    CHECK_IS(fc_writer_open(&writer, fd, FC_WRITER_BLOCK, NULL), FC_OK);
    CHECK_IS(fc_writer_append(&writer, (const uint8_t *)"x", 1), FC_OK);
    CHECK_IS(fc_writer_flush(&writer), FC_ERROR_SYSTEM);
    CHECK_IS(errno, EBADF);
    fc_writer_close(&writer);
    close(fd);
}

static void a_full_disk_is_an_error(void) {
    int fd = open("/dev/full", O_WRONLY);
    if (fd < 0)
        return; /* only Linux has it */
    struct fc_writer writer;
    uint8_t *bytes = random_block(FC_WRITER_BLOCK);
    CHECK_IS(fc_writer_open(&writer, fd, FC_WRITER_BLOCK, NULL), FC_OK);
    CHECK_IS(fc_writer_append(&writer, bytes, 100), FC_OK);
    CHECK_IS(fc_writer_flush(&writer), FC_ERROR_SYSTEM);
    CHECK_IS(errno, ENOSPC);
    CHECK_IS(fc_writer_append(&writer, bytes, FC_WRITER_BLOCK), FC_ERROR_SYSTEM);
    CHECK_IS(errno, ENOSPC);
    CHECK_IS(fc_writer_append(&writer, bytes, FC_WRITER_BLOCK - 1), FC_OK);
    CHECK_IS(fc_writer_append(&writer, bytes, 1), FC_ERROR_SYSTEM);
    CHECK_IS(writer.written, 0);
    fc_writer_close(&writer);
    close(fd);
    free(bytes);
}

static void a_set_cancel_stops_the_next_write(void) {
    struct fc_cancel cancel = {0};
    struct fc_writer writer;
    int fd = new_file();
    CHECK_IS(fc_writer_open(&writer, fd, FC_WRITER_BLOCK, &cancel), FC_OK);
    CHECK_IS(fc_writer_append(&writer, (const uint8_t *)"abc", 3), FC_OK);
    fc_cancel_set(&cancel);
    CHECK_IS(fc_writer_append(&writer, (const uint8_t *)"def", 3), FC_OK); /* only memory */
    CHECK_IS(fc_writer_flush(&writer), FC_ERROR_CANCELLED);
    CHECK_IS(size_of(fd), 0);
    fc_writer_close(&writer);
    close(fd);
}

/* ---- Readers that sleep, read slowly, or went away --------------------------------------- */

enum { TOWARDS_PIPE, TOWARDS_SOCKET, TOWARDS_WAYS };

static void make_way(int way, int *reader, int *writer) {
    int ends[2];
    if ((way == TOWARDS_PIPE ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) < 0)
        abort();
    *reader = ends[0];
    *writer = ends[1];
}

static void cancel_wakes_a_writer_whose_reader_sleeps(void) {
    uint8_t *bytes = random_block(FC_WRITER_BLOCK);
    for (int way = 0; way < TOWARDS_WAYS; way++) {
        struct fc_cancel *cancel = shared_cancel();
        struct fc_writer writer;
        int reader, to;
        make_way(way, &reader, &to);
        check_about("way %d", way);
        watch_anew();
        CHECK_IS(fc_writer_open(&writer, to, FC_WRITER_BLOCK, cancel), FC_OK);
        CHECK(writer.patient);
        pid_t child = cancel_after_ms(cancel, 200);
        CHECK_IS(fc_writer_append(&writer, bytes, FC_WRITER_BLOCK), FC_ERROR_CANCELLED);
        CHECK(writer.written > 0 && writer.written < FC_WRITER_BLOCK);
        CHECK(watch.largest <= PIPE_BUF);
        wait_for(child);
        fc_writer_close(&writer);
        close(reader);
        close(to);
        munmap(cancel, sizeof *cancel);
    }
    free(bytes);
}

/* A terminal whose other side nobody reads. It is open non-blocking, for poll() promises no room
 * of any size there. */
static void cancel_wakes_a_writer_to_a_stopped_terminal(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        return; /* no terminals here */
    int to = open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (to < 0)
        return;
    uint8_t *bytes = random_block(FC_WRITER_BLOCK);
    struct fc_cancel *cancel = shared_cancel();
    struct fc_writer writer;
    CHECK_IS(fc_writer_open(&writer, to, FC_WRITER_BLOCK, cancel), FC_OK);
    CHECK(writer.patient);
    pid_t child = cancel_after_ms(cancel, 200);
    CHECK_IS(fc_writer_append(&writer, bytes, FC_WRITER_BLOCK), FC_ERROR_CANCELLED);
    CHECK(writer.written < FC_WRITER_BLOCK);
    wait_for(child);
    fc_writer_close(&writer);
    close(to);
    close(master);
    munmap(cancel, sizeof *cancel);
    free(bytes);
}

/* The other process reads in odd pieces, with pauses, and compares. */
static pid_t slow_reader(int fd, int other_end, const uint8_t *bytes, size_t length) {
    pid_t child = fork();
    if (child != 0)
        return child;
    static uint8_t piece[70001];
    size_t done = 0;
    close(other_end);
    for (ssize_t got; (got = read(fd, piece, sizeof piece)) > 0; done += (size_t)got) {
        if (done + (size_t)got > length || memcmp(piece, bytes + done, (size_t)got) != 0)
            _exit(1);
        if (done % 7 == 0)
            sleep_ms(1);
    }
    _exit(done == length ? 0 : 2);
}

static void slow_readers_get_every_byte(void) {
    const size_t total = FC_WRITER_BLOCK + 54321;
    uint8_t *bytes = random_block(total);
    for (int variant = 0; variant < 2 * TOWARDS_WAYS; variant++) {
        struct fc_writer writer;
        int reader, to;
        make_way(variant / 2, &reader, &to);
        check_about("way %d, variant %d", variant / 2, variant % 2);
        if (variant % 2)
            CHECK(fcntl(to, F_SETFL, O_NONBLOCK) == 0);
        pid_t child = slow_reader(reader, to, bytes, total);
        close(reader);
        watch_anew();
        CHECK_IS(fc_writer_open(&writer, to, FC_WRITER_BLOCK, NULL), FC_OK);
        CHECK_IS(fc_writer_append(&writer, bytes, total), FC_OK);
        CHECK_IS(fc_writer_flush(&writer), FC_OK);
        CHECK_IS(writer.written, total);
        fc_writer_close(&writer);
        close(to);
        wait_for(child);
    }
    free(bytes);
}

static void a_reader_that_went_away_is_an_error(void) {
    for (int way = 0; way < TOWARDS_WAYS; way++) {
        struct fc_writer writer;
        int reader, to;
        make_way(way, &reader, &to);
        close(reader);
        check_about("way %d", way);
        CHECK_IS(fc_writer_open(&writer, to, FC_WRITER_BLOCK, NULL), FC_OK);
        CHECK_IS(fc_writer_append(&writer, (const uint8_t *)"abc", 3), FC_OK);
        CHECK_IS(fc_writer_flush(&writer), FC_ERROR_SYSTEM);
        CHECK_IS(errno, EPIPE);
        fc_writer_close(&writer);
        close(to);
    }
}

/* ---- Names ------------------------------------------------------------------------------- */

static void put(const char *name, const char *content) {
    FILE *file = fopen(name, "w");
    if (!file || fputs(content, file) < 0 || fclose(file) != 0)
        abort();
}

static bool has(const char *name, const char *content) {
    char read_back[100] = {0};
    FILE *file = fopen(name, "r");
    if (!file)
        return false;
    size_t got = fread(read_back, 1, sizeof read_back - 1, file);
    fclose(file);
    return got == strlen(content) && memcmp(read_back, content, got) == 0;
}

static bool is_absent(const char *name) {
    return access(name, F_OK) < 0 && errno == ENOENT;
}

static void a_free_name_is_taken(void) {
    for (int replace = 0; replace < 2; replace++) {
        put("temporary", "new");
        CHECK_IS(fc_writer_publish("temporary", "name", replace), FC_OK);
        CHECK(is_absent("temporary"));
        CHECK(has("name", "new"));
        unlink("name");
    }
}

static void a_taken_name_is_refused_and_both_files_stay(void) {
    put("temporary", "new");
    put("name", "old");
    CHECK_IS(fc_writer_publish("temporary", "name", false), FC_ERROR_EXISTS);
    CHECK(has("temporary", "new"));
    CHECK(has("name", "old"));
    CHECK_IS(fc_writer_publish("temporary", "name", true), FC_OK);
    CHECK(is_absent("temporary"));
    CHECK(has("name", "new"));
    unlink("name");
}

/* A link that leads nowhere is a name too, and so is a directory. */
static void names_of_other_kinds_are_refused_too(void) {
    put("temporary", "new");
    CHECK_IS(symlink("nowhere", "name"), 0);
    CHECK_IS(fc_writer_publish("temporary", "name", false), FC_ERROR_EXISTS);
    CHECK(has("temporary", "new") && is_absent("nowhere"));
    unlink("name");
    CHECK_IS(mkdir("name", 0700), 0);
    CHECK_IS(fc_writer_publish("temporary", "name", false), FC_ERROR_EXISTS);
    CHECK_IS(fc_writer_publish("temporary", "name", true), FC_ERROR_SYSTEM);
    CHECK_IS(errno, EISDIR);
    CHECK(has("temporary", "new"));
    rmdir("name");
    unlink("temporary");
}

static void a_file_that_is_not_there_cannot_be_published(void) {
    for (int replace = 0; replace < 2; replace++) {
        CHECK_IS(fc_writer_publish("temporary", "name", replace), FC_ERROR_SYSTEM);
        CHECK_IS(errno, ENOENT);
        CHECK(is_absent("name"));
        put("temporary", "new");
        CHECK_IS(fc_writer_publish("temporary", "no/such/name", replace), FC_ERROR_SYSTEM);
        CHECK_IS(errno, ENOENT);
        CHECK(has("temporary", "new"));
        unlink("temporary");
    }
}

static void every_rule_of_names_holds(void) {
    TEST(a_free_name_is_taken);
    TEST(a_taken_name_is_refused_and_both_files_stay);
    TEST(names_of_other_kinds_are_refused_too);
    TEST(a_file_that_is_not_there_cannot_be_published);
}

static void names_need_no_exclusive_rename(void) {
#if defined(__linux__) && defined(SYS_renameat2)
    const int reasons[] = {ENOSYS, EINVAL};
    for (size_t i = 0; i < COUNT(reasons); i++) {
        no_exclusive_rename = reasons[i];
        every_rule_of_names_holds();
    }
    no_exclusive_rename = 0;
#endif
}

/* The names are given in a folder of their own. */
static void enter_folder(char *folder) {
    if (!mkdtemp(folder) || chdir(folder) < 0)
        abort();
}

static void leave_folder(const char *folder) {
    CHECK(chdir("/") == 0);
    CHECK(rmdir(folder) == 0); /* nothing was left behind */
}

int main(void) {
    char folder[PATH_MAX];
    const char *above = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/names-XXXXXX", above ? above : "/tmp");
    signal(SIGPIPE, SIG_IGN);
    alarm(60); /* a write that blocks for good ends the program, not the patience of its caller */
    TEST(nothing_appended_writes_nothing);
    TEST(append_sizes_do_not_matter);
    TEST(single_bytes_arrive_in_order);
    TEST(mixed_appends_writes_and_flushes_arrive_in_order);
    TEST(short_and_interrupted_writes_go_on);
    TEST(blocks_may_be_smaller);
    TEST(a_bad_descriptor_is_an_error);
    TEST(a_full_disk_is_an_error);
    TEST(a_set_cancel_stops_the_next_write);
    TEST(cancel_wakes_a_writer_whose_reader_sleeps);
    TEST(cancel_wakes_a_writer_to_a_stopped_terminal);
    TEST(slow_readers_get_every_byte);
    TEST(a_reader_that_went_away_is_an_error);
    enter_folder(folder);
    TEST(every_rule_of_names_holds);
    TEST(names_need_no_exclusive_rename);
    leave_folder(folder);
    return check_result();
}
