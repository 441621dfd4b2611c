// A box from a C++ program: create, start, exec, communicate, remove.
#include <caisson/caisson.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <type_traits>
#include <utility>

using namespace std::chrono_literals;

template <class T>
T need(caisson::Result<T> result) {
  if (!result) {
    std::cerr << "embed: " << result.error().message << '\n';
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

int main() {
  auto runtime = need(caisson::Runtime::open());
  caisson::BoxSpec spec;
  spec.source = "host:";
  spec.command = {"sleep", "60"};
  spec.limits.wall_time = 60s;

  auto box = need(runtime.create(spec));
  need(box.start());

  auto cat = need(box.exec({.command = {"cat"}, .open_stdin = true}));
  auto all = need(cat.communicate("hello from a box\n", caisson::in(10s)));
  std::cout << all.out << "ended: " << to_string(all.exit.reason) << '\n';

  need(box.remove(true));
}
