#include "cli/new_box.h"

#include <fcntl.h>
#include <unistd.h>

#include "cli/image_text.h"
#include "cli/io.h"
#include "cli/json_output.h"
#include "cli/puller.h"
#include "cli/report.h"

namespace caisson::cli {
namespace {

Result<> write_id(int fd, const std::string& id, const std::string& path) {
  if (::write(fd, id.data(), id.size()) == static_cast<ssize_t>(id.size())) return {};
  return cli_sys_error("write id to", path);
}

/// Whether `text` is the beginning of an image's id that is here. (create looks at that itself.)
bool is_id_here(Images& images, const std::string& text) {
  const std::string_view hex = std::string_view(text).substr(text.starts_with("sha256:") ? 7 : 0);
  if (hex.size() < 4 || hex.find_first_not_of("0123456789abcdef") != std::string_view::npos)
    return false;
  return images.inspect(text).has_value();
}

}  // namespace

std::optional<int> pull_source(Runtime& runtime, BoxOptions& options) {
  BoxSpec& spec = options.spec;
  if (!is_registry_image(spec.source) || spec.pull == PullPolicy::kNever) return std::nullopt;
  // What is wrong with the box shall not be said only after a download.
  if (auto valid = validate(spec); !valid) return fail(valid.error(), options.json);
  Images images = runtime.images();
  if (spec.pull == PullPolicy::kMissing && spec.platform.empty() && is_id_here(images, spec.source))
    return std::nullopt;
  auto pulled =
      pull_images(images, {.source = spec.source, .platform = spec.platform, .policy = spec.pull},
                  options.quiet ? Show::kNothing : Show::kProgress);
  if (!pulled) return fail(pulled.error(), options.json);
  if (pulled->signal != 0) return report_interrupted(spec.source, pulled->signal, options.json);
  spec.pull = PullPolicy::kMissing;  // it is here now; asking again would cost a round trip
  return std::nullopt;
}

Result<Box> new_box(Runtime& runtime, const BoxOptions& options) {
  if (options.id_file.empty()) return runtime.create(options.spec);
  const int fd = ::open(options.id_file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return cli_sys_error("create id file", options.id_file);
  auto box = runtime.create(options.spec);
  auto written = box ? write_id(fd, box->id(), options.id_file) : Result<>();
  ::close(fd);
  if (box && written) return box;
  ::unlink(options.id_file.c_str());
  if (!box) return box;
  (void)box->remove(true);  // the write's failure is the one to report
  return std::move(written.error());
}

int print_box(const Box& box, const BoxOptions& options) {
  return print((options.json ? box_object(box.id(), options.spec.name) : box.id()) + "\n");
}

}  // namespace caisson::cli
