// A box as one file, and back (docs/formats/archive.md).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/sha256.h"
#include "base/ulid.h"
#include "engine/audit.h"
#include "engine/images_impl.h"
#include "engine/layers.h"
#include "engine/layout.h"
#include "engine/named_volumes.h"
#include "engine/volumes.h"
#include "files/tar_reader.h"
#include "image/flatten.h"
#include "spec/json.h"
#include "spec/seccomp_policy.h"
#include "spec/state_json.h"

namespace caisson {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMostDocument = 4u << 20;

Error invalid(std::string_view cause) {
  return make_error(Code::kInvalidArgument, "archive_invalid", format("import box: {}", cause),
                    "it takes an archive that caisson export made");
}

/// The archive as a file that can be read again: what comes through a pipe is kept without a name.
Result<Fd> seekable(const Runtime::Impl& runtime, int fd) {
  struct stat st{};
  if (::fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
    return open_fd(format("/proc/self/fd/{}", fd), O_RDONLY);
  Fd kept(::open(runtime.layout.home.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!kept) return sys_error("create file", runtime.layout.home);
  TRY(files::pass(fd, "archive",
                  [&](std::string_view bytes) { return write_all(kept.get(), bytes, "archive"); }));
  return kept;
}

/// The member `name` of the archive, which must be a small file.
Result<std::string> member(int fd, const std::string& name) {
  if (::lseek(fd, 0, SEEK_SET) < 0) return sys_error("read", "archive");
  files::TarReader tar([fd](std::span<char> buffer) -> Result<std::size_t> {
    for (;;) {
      const ssize_t n = ::read(fd, buffer.data(), buffer.size());
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno != EINTR) return sys_error("read", "archive");
    }
  });
  files::TarMember found;
  while (TRY(tar.next(found))) {
    if (found.name != name || found.type != files::TarType::kFile) continue;
    if (found.size > kMostDocument) return invalid(format("'{}' is too large", name));
    std::string content(found.size, '\0');
    for (std::size_t at = 0; at < content.size();) {
      const std::size_t n = TRY(tar.read({content.data() + at, content.size() - at}));
      if (n == 0) return invalid("it is cut off");
      at += n;
    }
    return content;
  }
  return invalid(format("it has no '{}'", name));
}

struct Exported {
  BoxSpec spec;
  std::string image;        ///< the manifest's digest
  bool whole_image = true;  ///< else its layer is what a box of `host:` has changed
};

/// From index.json to the document about the box, by its digest.
Result<Exported> read_box(int fd) {
  const json index = TRY(spec::parse_json(TRY(member(fd, "index.json")), 10'000));
  const json pointer = index.is_object() ? index.value("manifests", json()) : json();
  std::string digest;
  if (pointer.is_array() && !pointer.empty() && pointer[0].is_object())
    if (const json notes = pointer[0].value("annotations", json()); notes.is_object())
      if (const auto it = notes.find(engine::kBoxAnnotation); it != notes.end() && it->is_string())
        digest = it->get<std::string>();
  if (!spec::is_digest(digest)) return invalid("it has no box");
  Exported exported;
  if (const auto it = pointer[0].find("digest"); it != pointer[0].end() && it->is_string())
    exported.image = it->get<std::string>();
  const std::string text = TRY(member(fd, format("blobs/sha256/{}", spec::hex_of(digest))));
  if ("sha256:" + sha256_hex(text) != digest)
    return make_error(Code::kDataLoss, "digest_mismatch",
                      "import box: the document about the box has been changed");
  const json box = TRY(spec::parse_json(text, 100'000));
  const auto version = box.is_object() ? box.find("version") : box.end();
  if (!box.is_object() || version == box.end() || !version->is_number_integer())
    return invalid("the document about the box is malformed");
  if (*version != engine::kBoxVersion)
    return make_error(Code::kUnimplemented, "archive_unsupported",
                      format("import box: the archive's version is {}, this caisson knows {}",
                             version->dump(), engine::kBoxVersion),
                      "use the caisson that made it");
  const auto spec = box.find("spec"), whole = box.find("whole_image");
  if (spec == box.end() || whole == box.end() || !whole->is_boolean())
    return invalid("the document about the box is malformed");
  exported.spec = TRY(box_spec_from_json(spec->dump()));
  exported.whole_image = whole->get<bool>();
  if (exported.whole_image != (exported.spec.source != "host:"))
    return invalid("the document about the box is malformed");
  return exported;
}

}  // namespace

Result<> Box::export_to(int fd) {
  const engine::Layout layout =
      TRY(engine::Layout::make(*this, *impl_, {.compress = true, .with_box = true}));
  TRY(layout.write([fd](std::string_view bytes) { return write_all(fd, bytes, "archive"); }));
  impl_->runtime->audit.add("box_exported", impl_->id, {});
  return {};
}

namespace {

/// What a spec may ask for that somebody else has written, unless the caller says that it is
/// trusted.
Result<> check_harmless(const Runtime::Impl& runtime, const BoxSpec& spec) {
  std::string asks;
  const auto add = [&](bool there, std::string_view what) {
    if (there) asks += (asks.empty() ? "" : ", ") + std::string(what);
  };
  add(std::ranges::any_of(spec.mounts,
                          [](const Mount& mount) { return mount.type == MountType::kBind; }),
      "files of this host");
  for (const Mount& mount : spec.mounts)
    add(mount.type == MountType::kVolume && TRY(runtime.volumes.find(mount.source)).has_value(),
        format("volume '{}', which is there", mount.source));
  add(spec.network != Network::kNone, "the host's network");
  add(spec.security.seccomp != SeccompMode::kProfile, "a system call policy of its own");
  add(spec.profile == Profile::kFull, "profile full");
  add(!spec.allow_missing.empty(), "limits that need not hold");
  add(spec.source.starts_with("dir:"), "a directory of this host by name");
  if (asks.empty()) return {};
  return make_error(Code::kPermissionDenied, "archive_untrusted",
                    format("import box: it asks for {}", asks),
                    "--trust, if you know who made the archive");
}

/// Removes an image that only an import brought, unless a box or a name has it by then.
class Vessel final {
 public:
  Vessel(const Runtime::Impl& runtime, std::optional<store::ImageRow> row)
      : runtime_(runtime), row_(std::move(row)) {}
  Vessel(const Vessel&) = delete;
  Vessel& operator=(const Vessel&) = delete;
  ~Vessel() {
    if (!row_ || !runtime_.images.drop_unused(row_->id, false).value_or(false)) return;
    [[maybe_unused]] const Result<std::uint64_t> freed =
        engine::collect_garbage(runtime_, {engine::parts_of(*row_), {}});
  }

 private:
  const Runtime::Impl& runtime_;
  std::optional<store::ImageRow> row_;
};

}  // namespace

Result<Box> Runtime::import_from(int fd, const ImportOptions& options) {
  const Fd archive = TRY(seekable(*impl_, fd));
  Exported exported = TRY(read_box(archive.get()));
  BoxSpec& spec = exported.spec;
  if (!options.name.empty()) spec.name = options.name;
  TRY(validate(spec));
  if (!options.trusted) TRY(check_harmless(*impl_, spec));
  if (spec.security.seccomp == SeccompMode::kCustom)
    TRY(parse_seccomp_policy(spec.security.seccomp_policy));
  // Mounts show this host's files: they must be there.
  spec = TRY(engine::with_real_sources(spec));
  const bool known = !exported.image.empty() && TRY(impl_->images.find(exported.image)).has_value();
  const std::string id = TRY(engine::take_nameless(
      impl_, format("oci-archive:/proc/self/fd/{}", archive.get()), spec.platform));
  const std::optional<store::ImageRow> image = TRY(impl_->images.find(id));
  const Vessel vessel(*impl_, known ? std::nullopt : image);
  if (!image) return invalid("it has no image");
  store::BoxRow row = TRY(engine::new_row(spec));
  store::BoxVolumes volumes = TRY(engine::volumes_of(spec));
  volumes.only_new = !options.trusted;
  std::vector<store::BoxLayer> layers;
  if (exported.whole_image) {
    row.image = image->id;
    row.rootfs_json = TRY(engine::rootfs_json_of(*impl_, *image, spec.rootfs));
  } else {
    if (image->layers.size() != 1) return invalid("it has more than one layer");
    layers = TRY(engine::adopt_tree(*impl_, image->layers.front().chain_id));
    row.generation = TRY(make_ulid());
  }
  if (Result<> inserted = impl_->snapshots.insert_boxes({row}, layers, volumes); !inserted) {
    engine::discard_layers(*impl_, layers);
    return inserted.error();
  }
  engine::tell_created(*impl_, row.id, spec, row.image);
  return Box(std::make_shared<const Box::Impl>(impl_, row.id));
}

}  // namespace caisson
