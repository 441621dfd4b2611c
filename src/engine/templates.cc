// Templates of machines: made beforehand by a shim, listed and removed by their files.
#include "caisson/templates.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "caisson/runtime.h"
#include "engine/box_impl.h"
#include "engine/fetch.h"
#include "engine/images_impl.h"
#include "engine/probe.h"
#include "engine/record.h"
#include "spec/effective.h"
#include "spec/json.h"
#include "spec/json_reader.h"
#include "spec/state_json.h"

namespace caisson {

class Templates::Impl {
 public:
  explicit Impl(std::shared_ptr<const Runtime::Impl> of) : runtime(std::move(of)) {}
  std::string directory() const { return runtime->path("templates"); }
  const std::shared_ptr<const Runtime::Impl> runtime;
};

namespace {

constexpr const char* kPartial = "partial";

Error boots(std::string_view why) {
  return make_error(Code::kInvalidArgument, "template_unsupported",
                    format("make template: a box {} boots each time", why));
}

Result<> check_kind(const BoxSpec& spec) {
  if (spec.isolation != Isolation::kMicroVm)
    return make_error(Code::kUnimplemented, "isolation_unsupported",
                      format("make template: isolation '{}' has none", to_string(spec.isolation)),
                      "use --isolation microvm");
  if (spec.machine.cold) return boots("that is to start cold");
  if (!spec.machine.kernel.empty()) return boots("with a kernel of its own");
  if (spec::shows_host_files(spec)) return boots("with files of the host");
  return {};
}

/// The box, which no record has: its name is that of the directory that its machine works in.
Result<backend::WarmRequest> request_for(const std::shared_ptr<const Runtime::Impl>& runtime,
                                         const BoxSpec& spec, const std::string& id) {
  backend::WarmRequest request;
  request.directory = runtime->path("fetch/staging/" + id);
  backend::StartRequest& box = request.box;
  box.id = id;
  box.layout = runtime->layout;
  box.guest = engine::find_guest(runtime->options, TRY(engine::find_shim(runtime->options)));
  box.spec = spec;
  if (spec.source.empty()) return request;
  engine::BoxImage image = TRY(engine::take_image(runtime, spec));
  store::BoxRow row = TRY(engine::new_row(image.spec));
  row.image = image.id;
  row.rootfs_json = image.rootfs_json;
  box.rootfs = TRY(engine::root_of(*runtime, row, image.spec)).rootfs;
  box.spec = std::move(image.spec);
  return request;
}

/// DIGEST-CPUSxMIB[-DIGEST]; nothing for another name.
std::optional<TemplateInfo> info_of(const std::string& name) {
  TemplateInfo info;
  info.name = name;
  std::uint64_t mib = 0;
  const char* const end = name.data() + name.size();
  const std::size_t dash = name.find('-');
  if (dash == std::string::npos) return std::nullopt;
  const auto cpus = std::from_chars(name.data() + dash + 1, end, info.cpus);
  if (cpus.ec != std::errc() || cpus.ptr == end || *cpus.ptr != 'x') return std::nullopt;
  const auto memory = std::from_chars(cpus.ptr + 1, end, mib);
  if (memory.ec != std::errc() || (memory.ptr != end && *memory.ptr != '-')) return std::nullopt;
  info.memory_bytes = mib << 20;
  return info;
}

void measure(TemplateInfo& info, const std::string& path) {
  constexpr std::uint64_t kBlock = 512;  // stat(3type)
  struct stat about{};
  if (::stat(path.c_str(), &about) == 0)
    info.used_ns = about.st_mtim.tv_sec * 1'000'000'000LL + about.st_mtim.tv_nsec;
  for (const std::string& file : names_in(path))
    if (::stat(format("{}/{}", path, file).c_str(), &about) == 0)
      info.size_bytes += static_cast<std::uint64_t>(about.st_blocks) * kBlock;
  info.source = read_file(path + "/source", 1 << 16).value_or("");
}

}  // namespace

Templates::Templates(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Templates Runtime::templates() { return Templates(std::make_shared<const Templates::Impl>(impl_)); }

Result<std::vector<std::string>> Templates::warm(const BoxSpec& spec) {
  const std::shared_ptr<const Runtime::Impl>& runtime = impl_->runtime;
  TRY(check_kind(spec));
  BoxSpec made = spec;
  made.command = {"-"};
  BoxSpec valid = made;
  if (valid.source.empty()) valid.source = "host:";
  TRY(validate(valid));
  TRY(engine::require_proof(*runtime, spec));
  TRY(engine::open_fetch_directories(*runtime));
  TRY(engine::clear_staging(*runtime));
  const engine::Staging staging = TRY(engine::Staging::make(*runtime));
  const backend::WarmRequest request = TRY(request_for(runtime, made, staging.id()));
  const backend::Reply reply = TRY(engine::call_shim(*runtime, request));
  return reply.started ? reply.started->warnings : std::vector<std::string>();
}

Result<std::vector<TemplateInfo>> Templates::list() {
  std::vector<TemplateInfo> infos;
  const Result<Fd> directory = open_fd(impl_->directory(), O_RDONLY | O_DIRECTORY);
  if (!directory && directory.error().sys_errno != ENOENT) return directory.error();
  for (const std::string& name : names_in(impl_->directory()))
    if (std::optional<TemplateInfo> info = info_of(name)) {
      measure(*info, format("{}/{}", impl_->directory(), name));
      infos.push_back(std::move(*info));
    }
  std::ranges::sort(infos, std::greater(), &TemplateInfo::used_ns);
  return infos;
}

Result<std::vector<std::string>> Templates::prune() {
  std::vector<std::string> removed;
  const Result<Fd> directory = open_fd(impl_->directory(), O_RDONLY | O_DIRECTORY);
  if (!directory && directory.error().sys_errno == ENOENT) return removed;
  if (!directory) return directory.error();
  // As who makes one, vm/template.h; whoever does is waited for.
  constexpr std::int64_t kPatience = 10'000'000'000;
  for (const std::int64_t begun = boot_ns(); ::flock(directory->get(), LOCK_EX | LOCK_NB) < 0;) {
    if (boot_ns() - begun > kPatience)
      return make_error(Code::kDeadlineExceeded, "template_busy",
                        "remove templates: somebody is making one");
    ::usleep(20'000);
  }
  for (const std::string& name : names_in(".", directory->get())) {
    const bool known = info_of(name).has_value();
    if (!known && name != kPartial) continue;
    for (const std::string& file : names_in(name, directory->get()))
      ::unlinkat(directory->get(), format("{}/{}", name, file).c_str(), 0);
    if (::unlinkat(directory->get(), name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT)
      return sys_error("remove template", name);
    if (known) removed.push_back(name);
  }
  return removed;
}

std::string to_json(const TemplateInfo& info) {
  return nlohmann::json{{"name", info.name},
                        {"cpus", info.cpus},
                        {"memory_bytes", info.memory_bytes},
                        {"source", spec::encode_text(info.source)},
                        {"size_bytes", info.size_bytes},
                        {"used", spec::rfc3339(info.used_ns)},
                        {"used_ns", info.used_ns}}
      .dump();
}

}  // namespace caisson
