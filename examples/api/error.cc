// Error: what every failure says, and the word that a program can rely on.
#include <cstdio>

#include "caisson/caisson.h"

int main() {
  auto runtime = caisson::Runtime::open();
  if (!runtime) return std::puts(runtime.error().message.c_str()), 1;
  auto box = runtime->find("no-such-box");
  if (box) return 1;
  std::printf("%s [%s]\n", box.error().message.c_str(), box.error().reason.c_str());
  return box.error().code == caisson::Code::kNotFound ? 0 : 1;
}
