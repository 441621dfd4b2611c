// The launcher (launcher.h): executes the words of an exec block, or reports why it cannot.
// It stands alone, without even a C library, so that it is a page or two and starts at once.
#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/syscall.h>

#include "init/exec_layout.h"

namespace {

using caisson::init::ExecFailure;
using caisson::init::ExecStep;

long system_call(long number, long a, long b, long c) noexcept {
#if defined(__x86_64__)
  long result = 0;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c)
               : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
#else
#error "the launcher needs this machine's system call instruction"
#endif
}

template <class T>
long address(T* pointer) noexcept {
  return reinterpret_cast<long>(pointer);
}

}  // namespace

/// `stack` as the kernel leaves it: argc, argv, 0, env, 0.
extern "C" [[noreturn]] void launch(long* stack) noexcept {
  char** words = reinterpret_cast<char**>(stack + 1);
  char** env = words + stack[0] + 1;
  system_call(SYS_prctl, PR_SET_DUMPABLE, 0, 0);  // until exec: the box looks on
  int status = 0;
  for (const char* digit = words[0]; *digit != '\0'; ++digit) status = status * 10 + (*digit - '0');
  // Open until now to survive one exec; the next success closes it, and so tells the shim.
  int error = static_cast<int>(-system_call(SYS_fcntl, status, F_SETFD, FD_CLOEXEC));
  if (error == 0)
    error = caisson::init::execute_first(
        words + 1, env, [](const char* path, char** argv, char** environment) noexcept {
          return static_cast<int>(
              -system_call(SYS_execve, address(path), address(argv), address(environment)));
        });
  const ExecFailure failure{ExecStep::kExec, error};
  system_call(SYS_write, status, address(&failure), sizeof failure);
  for (;;) system_call(SYS_exit_group, 127, 0, 0);
}

#if defined(__x86_64__)
asm(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call launch\n");
#else
asm(".globl _start\n_start: mov x0, sp\n bl launch\n");
#endif
