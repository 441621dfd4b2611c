// seize SECONDS: looks for programs of others among the processes that it sees, and tries to write,
// truncate, unseal and mark each through /proc/PID/exe. Prints "taken" for each that it changed.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static struct stat own;

static void change(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (fd < 0) return;
  if (fstat(fd, &info) < 0 || (info.st_ino == own.st_ino && info.st_dev == own.st_dev)) {
    close(fd);
    return;
  }
  char again[64];
  snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
  const int writable = open(again, O_RDWR | O_CLOEXEC);
  if (writable >= 0 && pwrite(writable, "", 1, info.st_size) == 1) printf("taken: written to\n");
  if (ftruncate(fd, 0) == 0 || truncate(again, 0) == 0) printf("taken: truncated\n");
  // A sealed memory file is the box's own, and what it says about itself means nothing.
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals >= 0 && (seals & F_SEAL_WRITE) != 0) {
    close(fd);
    return;
  }
  if (fchmod(fd, 04777) == 0) printf("taken: changed mode\n");
  if (fsetxattr(fd, "user.seized", "1", 1, 0) == 0) printf("taken: set attribute\n");
  if (fchown(fd, 0, 0) == 0) printf("taken: changed owner\n");
  if (writable >= 0) close(writable);
  close(fd);
}

int main(int argc, char** argv) {
  if (argc != 2 || stat("/proc/self/exe", &own) < 0) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("looking\n");
  const time_t end = time(NULL) + atoi(argv[1]);
  while (time(NULL) < end) {
    DIR* proc = opendir("/proc");
    if (proc == NULL) return 1;
    for (const struct dirent* entry; (entry = readdir(proc)) != NULL;) {
      char path[300];
      if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
      snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
      change(path);
    }
    closedir(proc);
  }
  printf("done\n");
  return 0;
}
