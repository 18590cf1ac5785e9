/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes one file operation of a process tree fail, or the last one of its process (LD_PRELOAD).
 *
 * A point is a call that changes files, or opens or syncs one, of a path in FAULT_UNDER
 * (directories, absolute and resolved, with colons between; they count themselves). Points are
 * numbered from 1 over all processes and threads and noted in the file FAULT_STATE, whose size says
 * how many there is room for; harness.py makes and reads it. A number is given before its call is
 * made, so the order is that of the calls where one waits for the other.
 *
 *   FAULT_AT     the point that fails; 0: none
 *   FAULT_FOR    so many one after the other fail; 1
 *   FAULT_ERRNO  with this error; ENOSPC
 *   FAULT_ONLY   OPERATION:NAME, two patterns: only points like this are numbered for FAULT_AT; a
 *                row of digits in a name is written #, and so are eight hexadecimal ones
 *   FAULT_SHORT  1: a write of several bytes writes half of them, and the next one there fails
 *   FAULT_KILL   1: instead, its process is killed before the call; 2: after it
 *
 * Nothing here may be interposed itself: files are reached by mmap, readlink, realpath, and the
 * functions of the C library that next() finds. It keeps no table of descriptors, for a child of
 * vfork shares our memory and not our descriptors. */
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

/* clang-format off */
#define ALL(WHAT)                                                                             \
    WHAT(open) WHAT(open64) WHAT(openat) WHAT(openat64) WHAT(creat) WHAT(creat64)             \
    WHAT(write) WHAT(pwrite) WHAT(pwrite64) WHAT(writev) WHAT(pwritev) WHAT(pwritev64)        \
    WHAT(pwritev2) WHAT(pwritev64v2)                                                          \
    WHAT(ftruncate) WHAT(ftruncate64) WHAT(truncate) WHAT(truncate64) WHAT(fsync)             \
    WHAT(fdatasync) WHAT(rename) WHAT(renameat) WHAT(renameat2) WHAT(syscall) WHAT(unlink)    \
    WHAT(unlinkat) WHAT(rmdir) WHAT(link) WHAT(linkat) WHAT(mkdir) WHAT(mkdirat) WHAT(close)  \
    WHAT(fchmod) WHAT(fchown) WHAT(fallocate) WHAT(fallocate64) WHAT(posix_fallocate)         \
    WHAT(posix_fallocate64) WHAT(copy_file_range) WHAT(sendfile) WHAT(sendfile64)
/* clang-format on */
#define NUMBER(name) NUMBER_##name,
#define TEXT(name)   #name,
#define NEXT(name)   ((__typeof__(&name))next(NUMBER_##name))

enum { ALL(NUMBER) COUNT };
static const char *const texts[COUNT] = {ALL(TEXT)};
static _Atomic(void *) found[COUNT];

/* ---- What was asked, and what is noted ------------------------------------------------------- */

enum outcome { NOT_NOTED, WENT_ON, STRUCK };

struct entry {
    _Atomic uint32_t outcome;
    int32_t pid;
    int64_t size; /* of the file before the call, or what it is cut to; -1: not known */
    char operation[16];
    char name[224];
};

struct state { /* in harness.py too */
    _Atomic uint64_t points;
    _Atomic uint64_t like_only;
    _Atomic uint64_t torn; /* process and descriptor whose next write fails */
    uint64_t reserved[29];
    struct entry entries[];
};

