// caisson image save: images as an archive.
#include <cerrno>

#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/output_file.h"

namespace caisson::cli {
namespace {

struct Settings {
  std::string output;
};

constexpr CommandText kText = {
    "image save", "[OPTIONS] IMAGE...",
    "Write images into one tar archive, an OCI layout that `docker load` reads too. Without -o it\n"
    "goes to standard output.",
    "  caisson image save -o alpine.tar alpine:3.20\n"
    "  caisson image save alpine:3.20 | docker load\n"};

constexpr Option<Settings> kOptions[] = {
    {{"-o,--output", "FILE", "write FILE, which is replaced when the archive is whole"},
     set_text<&Settings::output>},
};

Result<> save(const std::vector<std::string>& names, const std::string& path) {
  auto file = OutputFile::open_archive(path, "caisson image save -o FILE");
  if (!file) return std::move(file.error());
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  auto saved = runtime->images().save(names, file->fd());
  return saved ? file->commit() : saved;
}

}  // namespace

int image_save_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names)) {
    return *done;
  }
  if (names.empty()) {
    return fail(usage_error("image save", "argument_missing", "IMAGE is missing"));
  }
  auto saved = save(names, settings.output);
  if (saved) return 0;
  return saved.error().sys_errno == EPIPE ? kStatusOutputClosed : fail(saved.error());
}

}  // namespace caisson::cli
