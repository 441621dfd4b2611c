// Runtime: open a home, make a box, list what is there.
#include <cstdio>

#include "caisson/caisson.h"

int main() {
  auto runtime = caisson::Runtime::open();
  if (!runtime) return std::puts(runtime.error().message.c_str()), 1;
  auto box = runtime->create({.source = "host:", .command = {"true"}});
  if (!box) return std::puts(box.error().message.c_str()), 1;
  auto boxes = runtime->list();
  if (!boxes) return std::puts(boxes.error().message.c_str()), 1;
  for (const caisson::BoxInfo& info : *boxes) std::printf("%s\n", info.id.c_str());
  return box->remove() ? 0 : 1;
}
