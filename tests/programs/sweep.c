// sweep NUMBER...: makes each system call with senseless arguments and prints "NUMBER ERRNO", or
// "NUMBER signal N" when the call ended the process.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char** argv) {
  setvbuf(stdout, NULL, _IOFBF, 1 << 16);
  for (int i = 1; i < argc; ++i) {
    const long number = strtol(argv[i], NULL, 10);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      errno = 0;
      const long result = syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
      printf("%ld %d\n", number, result < 0 ? errno : 0);
      fflush(stdout);
      _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) return 1;
    if (WIFSIGNALED(status)) printf("%ld signal %d\n", number, WTERMSIG(status));
  }
  return 0;
}
