// inject: pushes characters into its terminal (TIOCSTI) and pastes into a console (TIOCLINUX), with
// and without bits in the upper half of the request. Prints "REQUEST ERRNO".
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  const unsigned long requests[] = {TIOCSTI, TIOCLINUX};
  const unsigned long upper[] = {0, 1UL << 32, 0xffffffffUL << 32};
  for (int r = 0; r < 2; ++r)
    for (int u = 0; u < 3; ++u) {
      char byte = r == 0 ? 'x' : 3;
      const long result = syscall(SYS_ioctl, 0L, requests[r] | upper[u], &byte);
      printf("%#lx %d\n", requests[r] | upper[u], result < 0 ? errno : 0);
    }
  return 0;
}
