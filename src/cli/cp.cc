// caisson cp: files between boxes and the host.
#include <unistd.h>

#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  CopyOptions copy;
  bool quiet = false;
};

constexpr CommandText kText = {
    "cp", "[OPTIONS] BOX:PATH PATH|- | PATH|- BOX:PATH",
    "Copy a file or a tree out of a box or into it, whether the box runs or not. Into a directory\n"
    "it goes under its own name; SOURCE/. copies what is in SOURCE. With - a tar archive goes to\n"
    "standard output, or from standard input into a directory. A host path with a ':' in it is\n"
    "written ./a:b. What comes out belongs to who calls, what goes in to the box's root.",
    "  caisson cp worker:/workspace/report.pdf .\n"
    "  caisson cp src/. worker:/workspace\n"
    "  tar c src | caisson cp - worker:/workspace\n"};

constexpr Option<Settings> kOptions[] = {
    {{"-a,--archive", "", "keep numeric owners, set-id bits and attributes"},
     [](Settings& o, std::string_view) { return o.copy.keep_owners = true, Result<>(); }},
    {{"-L,--follow-link", "", "if the source is a symbolic link, copy what it leads to"},
     [](Settings& o, std::string_view) { return o.copy.follow = true, Result<>(); }},
    {{"-q,--quiet", "", "print nothing"}, set_true<&Settings::quiet>},
};

/// One side of a copy.
struct Place {
  std::string box;  ///< empty: the host
  std::string path;
};

/// "BOX:PATH", where BOX has no slash; what is absolute or begins with a dot is the host's.
Place parse_place(const std::string& word) {
  const std::size_t colon = word.find(':');
  if (word == "-" || word.starts_with('/') || word.starts_with('.') || colon == 0 ||
      colon == std::string::npos || word.find('/') < colon)
    return {{}, word};
  Place place{word.substr(0, colon), word.substr(colon + 1)};
  // docker's: a relative path is one of the root.
  if (!place.path.starts_with('/')) place.path.insert(0, "/");
  return place;
}

Result<Copied> copy_out(Files& files, const Place& from, const std::string& to,
                        const Settings& settings) {
  if (to != "-") return files.copy_out(from.path, to, settings.copy);
  if (::isatty(STDOUT_FILENO) == 1)
    return cli_error(Code::kInvalidArgument, "is_a_terminal",
                     "write archive to 'stdout': it is a terminal", "name a file to copy to");
  return files.pack(from.path, STDOUT_FILENO, settings.copy);
}

Result<Copied> copy_in(Files& files, const std::string& from, const Place& to,
                       const Settings& settings) {
  if (from != "-") return files.copy_in(from, to.path, settings.copy);
  if (::isatty(STDIN_FILENO) == 1)
    return cli_error(Code::kInvalidArgument, "is_a_terminal",
                     "read archive from 'stdin': it is a terminal", "name a file to copy");
  return files.unpack(STDIN_FILENO, to.path, settings.copy);
}

Result<> copy(const Place& from, const Place& to, const Settings& settings) {
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  auto box = runtime->find(from.box.empty() ? to.box : from.box);
  if (!box) return std::move(box.error());
  auto files = box->files();
  if (!files) return std::move(files.error());
  auto copied = to.box.empty() ? copy_out(*files, from, to.path, settings)
                               : copy_in(*files, from.path, to, settings);
  if (!copied) return std::move(copied.error());
  if (settings.quiet) return {};
  std::string text;
  if (::isatty(STDERR_FILENO) == 1)
    text =
        "copied " + std::to_string(copied->files) + " files, " + human_size(copied->bytes) + "\n";
  if (copied->skipped > 0)
    text += "caisson: " + std::to_string(copied->skipped) + " sockets and devices were left out\n";
  return write_all(STDERR_FILENO, text);
}

}  // namespace

int cp_command(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, words)) {
    return *done;
  }
  const std::string hint = "caisson cp BOX:PATH PATH, or caisson cp PATH BOX:PATH";
  if (words.size() != 2) {
    return fail(usage_error("cp", words.size() < 2 ? "argument_missing" : "argument_unexpected",
                            "it takes a source and a destination", hint));
  }
  const Place from = parse_place(words[0]), to = parse_place(words[1]);
  if (from.box.empty() == to.box.empty()) {
    return fail(
        usage_error("cp", "argument_unexpected",
                    from.box.empty() ? "neither side is in a box" : "both sides are in boxes",
                    from.box.empty() ? hint : "caisson cp A:PATH - | caisson cp - B:PATH"));
  }
  auto copied = copy(from, to, settings);
  if (copied) return 0;
  return copied.error().sys_errno == EPIPE ? kStatusOutputClosed : fail(copied.error());
}

}  // namespace caisson::cli
