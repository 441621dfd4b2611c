// Limits and ExitInfo: bound a program, and learn why it ended.
#include <cstdio>
#include <string>

#include "caisson/caisson.h"

int main() {
  auto runtime = caisson::Runtime::open();
  if (!runtime) return std::puts(runtime.error().message.c_str()), 1;
  caisson::BoxSpec spec{.source = "host:", .command = {"sleep", "60"}};
  spec.limits.wall_time = std::chrono::milliseconds(200);
  auto box = runtime->create(spec);
  if (!box || !box->start()) return 1;
  auto end = box->wait(caisson::in(std::chrono::seconds(30)));
  if (end) std::printf("%s\n", std::string(to_string(end->reason)).c_str());  // timeout
  return box->remove(true) && end && end->reason == caisson::ExitReason::kTimeout ? 0 : 1;
}
