#include "engine/layout.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/sha256.h"
#include "container/box_user.h"
#include "engine/changes.h"
#include "engine/images_impl.h"
#include "engine/layers.h"
#include "engine/record.h"
#include "image/layer_tar.h"
#include "spec/json.h"
#include "spec/oci.h"
#include "spec/state_json.h"

namespace caisson::engine {
namespace {

using nlohmann::json;

std::string blob_name(std::string_view digest) {
  return format("blobs/sha256/{}", spec::hex_of(digest));
}

/// docker's names of the same bytes have no place in an OCI manifest.
std::string oci_media_type(const std::string& type) {
  constexpr std::string_view kDocker = "application/vnd.docker.image.rootfs.diff.tar";
  if (!type.starts_with(kDocker)) return type;
  std::string oci = "application/vnd.oci.image.layer.v1.tar";
  if (type.ends_with(".gzip")) oci += "+gzip";
  if (type.ends_with(".zstd")) oci += "+zstd";
  return oci;
}

/// Compresses what goes through it, or not, and knows the digests of both sides.
class LayerFile final {
 public:
  LayerFile(int fd, bool compress) : fd_(fd) {
    if (compress) stream_ = {::ZSTD_createCCtx(), ::ZSTD_freeCCtx};
    buffer_.resize(::ZSTD_CStreamOutSize());
  }

  Result<> write(std::string_view bytes) {
    plain_.update(bytes);
    return stream_ ? compress(bytes, ZSTD_e_continue) : put(bytes);
  }
  Result<> finish() { return stream_ ? compress({}, ZSTD_e_end) : Result<>(); }

  std::string diff_id() const { return "sha256:" + plain_.hex(); }
  std::string digest() const { return "sha256:" + blob_.hex(); }
  std::uint64_t size() const { return size_; }

 private:
  Result<> compress(std::string_view bytes, ZSTD_EndDirective how) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (;;) {
      ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
      const std::size_t left = ::ZSTD_compressStream2(stream_.get(), &out, &in, how);
      if (::ZSTD_isError(left) != 0)
        return make_error(Code::kInternal, "compress_failed",
                          format("compress layer: {}", ::ZSTD_getErrorName(left)));
      TRY(put({buffer_.data(), out.pos}));
      if (how == ZSTD_e_end ? left == 0 : in.pos == in.size) return {};
    }
  }
  Result<> put(std::string_view bytes) {
    blob_.update(bytes);
    size_ += bytes.size();
    return write_all(fd_, bytes, "layer");
  }

  int fd_;
  std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> stream_{nullptr, ::ZSTD_freeCCtx};
  std::string buffer_;
  Sha256 plain_, blob_;
  std::uint64_t size_ = 0;
};

/// What another process writes to a file of ours.
Result<> take_written(const std::string& directory, LayerFile& out,
                      const std::function<Result<>(int)>& write) {
  const Fd plain(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!plain) return sys_error("create file", directory);
  TRY(write(plain.get()));
  if (::lseek(plain.get(), 0, SEEK_SET) < 0) return sys_error("read layer", directory);
  return files::pass(plain.get(), "layer",
                     [&](std::string_view bytes) { return out.write(bytes); });
}

ImageConfig config_of(const BoxSpec& spec) {
  ImageConfig config;
  config.command = spec.command;
  for (const auto& [key, value] : spec.env) config.env.push_back(key + "=" + value);
  config.workdir = spec.workdir;
  config.user = spec.user;
  config.stop_signal = spec.stop_signal;
  config.labels = spec.labels;
  return config;
}

}  // namespace

std::string Layout::path() const { return runtime_->path("fetch/staging/" + staging_.id()); }

std::string Layout::add_blob(std::string content) {
  std::string digest = "sha256:" + sha256_hex(content);
  const std::uint64_t size = content.size();
  files_[blob_name(digest)] = {{}, std::move(content), size};
  return digest;
}

/// What the box's image has: its layers as they came.
Result<> Layout::add_base(const store::BoxRow& row) {
  const std::optional<store::ImageRow> image = TRY(runtime_->images.find(row.image));
  if (!image)
    return make_error(Code::kDataLoss, "image_damaged",
                      format("pack box '{}': its image '{}' is missing", row.id, row.image));
  config_ = TRY(read_document(*runtime_, image->config_digest));
  platform_ = {image->os, image->architecture, image->variant};
  for (const store::LayerRow& layer : image->layers) {
    layers_.push_back({.media_type = oci_media_type(layer.media_type),
                       .digest = layer.digest,
                       .size = layer.size});
    const std::string name = blob_name(layer.digest);
    files_[name] = {runtime_->path(name), {}, layer.size};
  }
  return {};
}

Result<> Layout::add_layer(const Box::Impl& box, const store::BoxRow& row, const BoxSpec& spec,
                           const std::vector<store::BoxLayer>& layers, bool compress) {
  const BoxRoot base = TRY(base_of(*runtime_, row, spec));
  Rootfs before = base.rootfs;
  const Rootfs after = with_layers(*runtime_, before, layers);
  // An image of what is no image has all of it in its layer.
  if (row.image.empty() && spec.source != "host:") before.lowers.clear();
  backend::LayerRequest request{paths_of(before), paths_of(after)};
  const container::SwappedIds swapped = container::swapped_ids(box.runtime->layout.box(box.id));
  request.swapped_uid = swapped.uid;
  request.swapped_gid = swapped.gid;
  const std::string place = path() + "/layer";
  const Fd file = TRY(open_fd(place, O_WRONLY | O_CREAT | O_EXCL, 0644));
  LayerFile out(file.get(), compress);
  if (is_on_disk(before, after))
    TRY(take_written(path(), out, [&](int fd) {
      return compare_disks(*runtime_, spec, before, after, true, fd);
    }));
  else if (::geteuid() != 0)  // whose shim reads what belongs to the ids of boxes
    TRY(take_written(path(), out, [&](int fd) { return ask_shim(*runtime_, request, {fd}); }));
  else
    TRY(image::write_layer(request.before, request.after, {},
                           [&](std::string_view bytes) { return out.write(bytes); }));
  TRY(out.finish());
  diff_id_ = out.diff_id();
  spec::Descriptor layer;
  layer.media_type = format("application/vnd.oci.image.layer.v1.tar{}", compress ? "+zstd" : "");
  layer.digest = out.digest();
  layer.size = out.size();
  files_[blob_name(layer.digest)] = {place, {}, layer.size};
  layers_.push_back(std::move(layer));
  return {};
}