enum { DIRECTORIES = 16, KILL_BEFORE = 1, KILL_AFTER = 2 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct state *state;
static uint64_t room;
static const char *under[DIRECTORIES];
static uint64_t fails_at;
static uint64_t fails_for;
static int fails_with;
static long kills;
static bool tears;
static const char *only_operation;
static const char *only_name;

static void *next(int number) {
    void *function = atomic_load(&found[number]);
    if (function == NULL) {
        function = dlsym(RTLD_NEXT, texts[number]);
        if (function == NULL)
            abort();
        atomic_store(&found[number], function);
    }
    return function;
}

static long number_of(const char *variable, long otherwise) {
    const char *text = getenv(variable);
    return text && *text ? atol(text) : otherwise;
}

static void map_state(const char *path) {
    struct stat status;
    int fd = NEXT(open)(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        abort();
    size_t size = (size_t)status.st_size;
    state = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (state == MAP_FAILED)
        abort();
    room = (size - sizeof *state) / sizeof *state->entries;
    NEXT(close)(fd);
}

static void set_up(void) {
    const char *path = getenv("FAULT_STATE");
    const char *directories = getenv("FAULT_UNDER");
    const char *only = getenv("FAULT_ONLY");
    for (int i = 0; i < COUNT; i++)
        next(i);
    if (path == NULL || directories == NULL)
        return;
    char *rest = strdup(directories);
    for (int i = 0; i < DIRECTORIES; i++)
        under[i] = strsep(&rest, ":");
    if (only && *only) {
        char *name = strdup(only);
        only_operation = strsep(&name, ":");
        only_name = name ? name : "*";
    }
    fails_at = (uint64_t)number_of("FAULT_AT", 0);
    fails_for = (uint64_t)number_of("FAULT_FOR", 1);
    fails_with = (int)number_of("FAULT_ERRNO", ENOSPC);
    kills = number_of("FAULT_KILL", 0);
    tears = number_of("FAULT_SHORT", 0) == 1;
    map_state(path);
}

__attribute__((constructor)) static void start(void) {
    pthread_once(&once, set_up);
}

/* ---- Which paths count ----------------------------------------------------------------------- */

static bool counts(const char *place) {
    for (int i = 0; i < DIRECTORIES && under[i]; i++) {
        size_t length = strlen(under[i]);
        if (length && strncmp(place, under[i], length) == 0 &&
            (place[length] == '/' || place[length] == '\0'))
            return true;
    }
    return false;
}

static bool place_of_fd(int fd, char place[PATH_MAX]) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, place, PATH_MAX - 1);
    place[length < 0 ? 0 : length] = '\0';
    return length > 0;
}

static bool join(char into[PATH_MAX], const char *folder, const char *base) {
    int length = snprintf(into, PATH_MAX, "%s/%s", folder, base);
    return length >= 0 && length < PATH_MAX;
}

