/* A file system without hard links (below NO_LINKS_UNDER) or without file locks (below
   NO_LOCKS_UNDER): what exFAT and many drives in the cloud, or a Lustre mounted without -o flock,
   answer. For LD_PRELOAD. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

static int below(const char *variable, const char *path) {
    const char *place = getenv(variable);
    return place != NULL && strncmp(path, place, strlen(place)) == 0;
}

static int no_locks(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return below("NO_LOCKS_UNDER", path);
}

int link(const char *from, const char *to) {
    if (below("NO_LINKS_UNDER", to)) {
        errno = EPERM;
        return -1;
    }
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int flock(int descriptor, int operation) {
    if (no_locks(descriptor)) {
        errno = ENOSYS;
        return -1;
    }
    return (int)syscall(SYS_flock, descriptor, operation);
}

static int control(int descriptor, int command, void *argument) {
    int locks = command == F_SETLK || command == F_SETLKW || command == F_GETLK;
    if (locks && no_locks(descriptor)) {
        errno = ENOSYS;
        return -1;
    }
    return (int)syscall(SYS_fcntl, descriptor, command, argument);
}

int fcntl(int descriptor, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return control(descriptor, command, argument);
}

int fcntl64(int descriptor, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return control(descriptor, command, argument);
}
