// Box: start it, wait for its end, remove it.
#include <cstdio>

#include "caisson/caisson.h"

int main() {
  auto runtime = caisson::Runtime::open();
  if (!runtime) return std::puts(runtime.error().message.c_str()), 1;
  auto box = runtime->create({.source = "host:", .command = {"sh", "-c", "exit 7"}});
  if (!box) return std::puts(box.error().message.c_str()), 1;
  auto started = box->start();
  if (!started) std::puts(started.error().message.c_str());
  auto end = box->wait(caisson::in(std::chrono::seconds(30)));
  if (end && end->exit_code) std::printf("exit code %d\n", *end->exit_code);
  return box->remove(true) && end && end->exit_code == 7 ? 0 : 1;
}
