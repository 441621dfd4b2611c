// caisson image disk: an image's root as an ext4 file.
#include <fcntl.h>
#include <unistd.h>

#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/each_image.h"
#include "cli/output_file.h"

namespace caisson::cli {
namespace {

struct Settings {
  std::string output;
};

constexpr CommandText kText = {
    "image disk", "[OPTIONS] IMAGE",
    "Make a read-only ext4 file of an image's root, once for each image, and print its path. It\n"
    "goes with the image.",
    "  caisson image disk alpine:3.20\n"
    "  caisson image disk -o root.ext4 alpine:3.20\n"
    "  caisson image disk -o work.qcow2 alpine:3.20\n"};

constexpr Option<Settings> kOptions[] = {
    {{"-o,--output", "FILE", "copy it to FILE; with .qcow2 make FILE a writable overlay of it"},
     set_text<&Settings::output>},
};

Result<> copy(const std::string& disk, const std::string& path) {
  auto file = OutputFile::open(path);
  if (!file) return std::move(file.error());
  const int from = ::open(disk.c_str(), O_RDONLY | O_CLOEXEC);
  if (from < 0) return cli_sys_error("open", disk);
  auto copied = copy_file(from, file->fd(), disk, path);
  ::close(from);
  return copied ? file->commit() : copied;
}

}  // namespace

int image_disk_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names)) {
    return *done;
  }
  auto name = only_argument("image disk", "IMAGE", names);
  if (!name) return fail(name.error());
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  if (settings.output.ends_with(".qcow2")) {
    auto made = runtime->images().disk_overlay(*name, settings.output);
    return made ? 0 : fail(made.error());
  }
  auto disk = runtime->images().disk(*name);
  if (!disk) return fail(disk.error());
  if (settings.output.empty()) return print(*disk + "\n");
  auto copied = copy(*disk, settings.output);
  return copied ? 0 : fail(copied.error());
}

}  // namespace caisson::cli
