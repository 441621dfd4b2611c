// crowd processes|threads COUNT: makes as many as it may, up to COUNT, prints how many there came to
// be, and waits for the end of its stdin. Its status is 1 when there are fewer.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void* idle(void* unused) {
  for (;;) pause();
  return unused;
}

static int more(int threads) {
  if (threads) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    return pthread_create(&thread, &attributes, idle, NULL) == 0;
  }
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    idle(NULL);
  }
  return child > 0;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int threads = strcmp(argv[1], "threads") == 0;
  const int wanted = atoi(argv[2]);
  int made = 0;
  while (made < wanted && more(threads)) ++made;
  printf("%d\n", made);
  fflush(stdout);
  while (getchar() != EOF) {
  }
  if (!threads) {
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
  }
  return made < wanted;
}