/* The directory is resolved, the last name is not: it need not be there, and may be a link. */
static bool place_of_path(int directory, const char *path, char place[PATH_MAX]) {
    char whole[PATH_MAX];
    char folder[PATH_MAX];
    if (path == NULL)
        return false;
    if (path[0] == '/' || directory == AT_FDCWD)
        snprintf(folder, sizeof folder, "%s", path[0] == '/' ? "" : ".");
    else if (!place_of_fd(directory, folder))
        return false;
    if (!join(whole, folder, path))
        return false;
    char *base = strrchr(whole, '/') + 1;
    if (*base == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        return realpath(whole, place) != NULL;
    base[-1] = '\0';
    if (realpath(*whole ? whole : "/", folder) == NULL)
        return false;
    return join(place, strcmp(folder, "/") == 0 ? "" : folder, base);
}

static const char *base_of(const char *place) {
    const char *slash = strrchr(place, '/');
    return slash ? slash + 1 : place;
}

/* ---- Points ---------------------------------------------------------------------------------- */

struct verdict {
    bool fails;
    bool tears;
    bool dies;
};

static void die(void) {
    for (;;)
        kill(getpid(), SIGKILL);
}

/* With # for each row of digits, and for each word of eight hexadecimal ones. */
static void kind_of(const char *name, char *kind, size_t size) {
    size_t used = 0;
    char before = '.';
    while (*name && used + 1 < size) {
        size_t digits = strspn(name, "0123456789");
        size_t hexadecimal = strspn(name, "0123456789abcdef");
        if (!isalnum((unsigned char)before) && hexadecimal == 8 && !isalnum((unsigned char)name[8]))
            digits = hexadecimal;
        before = digits ? '0' : *name;
        kind[used++] = digits ? '#' : *name;
        name += digits ? digits : 1;
    }
    kind[used] = '\0';
}

static bool is_like_only(const struct entry *entry) {
    char kind[sizeof entry->name];
    if (only_operation == NULL)
        return true;
    kind_of(entry->name, kind, sizeof kind);
    return fnmatch(only_operation, entry->operation, 0) == 0 && fnmatch(only_name, kind, 0) == 0;
}

static void note(const struct entry *entry, enum outcome outcome) {
    uint64_t index = atomic_fetch_add(&state->points, 1);
    if (index >= room)
        return;
    struct entry *place = &state->entries[index];
    place->pid = entry->pid;
    place->size = entry->size;
    memcpy(place->operation, entry->operation, sizeof place->operation);
    memcpy(place->name, entry->name, sizeof place->name);
    atomic_store(&place->outcome, outcome);
}

/* Whether this is one that fails; `torn`: one that fails in any case. */
static bool is_met(const struct entry *entry, bool torn) {
    if (fails_at == 0 || !is_like_only(entry))
        return torn;
    uint64_t number = atomic_fetch_add(&state->like_only, 1) + 1;
    return torn || (number >= fails_at && number - fails_at < fails_for);
}

static struct verdict judge(struct entry *entry, bool torn) {
    struct verdict verdict = {0};
    bool met = is_met(entry, torn);
    entry->pid = getpid();
    note(entry, met ? STRUCK : WENT_ON);
    if (!met)
        return verdict;
    if (kills == KILL_BEFORE)
        die();
    verdict.dies = kills == KILL_AFTER;
    verdict.fails = !verdict.dies;
    return verdict;
}

static bool is_active(void) {
    pthread_once(&once, set_up);
    return state != NULL;
}

static void set_names(struct entry *entry, const char *operation, const char *name) {
    snprintf(entry->operation, sizeof entry->operation, "%s", operation);
    snprintf(entry->name, sizeof entry->name, "%.*s", (int)sizeof entry->name - 1, name);
}

static struct verdict on_file(const char *operation, int fd, int64_t size, bool torn) {
    struct verdict verdict = {0};
    struct entry entry = {.size = size};
    struct stat status;
    char place[PATH_MAX];
    int before = errno;
    if (is_active() && place_of_fd(fd, place) && counts(place)) {
        if (size < 0 && fstat(fd, &status) == 0)
            entry.size = status.st_size;
        set_names(&entry, operation, base_of(place));
        verdict = judge(&entry, torn);
    }
    errno = before;
    return verdict;
}

static struct verdict on_fd(const char *operation, int fd) {
    return on_file(operation, fd, -1, false);
}

static struct verdict on_path(const char *operation, int directory, const char *path) {
    struct verdict verdict = {0};
    struct entry entry = {.size = -1};
    char place[PATH_MAX];
    int before = errno;
    if (is_active() && place_of_path(directory, path, place) && counts(place)) {
        set_names(&entry, operation, base_of(place));
        verdict = judge(&entry, false);
    }
    errno = before;
    return verdict;
}

static struct verdict on_paths(const char *operation, int old_directory, const char *old,
                               int new_directory, const char *new) {
    struct verdict verdict = {0};
    struct entry entry = {.size = -1};
    char from[PATH_MAX];
    char to[PATH_MAX];
    int before = errno;
    if (is_active() && place_of_path(old_directory, old, from) &&
        place_of_path(new_directory, new, to) && (counts(from) || counts(to))) {
        size_t half = (sizeof entry.name - 2) / 2;
        char both[sizeof entry.name];
        snprintf(both, sizeof both, "%.*s>%.*s", (int)half, base_of(from), (int)half, base_of(to));
        set_names(&entry, operation, both);
        verdict = judge(&entry, false);
    }
    errno = before;
    return verdict;
}

static struct verdict on_open(int directory, const char *path, int flags) {
    const char *operation = flags & O_CREAT                   ? "create"
                            : (flags & O_ACCMODE) != O_RDONLY ? "open-write"
                                                              : "open";
    return on_path(operation, directory, path);
}

static struct verdict on_write(const char *operation, int fd, size_t length) {
    uint64_t here = (uint64_t)getpid() << 32 | (uint32_t)fd;
    bool torn = is_active() && atomic_compare_exchange_strong(&state->torn, &here, 0);
    struct verdict verdict = on_file(operation, fd, -1, torn);
    if (tears && verdict.fails && !torn && length > 1) {
        here = (uint64_t)getpid() << 32 | (uint32_t)fd;
        atomic_store(&state->torn, here);
        return (struct verdict){.tears = true};
    }
    return verdict;
}

/* The result of `call`, or -1 with the error that was asked for. */
#define UNLESS(verdict_of_it, call)                                                                \
    ({                                                                                             \
        struct verdict verdict = verdict_of_it;                                                    \
        __typeof__(call) result = -1;                                                              \
        if (verdict.fails)                                                                         \
            errno = fails_with;                                                                    \
        else                                                                                       \
            result = call;                                                                         \
        if (verdict.dies)                                                                          \
            die();                                                                                 \
        result;                                                                                    \
    })

/* The same of a write, which may end early. */
#define UNLESS_TORN(operation, fd, length, call, half)                                             \
    ({                                                                                             \
        struct verdict torn = on_write(operation, fd, length);                                     \
        torn.tears ? half : UNLESS(torn, call);                                                    \
    })

/* ---- The operations -------------------------------------------------------------------------- */

#define MODE_OF(flags)                                                                             \
    ({                                                                                             \
        mode_t mode = 0;                                                                           \
        if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) {                             \
            va_list more;                                                                          \
            va_start(more, flags);                                                                 \
            mode = va_arg(more, mode_t);                                                           \
            va_end(more);                                                                          \
        }                                                                                          \
        mode;                                                                                      \
    })

