// Images: pull one and see what happens meanwhile, list what is there, run it.
#include <cstdio>
#include <string>

#include "caisson/caisson.h"

namespace {

// "sha256:…: 1048576 of 4194304"
void show(const caisson::PullEvent& event) {
  if (event.kind != caisson::PullEvent::Kind::kLayer) return;
  std::printf("%s: %llu of %llu\n", event.digest.c_str(),
              static_cast<unsigned long long>(event.current),
              static_cast<unsigned long long>(event.total));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::puts("usage: example-images SOURCE, e.g. oci:/srv/image"), 0;
  auto runtime = caisson::Runtime::open();
  if (!runtime) return std::puts(runtime.error().message.c_str()), 1;
  caisson::Images images = runtime->images();
  auto pull = images.pull({.source = argv[1]});
  if (!pull) return std::puts(pull.error().message.c_str()), 1;
  while (auto event = pull->next_event()) {
    if (!*event) break;
    show(**event);
  }
  auto pulled = pull->wait();
  if (!pulled) return std::puts(pulled.error().message.c_str()), 1;
  for (const caisson::ImageInfo& image : *pulled) std::puts(caisson::to_json(image).c_str());
  auto box = runtime->create({.source = argv[1]});  // the image's own command
  if (!box) return std::puts(box.error().message.c_str()), 1;
  return box->remove() ? 0 : 1;
}
