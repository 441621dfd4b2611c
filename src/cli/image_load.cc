// caisson image load: the images of an archive.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/image_text.h"
#include "cli/json_output.h"
#include "cli/output_file.h"
#include "cli/puller.h"
#include "cli/tar_sniff.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  std::string input = "-";
  std::string platform;
  bool quiet = false;
  bool json = false;
};

constexpr CommandText kText = {
    "image load", "[OPTIONS]",
    "Take every image out of an archive that `docker save`, `podman save`, `skopeo copy` or\n"
    "`caisson image save` made, under its names. Without -i it is read from standard input.",
    "  docker save alpine:3.20 | caisson image load\n"
    "  caisson image load -i oci-archive:image.tar\n"};

constexpr Option<Settings> kOptions[] = {
    {{"-i,--input", "FILE", "the archive; oci-archive:FILE or docker-archive:FILE says its kind"},
     set_text<&Settings::input>},
    {{"--platform", "OS/ARCH", "for this platform, e.g. linux/arm64; default: this host's"},
     set_text<&Settings::platform>},
    {{"-q,--quiet", "", "print the names and ids only"}, set_true<&Settings::quiet>},
    {{"--json", "", "one JSON object a line: what happens, and each image at the end"},
     set_true<&Settings::json>},
};

/// The archive as a source for a pull. What cannot be read twice is kept in a file without a name;
/// its descriptor stays open as long as this.
class Archive final {
 public:
  Archive() = default;
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;
  ~Archive() {
    if (fd_ >= 0) ::close(fd_);
  }

  Result<std::string> open(const std::string& input) {
    if (input.starts_with("oci-archive:") || input.starts_with("docker-archive:")) {
      return absolute_source(input, working_directory());
    }
    auto path = input == "-" ? take_stdin() : open_file(input);
    if (!path) return path;
    auto kind = sniff_archive(fd_, input == "-" ? "stdin" : input);
    if (!kind) return std::move(kind.error());
    return (*kind == ArchiveKind::kOci ? "oci-archive:" : "docker-archive:") + *path;
  }

 private:
  Result<std::string> take_stdin() {
    if (::isatty(STDIN_FILENO) == 1) {
      return cli_error(Code::kInvalidArgument, "is_a_terminal",
                       "read archive from 'stdin': it is a terminal", "caisson image load -i FILE");
    }
    return spool(STDIN_FILENO, "stdin");
  }

  Result<std::string> open_file(const std::string& path) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status{};
    if (fd_ < 0 || ::fstat(fd_, &status) < 0) return cli_sys_error("open", path);
    if (S_ISREG(status.st_mode)) return path[0] == '/' ? path : working_directory() + "/" + path;
    const int from = fd_;
    auto kept = spool(from, path);
    ::close(from);
    return kept;
  }

  Result<std::string> spool(int from, const std::string& path) {
    auto fd = open_spool("archive");
    if (!fd) return std::move(fd.error());
    fd_ = *fd;
    auto copied = copy_file(from, fd_, path, "temporary file");
    if (!copied) return std::move(copied.error());
    return "/proc/self/fd/" + std::to_string(fd_);
  }

  int fd_ = -1;
};

std::string loaded_text(const std::vector<ImageInfo>& images) {
  std::string text;
  for (const ImageInfo& image : images) {
    if (image.names.empty()) text += "Loaded: " + escape(image.id) + "\n";
    for (const std::string& name : image.names) {
      text += "Loaded: " + escape(familiar_name(name)) + " " + escape(image.id) + "\n";
    }
  }
  return text;
}

int load(const Settings& settings) {
  Archive archive;
  auto source = archive.open(settings.input);
  if (!source) return fail(source.error(), settings.json);
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  Images images = runtime->images();
  const Show show = settings.json ? Show::kJson : settings.quiet ? Show::kNothing : Show::kProgress;
  auto pulled = pull_images(
      images, {.source = *source, .platform = settings.platform, .all_images = true}, show);
  if (!pulled) return fail(pulled.error(), settings.json);
  if (pulled->output_closed) return kStatusOutputClosed;
  if (pulled->signal != 0) return report_interrupted(*source, pulled->signal, settings.json);
  if (!settings.json) return print(loaded_text(pulled->images));
  std::string lines;
  for (const ImageInfo& image : pulled->images) lines += pulled_object(image) + "\n";
  return print(lines);
}

}  // namespace

int image_load_command(Args args) {
  Settings settings;
  std::vector<std::string> rest;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, rest)) {
    return *done;
  }
  if (!rest.empty()) {
    return fail(
        usage_error("image load", "argument_unexpected", "'" + rest.front() + "' says nothing here",
                    "caisson image load -i " + rest.front()),
        settings.json);
  }
  return load(settings);
}

}  // namespace caisson::cli
