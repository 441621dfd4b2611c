// The example of image.h, complete: pulls an image, showing how it goes.
#include <caisson/caisson.h>

#include <cstdio>

namespace {

int fail(const caisson::Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  return 1;
}

void show(const caisson::PullEvent& event) {
  std::fprintf(stderr, "%s\n", caisson::to_json(event).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const char* source = argc > 1 ? argv[1] : "docker://alpine:3.20";
  auto runtime = caisson::Runtime::open();
  if (!runtime) return fail(runtime.error());
  auto pull = runtime->images().pull({.source = source});
  if (!pull) return fail(pull.error());
  while (auto event = pull->next_event()) {
    if (!*event) break;
    show(**event);
  }
  auto images = pull->wait();
  if (!images) return fail(images.error());
  for (const caisson::ImageInfo& image : *images) std::printf("%s\n", image.id.c_str());
  return 0;
}