int open(const char *path, int flags, ...) {
    mode_t mode = MODE_OF(flags);
    return UNLESS(on_open(AT_FDCWD, path, flags), NEXT(open)(path, flags, mode));
}

int open64(const char *path, int flags, ...) {
    mode_t mode = MODE_OF(flags);
    return UNLESS(on_open(AT_FDCWD, path, flags), NEXT(open64)(path, flags, mode));
}

int openat(int directory, const char *path, int flags, ...) {
    mode_t mode = MODE_OF(flags);
    return UNLESS(on_open(directory, path, flags), NEXT(openat)(directory, path, flags, mode));
}

int openat64(int directory, const char *path, int flags, ...) {
    mode_t mode = MODE_OF(flags);
    return UNLESS(on_open(directory, path, flags), NEXT(openat64)(directory, path, flags, mode));
}

/* What open is where _FORTIFY_SOURCE is set. */
int __open_2(const char *path, int flags) {
    return open(path, flags);
}

int __open64_2(const char *path, int flags) {
    return open64(path, flags);
}

int __openat_2(int directory, const char *path, int flags) {
    return openat(directory, path, flags);
}

int __openat64_2(int directory, const char *path, int flags) {
    return openat64(directory, path, flags);
}

int creat(const char *path, mode_t mode) {
    return UNLESS(on_path("create", AT_FDCWD, path), NEXT(creat)(path, mode));
}

int creat64(const char *path, mode_t mode) {
    return UNLESS(on_path("create", AT_FDCWD, path), NEXT(creat64)(path, mode));
}

ssize_t write(int fd, const void *bytes, size_t length) {
    return UNLESS_TORN("write", fd, length, NEXT(write)(fd, bytes, length),
                       NEXT(write)(fd, bytes, length / 2));
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return UNLESS_TORN("pwrite", fd, length, NEXT(pwrite)(fd, bytes, length, at),
                       NEXT(pwrite)(fd, bytes, length / 2, at));
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    return UNLESS_TORN("pwrite", fd, length, NEXT(pwrite64)(fd, bytes, length, at),
                       NEXT(pwrite64)(fd, bytes, length / 2, at));
}

static size_t first_of(const struct iovec *parts, int count) {
    return count > 0 ? parts[0].iov_len : 0;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    size_t first = first_of(parts, count);
    return UNLESS_TORN("writev", fd, first, NEXT(writev)(fd, parts, count),
                       NEXT(write)(fd, parts[0].iov_base, first / 2));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    size_t first = first_of(parts, count);
    return UNLESS_TORN("pwritev", fd, first, NEXT(pwritev)(fd, parts, count, at),
                       NEXT(pwrite)(fd, parts[0].iov_base, first / 2, at));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    size_t first = first_of(parts, count);
    return UNLESS_TORN("pwritev", fd, first, NEXT(pwritev64)(fd, parts, count, at),
                       NEXT(pwrite64)(fd, parts[0].iov_base, first / 2, at));
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
    size_t first = first_of(parts, count);
    return UNLESS_TORN("pwritev", fd, first, NEXT(pwritev2)(fd, parts, count, at, flags),
                       NEXT(pwrite)(fd, parts[0].iov_base, first / 2, at));
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t at, int flags) {
    size_t first = first_of(parts, count);
    return UNLESS_TORN("pwritev", fd, first, NEXT(pwritev64v2)(fd, parts, count, at, flags),
                       NEXT(pwrite64)(fd, parts[0].iov_base, first / 2, at));
}

int ftruncate(int fd, off_t length) {
    return UNLESS(on_file("ftruncate", fd, length, false), NEXT(ftruncate)(fd, length));
}

int ftruncate64(int fd, off64_t length) {
    return UNLESS(on_file("ftruncate", fd, length, false), NEXT(ftruncate64)(fd, length));
}

int truncate(const char *path, off_t length) {
    return UNLESS(on_path("truncate", AT_FDCWD, path), NEXT(truncate)(path, length));
}

int truncate64(const char *path, off64_t length) {
    return UNLESS(on_path("truncate", AT_FDCWD, path), NEXT(truncate64)(path, length));
}

int fsync(int fd) {
    return UNLESS(on_fd("fsync", fd), NEXT(fsync)(fd));
}

