// Loaded before the C library (LD_PRELOAD): calls on files below a folder fail as on a full or broken disk.
//
// CHAOS_DIR    the folder
// CHAOS_FAULT  CALL:NUMBER:ERRNO; from the call of this number on (counted from 1) every call of the kind fails. A write of that number
//              is cut in half before. Kinds: write, sync, rename
// CHAOS_COUNT  a file to which the numbers of calls are written at the end, a line a kind
// CHAOS_FREE   bytes that the disk is said to have left
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE, SYNC, RENAME, KINDS };
static const char *const names[KINDS] = {"write", "sync", "rename"};
static atomic_long counts[KINDS];
static long fail_from[KINDS];
static int fail_with[KINDS];
static const char *dir, *count_file;
static size_t dir_length;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
  dir = getenv("CHAOS_DIR");
  dir_length = dir ? strlen(dir) : 0;
  count_file = getenv("CHAOS_COUNT");
  const char *fault = getenv("CHAOS_FAULT");
  for (int kind = 0; fault && kind < KINDS; kind++) {
    size_t length = strlen(names[kind]);
    if (strncmp(fault, names[kind], length) == 0 && fault[length] == ':')
      sscanf(fault + length + 1, "%ld:%d", &fail_from[kind], &fail_with[kind]);
  }
}

__attribute__((destructor)) static void end(void) {
  FILE *file = count_file ? fopen(count_file, "w") : NULL;
  if (!file) return;
  for (int kind = 0; kind < KINDS; kind++)
    fprintf(file, "%s %ld\n", names[kind], atomic_load(&counts[kind]));
  fclose(file);
}

static int is_below(const char *path) {
  return dir && strncmp(path, dir, dir_length) == 0;
}

static int is_file_below(int file) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_below(path);
}

// 0: let it pass; 1: the first that fails; 2: a later one.
static int fails(enum kind kind) {
  long number = atomic_fetch_add(&counts[kind], 1) + 1;
  if (fail_from[kind] == 0 || number < fail_from[kind]) return 0;
  return number == fail_from[kind] ? 1 : 2;
}

static int refuse(enum kind kind) {
  errno = fail_with[kind];
  return -1;
}

ssize_t write(int file, const void *bytes, size_t count) {
  int fault = is_file_below(file) ? fails(WRITE) : 0;
  if (fault == 1 && count > 1) return REAL(write)(file, bytes, count / 2);
  return fault ? refuse(WRITE) : REAL(write)(file, bytes, count);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
  int fault = is_file_below(file) ? fails(WRITE) : 0;
  return fault ? refuse(WRITE) : REAL(writev)(file, parts, count);
}

int fsync(int file) {
  return is_file_below(file) && fails(SYNC) ? refuse(SYNC) : REAL(fsync)(file);
}

int fdatasync(int file) {
  return is_file_below(file) && fails(SYNC) ? refuse(SYNC) : REAL(fdatasync)(file);
}

int rename(const char *from, const char *to) {
  return is_below(to) && fails(RENAME) ? refuse(RENAME) : REAL(rename)(from, to);
}

static int told_free(const char *path, struct statvfs *disk, int result) {
  const char *left = getenv("CHAOS_FREE");
  if (result == 0 && left && is_below(path)) disk->f_bavail = atol(left) / (long)disk->f_frsize;
  return result;
}

int statvfs(const char *path, struct statvfs *disk) {
  return told_free(path, disk, REAL(statvfs)(path, disk));
}

int statvfs64(const char *path, struct statvfs64 *disk) {
  return told_free(path, (struct statvfs *)disk, REAL(statvfs64)(path, disk));
}
