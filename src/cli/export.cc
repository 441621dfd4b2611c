// caisson export, caisson import: a box as one file.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/output_file.h"

namespace caisson::cli {
namespace {

struct Export {
  std::string output;
};

constexpr CommandText kExport = {
    "export", "[OPTIONS] BOX",
    "Write a box as one archive: what it is made of, its image and its files; without snapshots,\n"
    "volumes and logs. A box that runs stands still for it. Without -o it goes to standard output.",
    "  caisson export -o worker.tar worker\n"};
constexpr Option<Export> kExportOptions[] = {
    {{"-o,--output", "FILE", "write FILE, which is replaced when the archive is whole"},
     set_text<&Export::output>},
};

struct Import {
  std::string input = "-";
  std::string name;
  bool trust = false;
};

constexpr CommandText kImport = {
    "import", "[OPTIONS]",
    "Make a box of an archive that `caisson export` made, and print its id. Without -i it is read\n"
    "from standard input. What reaches out of a box is refused unless you trust who made it.",
    "  caisson import -i worker.tar --name worker2\n"};
constexpr Option<Import> kImportOptions[] = {
    {{"-i,--input", "FILE", "the archive"}, set_text<&Import::input>},
    {{"--trust", "", "let it have mounts, the host's network and so on, as its maker asks"},
     set_true<&Import::trust>},
    {{"--name", "NAME", "instead of the name that the box had"}, set_text<&Import::name>},
};

Result<> write_box(const std::string& name, const std::string& path) {
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  auto box = runtime->find(name);
  if (!box) return std::move(box.error());
  auto file = OutputFile::open_archive(path, "caisson export -o FILE BOX");
  if (!file) return std::move(file.error());
  auto written = box->export_to(file->fd());
  return written ? file->commit() : written;
}

Result<Box> read_box(const Import& settings) {
  int fd = STDIN_FILENO;
  if (settings.input != "-") {
    fd = ::open(settings.input.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return cli_sys_error("open", settings.input);
  } else if (::isatty(fd) == 1) {
    return cli_error(Code::kInvalidArgument, "is_a_terminal",
                     "read archive from 'stdin': it is a terminal", "caisson import -i FILE");
  }
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  return runtime->import_from(fd, {settings.name, settings.trust});
}

}  // namespace

int export_command(Args args) {
  Export settings;
  std::vector<std::string> words;
  if (auto done = parse<Export>(kExport, kExportOptions, Order::kAnywhere, args, settings, words)) {
    return *done;
  }
  if (words.size() != 1) {
    return fail(usage_error("export", words.empty() ? "argument_missing" : "argument_unexpected",
                            words.empty() ? "BOX is missing" : "it takes one box",
                            "caisson export -o FILE BOX"));
  }
  auto written = write_box(words.front(), settings.output);
  if (written) return 0;
  return written.error().sys_errno == EPIPE ? kStatusOutputClosed : fail(written.error());
}

int import_command(Args args) {
  Import settings;
  std::vector<std::string> words;
  if (auto done = parse<Import>(kImport, kImportOptions, Order::kAnywhere, args, settings, words)) {
    return *done;
  }
  if (!words.empty()) {
    return fail(usage_error("import", "argument_unexpected",
                            "'" + words.front() + "' says nothing here",
                            "caisson import -i " + words.front()));
  }
  auto box = read_box(settings);
  return box ? print(box->id() + "\n") : fail(box.error());
}

}  // namespace caisson::cli
