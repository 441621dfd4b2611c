// sockets: tries every socket family from 0 to 45 with every type and prints "FAMILY TYPE ERRNO".
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  for (long family = 0; family <= 45; ++family)
    for (long type = 1; type <= 5; ++type) {
      // The upper half of an argument is not the kernel's; a filter must not look at it either.
      const long fd = syscall(SYS_socket, family | (1L << 32), type, 0L);
      printf("%ld %ld %d\n", family, type, fd < 0 ? errno : 0);
      if (fd >= 0) close((int)fd);
    }
  return 0;
}
