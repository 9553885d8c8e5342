/* unsynced.so: a disk that forgets. Preloaded into a program (LD_PRELOAD), it records every write and every sync of files
   under $UNSYNCED_ROOT in the file $UNSYNCED_LOG, in order. power.py makes of that, after the program was killed, what a
   disk would have kept if the power had failed at that moment: what was synced, and of the rest nothing, or anything.

   Nothing is synced in truth; a sync takes $UNSYNCED_DELAY microseconds instead. A write is recorded after it was done, a sync
   before it begins and after it has ended: what a sync covers was recorded before its beginning, whichever thread wrote it.
   Not seen: writes through mmap (of SQLite's, the -shm file alone, which is made anew after a loss of power), descriptors
   made by dup, new directories.

   The system is asked by system calls, so that nothing of the C library is needed while it starts. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FILES 4096
#define NAME 96

/* name of each open file below the root, "" if it is not there; "." is the root itself */
static char names[FILES][NAME];
static char root[PATH_MAX];
static size_t root_len;
static int log_fd = -1;
static long delay_us;
static uint64_t syncs;

struct record {
    uint32_t magic, kind, name, data; /* lengths of what follows */
    uint64_t at;                      /* offset, length, or the number of the sync */
};

/* One writev on a file opened with O_APPEND: whole, or the last one when the program is killed. */
static void note(char kind, const char *name, uint64_t at, const void *data, size_t len) {
    struct record r = {0x534e5955, (uint32_t)kind, (uint32_t)strlen(name), (uint32_t)len, at};
    struct iovec v[3] = {{&r, sizeof r}, {(void *)name, r.name}, {(void *)data, len}};
    if (syscall(SYS_writev, log_fd, v, 3) != (long)(sizeof r + r.name + len)) {
        static const char text[] = "unsynced: cannot write the log\n";
        syscall(SYS_write, 2, text, sizeof text - 1);
        _exit(99);
    }
}

__attribute__((constructor)) static void begin(void) {
    const char *to = getenv("UNSYNCED_LOG"), *under = getenv("UNSYNCED_ROOT"), *us = getenv("UNSYNCED_DELAY");
    if (!to || !under || !realpath(under, root)) return;
    root_len = strlen(root);
    delay_us = us ? atol(us) : 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    /* out of the way: the lowest numbers are the program's */
    log_fd = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 1000);
    if (log_fd < 0) log_fd = fd; else syscall(SYS_close, fd);
}

/* the name below the root, or NULL */
static const char *below(const char *path) {
    if (log_fd < 0 || strncmp(path, root, root_len)) return NULL;
    if (!path[root_len]) return ".";
    if (path[root_len] != '/' || strlen(path + root_len + 1) >= NAME) return NULL;
    return path + root_len + 1;
}

static const char *of(int fd) {
    return log_fd >= 0 && fd >= 0 && fd < FILES && names[fd][0] ? names[fd] : NULL;
}

static int opened(int at, const char *path, int flags, mode_t mode) {
    struct stat old;
    int is_new = (flags & O_CREAT) && syscall(SYS_newfstatat, at, path, &old, 0) != 0;
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    if (fd < 0 || fd >= FILES || log_fd < 0) return fd;
    char link[64], real[PATH_MAX];
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, real, sizeof real - 1);
    if (n > 0) {
        real[n] = 0;
        const char *name = below(real);
        if (name) {
            strcpy(names[fd], name);
            if (is_new) note('C', name, 0, NULL, 0);
            else if (flags & O_TRUNC) note('T', name, 0, NULL, 0);
        }
    }
    errno = kept;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }

int close(int fd) {
    if (of(fd)) names[fd][0] = 0;
    return (int)syscall(SYS_close, fd);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) {
    ssize_t n = syscall(SYS_pwrite64, fd, data, len, at);
    const char *name = of(fd);
    if (name && n > 0) note('W', name, (uint64_t)at, data, (size_t)n);
    return n;
}
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return pwrite64(fd, data, len, at); }

ssize_t write(int fd, const void *data, size_t len) {
    const char *name = of(fd);
    ssize_t n = syscall(SYS_write, fd, data, len);
    if (name && n > 0) {
        long end = syscall(SYS_lseek, fd, 0L, SEEK_CUR);
        note('W', name, (uint64_t)(end - n), data, (size_t)n);
    }
    return n;
}

int ftruncate64(int fd, off64_t len) {
    int r = (int)syscall(SYS_ftruncate, fd, len);
    const char *name = of(fd);
    if (name && r == 0) note('T', name, (uint64_t)len, NULL, 0);
    return r;
}
int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

static int synced(int fd, long call) {
    const char *name = of(fd);
    if (!name) return (int)syscall(call, fd);
    char mine[NAME]; /* of before: somebody may close it meanwhile */
    strcpy(mine, name);
    uint64_t number = __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST);
    note('B', mine, number, NULL, 0);
    struct timespec t = {delay_us / 1000000, delay_us % 1000000 * 1000};
    if (delay_us) syscall(SYS_nanosleep, &t, NULL);
    note('E', mine, number, NULL, 0);
    return 0;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int unlinkat(int at, const char *path, int flags) {
    int r = (int)syscall(SYS_unlinkat, at, path, flags);
    const char *name = below(path);
    if (name && r == 0 && !(flags & AT_REMOVEDIR)) note('U', name, 0, NULL, 0);
    return r;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int rename(const char *from, const char *to) {
    int r = (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    const char *old = below(from), *new = below(to);
    if (old && new && r == 0) note('R', old, 0, new, strlen(new));
    return r;
}
