// Exec: one more process in a running box, fed and read to its end.
#include <cstdio>

#include "caisson/caisson.h"

int main() {
  auto runtime = caisson::Runtime::open();
  if (!runtime) return std::puts(runtime.error().message.c_str()), 1;
  auto box = runtime->create({.source = "host:", .command = {"sleep", "60"}});
  if (!box || !box->start()) return 1;
  auto exec = box->exec({.command = {"tr", "a-z", "A-Z"}, .open_stdin = true});
  auto all = exec ? exec->communicate("hello\n", caisson::in(std::chrono::seconds(30)))
                  : caisson::Result<caisson::Collected>(exec.error());
  std::puts(all ? all->out.c_str() : all.error().message.c_str());
  return box->remove(true) && all && all->out == "HELLO\n" ? 0 : 1;
}
