// BoxSpec: a box as a value, checked and printed without running anything.
#include <cstdio>

#include "caisson/caisson.h"

int main() {
  caisson::BoxSpec spec;
  spec.source = "host:";
  spec.command = {"python3", "-c", "print(6*7)"};
  spec.env["LANG"] = "C.UTF-8";
  spec.mounts.push_back(*caisson::parse_tmpfs("/scratch:size=64m"));
  auto valid = caisson::validate(spec);
  std::puts(valid ? caisson::to_json(spec).c_str() : valid.error().message.c_str());
  return valid ? 0 : 1;
}