int fdatasync(int fd) {
    return UNLESS(on_fd("fdatasync", fd), NEXT(fdatasync)(fd));
}

int rename(const char *from, const char *to) {
    return UNLESS(on_paths("rename", AT_FDCWD, from, AT_FDCWD, to), NEXT(rename)(from, to));
}

int renameat(int old, const char *from, int new, const char *to) {
    return UNLESS(on_paths("rename", old, from, new, to), NEXT(renameat)(old, from, new, to));
}

int renameat2(int old, const char *from, int new, const char *to, unsigned flags) {
    return UNLESS(on_paths("rename", old, from, new, to),
                  NEXT(renameat2)(old, from, new, to, flags));
}

/* csrc/writer.c renames by it. Six arguments are read, whatever was given, as the C library does.
 */
long syscall(long number, ...) {
    long words[6];
    va_list more;
    va_start(more, number);
    for (int i = 0; i < 6; i++)
        words[i] = va_arg(more, long);
    va_end(more);
#define CALL NEXT(syscall)(number, words[0], words[1], words[2], words[3], words[4], words[5])
    if (number != SYS_renameat2)
        return CALL;
    return UNLESS(on_paths("rename", (int)words[0], (const char *)words[1], (int)words[2],
                           (const char *)words[3]),
                  CALL);
#undef CALL
}

int unlink(const char *path) {
    return UNLESS(on_path("unlink", AT_FDCWD, path), NEXT(unlink)(path));
}

int unlinkat(int directory, const char *path, int flags) {
    return UNLESS(on_path(flags & AT_REMOVEDIR ? "rmdir" : "unlink", directory, path),
                  NEXT(unlinkat)(directory, path, flags));
}

int rmdir(const char *path) {
    return UNLESS(on_path("rmdir", AT_FDCWD, path), NEXT(rmdir)(path));
}

int link(const char *from, const char *to) {
    return UNLESS(on_paths("link", AT_FDCWD, from, AT_FDCWD, to), NEXT(link)(from, to));
}

int linkat(int old, const char *from, int new, const char *to, int flags) {
    return UNLESS(on_paths("link", old, from, new, to), NEXT(linkat)(old, from, new, to, flags));
}

int mkdir(const char *path, mode_t mode) {
    return UNLESS(on_path("mkdir", AT_FDCWD, path), NEXT(mkdir)(path, mode));
}

int mkdirat(int directory, const char *path, mode_t mode) {
    return UNLESS(on_path("mkdir", directory, path), NEXT(mkdirat)(directory, path, mode));
}

/* Also where it fails the descriptor is closed, as Linux does it. */
int close(int fd) {
    struct verdict verdict = on_fd("close", fd);
    int result = NEXT(close)(fd);
    if (verdict.dies)
        die();
    if (!verdict.fails)
        return result;
    errno = fails_with;
    return -1;
}

int fchmod(int fd, mode_t mode) {
    return UNLESS(on_fd("fchmod", fd), NEXT(fchmod)(fd, mode));
}

int fchown(int fd, uid_t owner, gid_t group) {
    return UNLESS(on_fd("fchown", fd), NEXT(fchown)(fd, owner, group));
}

int fallocate(int fd, int mode, off_t at, off_t length) {
    return UNLESS(on_fd("fallocate", fd), NEXT(fallocate)(fd, mode, at, length));
}

int fallocate64(int fd, int mode, off64_t at, off64_t length) {
    return UNLESS(on_fd("fallocate", fd), NEXT(fallocate64)(fd, mode, at, length));
}

/* This returns its error. */
int posix_fallocate(int fd, off_t at, off_t length) {
    int result = UNLESS(on_fd("fallocate", fd), NEXT(posix_fallocate)(fd, at, length));
    return result < 0 ? fails_with : result;
}

int posix_fallocate64(int fd, off64_t at, off64_t length) {
    int result = UNLESS(on_fd("fallocate", fd), NEXT(posix_fallocate64)(fd, at, length));
    return result < 0 ? fails_with : result;
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length,
                        unsigned flags) {
    return UNLESS(on_fd("copy", out), NEXT(copy_file_range)(in, in_at, out, out_at, length, flags));
}

ssize_t sendfile(int out, int in, off_t *at, size_t length) {
    return UNLESS(on_fd("copy", out), NEXT(sendfile)(out, in, at, length));
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t length) {
    return UNLESS(on_fd("copy", out), NEXT(sendfile64)(out, in, at, length));
}
