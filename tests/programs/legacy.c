// legacy int80|x32|int80-socket: enters the kernel by another door. Prints the answer when it lives.
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long int80(long number, long a, long b) {
  long result = 0;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(0L) : "memory");
  return result;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  long answer = 0;
  if (strcmp(argv[1], "int80") == 0)
    answer = int80(20, 0, 0);  // getpid of i386
  else if (strcmp(argv[1], "int80-socket") == 0)
    answer = int80(359, 38, 5);  // socket(AF_ALG, SOCK_SEQPACKET) of i386
  else
    answer = syscall(0x40000000L | SYS_getpid);
  printf("%ld\n", answer);
  return 0;
}
