// delve DEPTH [BYTES]: makes that many directories one inside the other, with a file of BYTES zeros
// in the last one, and prints how deep it came.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  int depth = 0;
  for (; depth < atoi(argv[1]); ++depth)
    if (mkdir("d", 0755) < 0 || chdir("d") < 0) break;
  if (argc > 2) {
    static char block[1 << 16];
    const int fd = open("file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    for (long left = atol(argv[2]); left > 0; left -= (long)sizeof block)
      if (write(fd, block, sizeof block) < 0) break;
  }
  printf("%d\n", depth);
  return 0;
}