Result<> Layout::add_documents(const store::BoxRow& row, const BoxSpec& spec,
                               const LayoutOptions& options) {
  spec::CommittedImage image;
  image.base = config_;
  image.config = config_of(spec);
  image.platform = platform_;
  image.created = spec::rfc3339(wall_ns());
  image.comment = options.comment;
  image.diff_id = diff_id_;
  const std::string config = TRY(spec::make_config(image));
  spec::Descriptor config_descriptor;
  config_descriptor.media_type = "application/vnd.oci.image.config.v1+json";
  config_descriptor.size = config.size();
  config_descriptor.digest = add_blob(config);
  const std::string manifest = spec::make_manifest(config_descriptor, layers_);
  spec::SavedImage saved;
  saved.manifest.media_type = "application/vnd.oci.image.manifest.v1+json";
  saved.manifest.size = manifest.size();
  saved.manifest.digest = add_blob(manifest);
  saved.manifest.platform = platform_;
  json index = TRY(spec::parse_json(spec::make_index({saved})));
  if (options.with_box) {
    const json box = {{"version", kBoxVersion},
                      {"id", row.id},
                      {"spec", TRY(spec::parse_json(to_json(spec)))},
                      {"whole_image", spec.source != "host:"}};
    index["manifests"][0]["annotations"][kBoxAnnotation] = add_blob(box.dump());
  }
  const std::string text = index.dump();
  files_["index.json"] = {{}, text, text.size()};
  const std::string version = R"({"imageLayoutVersion":"1.0.0"})";
  files_["oci-layout"] = {{}, version, version.size()};
  return {};
}

Result<std::string> Layout::place() const {
  for (const char* directory : {"", "/blobs", "/blobs/sha256"}) {
    const std::string made = path() + directory;
    if (::mkdir(made.c_str(), 0755) < 0 && errno != EEXIST)
      return sys_error("create directory", made);
    if (::chmod(made.c_str(), 0755) < 0) return sys_error("set mode of", made);
  }
  for (const auto& [name, file] : files_) {
    const std::string target = path() + "/" + name;
    if (file.path.empty()) {
      const Fd out = TRY(open_fd(target, O_WRONLY | O_CREAT | O_EXCL, 0644));
      TRY(write_all(out.get(), file.content, name));
    } else if (::link(file.path.c_str(), target.c_str()) < 0) {
      return sys_error("link to", file.path);
    }
  }
  return path();
}

Result<Layout> Layout::make(Box box, const Box::Impl& impl, const LayoutOptions& options) {
  const Runtime::Impl& runtime = *impl.runtime;
  const BoxSpec spec = TRY(spec_of(TRY(impl.row())));
  TRY(require_layers(spec, "make image of"));
  if (spec.source == "host:" && !options.with_box)
    return make_error(
        Code::kFailedPrecondition, "no_image",
        format("make image of box '{}': it has none, its files are the host's", impl.id),
        format("caisson export {} keeps what it has changed", impl.id));
  TRY(open_fetch_directories(runtime));
  Layout layout(runtime, TRY(Staging::make(runtime)));
  const Moment moment = TRY(Moment::of(std::move(box), impl, layout.staging_));
  const store::BoxRow row = TRY(impl.row());
  layout.platform_ = spec::host_platform();
  if (!row.image.empty()) TRY(layout.add_base(row));
  TRY(layout.add_layer(impl, row, spec, moment.layers(), options.compress));
  TRY(layout.add_documents(row, spec, options));
  return layout;
}

Result<> Layout::write(const files::Sink& sink) const {
  files::TarWriter tar(sink);
  const auto document = [&](const std::string& name) {
    return tar.add({.name = name}, files_.at(name).content);
  };
  TRY(document("oci-layout"));
  TRY(document("index.json"));
  for (const char* directory : {"blobs/", "blobs/sha256/"})
    TRY(tar.add({.name = directory, .type = files::TarType::kDirectory, .mode = 0755}));
  for (const auto& [name, file] : files_) {
    if (!name.starts_with("blobs/")) continue;
    if (file.path.empty()) {
      TRY(document(name));
      continue;
    }
    const Fd fd = TRY(open_fd(file.path, O_RDONLY | O_NOFOLLOW));
    Sha256 hash;
    TRY(tar.add_file({.name = name, .size = file.size}, fd.get(),
                     [&](std::string_view piece) { hash.update(piece); }));
    if (blob_name(format("sha256:{}", hash.hex())) != name)
      return make_error(Code::kDataLoss, "digest_mismatch",
                        format("write archive: blob '{}' has changed on disk", name),
                        "caisson image fsck tells what else has");
  }
  return tar.finish();
}

}  // namespace caisson::engine
