// Images in directories and archives: OCI layouts (image-spec, image-layout.md) and docker save.
#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <algorithm>
#include <deque>

#include "base/sha256.h"
#include "fetch/files.h"
#include "fetch/origin.h"
#include "spec/json.h"

namespace caisson::fetch {
namespace {

std::string blob_path(const std::string& digest) {
  return "blobs/sha256/" + std::string(spec::hex_of(digest));
}

Result<std::string> canonical_name(const std::string& text) {
  const spec::ImageRef ref = TRY(spec::parse_image_ref(text));
  if (!ref.digest.empty())
    return make_error(
        Code::kInvalidArgument, "reference_invalid",
        format("take name '{}' of an archive: an archive cannot give a digest", text));
  return spec::canonical(ref);
}

/// Copies blobs piece by piece, so that unpacking goes on meanwhile.
class LocalOrigin : public Origin {
 public:
  explicit LocalOrigin(Files files) : files_(std::move(files)) {}

  void download(const spec::Descriptor& descriptor, int fd, std::uint64_t offset, Progress progress,
                Done done) override {
    copies_.push_back({descriptor, fd, offset, std::move(progress), std::move(done), {}});
  }

  Result<> step(int timeout_ms, std::span<const int> others) override {
    if (copies_.empty()) {
      std::vector<pollfd> polled;
      for (int fd : others) polled.push_back({fd, POLLIN, 0});
      if (::poll(polled.data(), polled.size(), timeout_ms) < 0 && errno != EINTR)
        return sys_error("wait for processes", "");
      return {};
    }
    Copy copy = std::move(copies_.front());
    copies_.pop_front();
    Result<> copied = go_on(copy);
    if (copied && copy.offset < copy.descriptor.size) {
      copy.progress(copy.offset);
      copies_.push_back(std::move(copy));
      return {};
    }
    if (copied) copy.progress(copy.offset);
    copy.done(std::move(copied));
    return {};
  }

 protected:
  virtual Result<Extent> extent_of(const spec::Descriptor& descriptor) {
    return files_.find(blob_path(descriptor.digest));
  }
  Files& files() { return files_; }

 private:
  struct Copy {
    spec::Descriptor descriptor;
    int fd = -1;
    std::uint64_t offset = 0;
    Progress progress;
    Done done;
    Extent from;
  };

  Result<> go_on(Copy& copy) {
    constexpr std::uint64_t kPiece = 4 << 20;
    if (copy.from.fd < 0) {
      copy.from = TRY(extent_of(copy.descriptor));
      if (copy.from.size != copy.descriptor.size)
        return make_error(
            Code::kDataLoss, "layer_size_mismatch",
            format("read layer '{}' of '{}': it has {} bytes, not {}", copy.descriptor.digest,
                   files_.name(), copy.from.size, copy.descriptor.size));
    }
    auto from = static_cast<off64_t>(copy.from.offset + copy.offset);
    auto to = static_cast<off64_t>(copy.offset);
    const std::uint64_t size = std::min(kPiece, copy.descriptor.size - copy.offset);
    ssize_t n = ::copy_file_range(copy.from.fd, &from, copy.fd, &to, size, 0);
    if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)) {
      if (::lseek(copy.fd, to, SEEK_SET) < 0)
        return sys_error("write layer", copy.descriptor.digest);
      n = ::sendfile(copy.fd, copy.from.fd, &from, size);
    }
    if (n < 0) return sys_error("copy layer", copy.descriptor.digest);
    if (n == 0 && size > 0)
      return make_error(
          Code::kDataLoss, "image_incomplete",
          format("copy layer '{}': the file has become shorter", copy.descriptor.digest));
    copy.offset += static_cast<std::uint64_t>(n);
    return {};
  }

  Files files_;
  std::deque<Copy> copies_;
};

class LayoutOrigin final : public LocalOrigin {
 public:
  LayoutOrigin(Files files, const image::PullRequest& request)
      : LocalOrigin(std::move(files)), request_(request) {}

  Result<std::vector<WantedImage>> wanted() override {
    if (Result<std::string> marker = files().read("oci-layout"); !marker)
      return make_error(
          Code::kInvalidArgument, "archive_invalid",
          format("read image '{}': it is no OCI layout ('oci-layout' is missing)", files().name()),
          "'skopeo copy' makes one; 'dir:' is for root file systems");
    const auto parsed = TRY(spec::parse_manifest(TRY(files().read("index.json")),
                                                 "application/vnd.oci.image.index.v1+json"));
    const auto* index = std::get_if<spec::IndexDoc>(&parsed);
    if (index == nullptr)
      return make_error(Code::kInvalidArgument, "archive_invalid",
                        format("read image '{}': its index.json is no index", files().name()));
    std::vector<WantedImage> images;
    for (const spec::Descriptor& entry : TRY(chosen(*index)))
      images.push_back({TRY(document(entry)), TRY(names_of(*index, entry))});
    return images;
  }

  Result<Document> document(const spec::Descriptor& descriptor) override {
    Document found{TRY(files().read(blob_path(descriptor.digest))), descriptor.media_type};
    if (sha256_hex(found.text) == spec::hex_of(descriptor.digest)) return found;
    return make_error(Code::kDataLoss, "manifest_digest_mismatch",
                      format("read manifest '{}' of '{}': its digest is another", descriptor.digest,
                             files().name()));
  }
  Result<std::string> small_blob(const spec::Descriptor& descriptor) override {
    return files().read(blob_path(descriptor.digest));
  }

 private:
  /// One entry for each image that was asked for: an image with several names has several in the
  /// index.
  Result<std::vector<spec::Descriptor>> chosen(const spec::IndexDoc& index) const {
    std::vector<spec::Descriptor> found;
    std::string there;
    for (const spec::Descriptor& entry : index.manifests) {
      there +=
          (there.empty() ? "" : ", ") + (entry.ref_name.empty() ? entry.digest : entry.ref_name);
      const bool named = request_.tag.empty() || is_name(entry, request_.tag);
      if (named &&
          std::ranges::none_of(found, [&](const auto& f) { return f.digest == entry.digest; }))
        found.push_back(entry);
    }
    if (found.empty())
      return make_error(
          Code::kNotFound, "image_not_found",
          format("find '{}' in '{}': there is no such image", request_.tag, request_.reference),
          there.empty() ? "it holds no image" : format("it holds {}", there));
    // Entries of one name for several platforms are an index that nobody wrote.
    const bool platforms = std::ranges::all_of(
        found, [&](const auto& f) { return f.platform && f.ref_name == found.front().ref_name; });
    if (found.size() > 1 && platforms && !request_.all_images) {
      const spec::Platform wanted{request_.os, request_.architecture, request_.variant};
      return std::vector{TRY(spec::choose_platform(index_of(found), wanted))};
    }
    if (found.size() > 1 && !request_.all_images)
      return make_error(Code::kInvalidArgument, "image_ambiguous",
                        format("read image '{}': it holds several images", request_.reference),
                        format("name one of {} after a colon", there));
    return found;
  }
  static spec::IndexDoc index_of(const std::vector<spec::Descriptor>& entries) {
    return {"application/vnd.oci.image.index.v1+json", entries};
  }
  static bool is_name(const spec::Descriptor& entry, const std::string& wanted) {
    if (entry.ref_name == wanted || entry.digest == wanted) return true;
    const Result<std::string> a = canonical_name(entry.ref_name), b = canonical_name(wanted);
    return a && b && *a == *b && entry.ref_name.find_first_of("/:") != std::string::npos;
  }
  /// A bare tag is no name: nobody could tell of what.
  static Result<std::vector<std::string>> names_of(const spec::IndexDoc& index,
                                                   const spec::Descriptor& image) {
    std::vector<std::string> names;
    for (const spec::Descriptor& entry : index.manifests)
      if (entry.digest == image.digest && entry.ref_name.find_first_of("/:") != std::string::npos)
        names.push_back(TRY(canonical_name(entry.ref_name)));
    return names;
  }

  const image::PullRequest& request_;
};

class DockerOrigin final : public LocalOrigin {
 public:
  DockerOrigin(Files files, const image::PullRequest& request)
      : LocalOrigin(std::move(files)), request_(request) {}

  Result<std::vector<WantedImage>> wanted() override {
    Result<std::string> text = files().read("manifest.json");
    if (!text)
      return make_error(Code::kInvalidArgument, "archive_invalid",
                        format("read image '{}': it is no docker archive: {}", files().name(),
                               text.error().message));
    const std::vector<spec::DockerArchiveEntry> entries = TRY(spec::parse_docker_archive(*text));
    std::vector<WantedImage> images;
    for (const spec::DockerArchiveEntry& entry : entries) {
      std::vector<std::string> names;
      for (const std::string& tag : entry.repo_tags) names.push_back(TRY(canonical_name(tag)));
      if (!request_.tag.empty() &&
          std::ranges::count(names, TRY(canonical_name(request_.tag))) == 0)
        continue;
      images.push_back({TRY(manifest_of(entry)), std::move(names)});
    }
    if (images.empty())
      return make_error(
          Code::kNotFound, "image_not_found",
          format("find '{}' in '{}': there is no such image", request_.tag, request_.reference));
    if (images.size() > 1 && !request_.all_images)
      return make_error(Code::kInvalidArgument, "image_ambiguous",
                        format("read image '{}': it holds several images", request_.reference),
                        "name one of them after a colon");
    return images;
  }

  Result<Document> document(const spec::Descriptor& descriptor) override {
    return make_error(Code::kNotFound, "archive_invalid",
                      format("find manifest '{}': docker archives hold none", descriptor.digest));
  }
  Result<std::string> small_blob(const spec::Descriptor& descriptor) override {
    return read_extent(TRY(extent_of(descriptor)), image::kMaxDocument, descriptor.digest);
  }

 private:
  Result<Extent> extent_of(const spec::Descriptor& descriptor) override {
    const auto found = blobs_.find(descriptor.digest);
    if (found != blobs_.end()) return found->second;
    return make_error(
        Code::kNotFound, "image_incomplete",
        format("read image '{}': it has no layer '{}'", files().name(), descriptor.digest));
  }

  /// The archive names files, not digests: a layer that is not compressed has that of its diff_id,
  /// which the unpacker proves; of others it is computed here.
  Result<Document> manifest_of(const spec::DockerArchiveEntry& entry) {
    const std::string text = TRY(files().read(entry.config));
    const spec::ConfigDoc config = TRY(spec::parse_config(text));
    if (config.diff_ids.size() != entry.layers.size())
      return make_error(Code::kInvalidArgument, "archive_invalid",
                        format("read image '{}': it has {} layers, its configuration names {}",
                               files().name(), entry.layers.size(), config.diff_ids.size()));
    spec::Descriptor about;
    about.media_type = "application/vnd.oci.image.config.v1+json";
    about.digest = "sha256:" + sha256_hex(text);
    about.size = text.size();
    blobs_[about.digest] = TRY(files().find(entry.config));
    std::vector<spec::Descriptor> layers;
    for (std::size_t i = 0; i < entry.layers.size(); ++i)
      layers.push_back(TRY(layer(entry.layers[i], config.diff_ids[i])));
    return Document{spec::make_manifest(about, layers),
                    "application/vnd.oci.image.manifest.v1+json"};
  }

  Result<spec::Descriptor> layer(const std::string& path, const std::string& diff_id) {
    const Extent extent = TRY(files().find(path));
    Extent head = extent;
    head.size = std::min<std::uint64_t>(extent.size, 4);
    const std::string magic = TRY(read_extent(head, 4, path));
    spec::Descriptor layer;
    layer.media_type = "application/vnd.oci.image.layer.v1.tar";
    layer.size = extent.size;
    layer.digest = diff_id;
    const bool gzip = magic.starts_with("\x1f\x8b"), zstd = magic.starts_with("\x28\xb5\x2f\xfd");
    if (gzip) layer.media_type += "+gzip";
    if (zstd) layer.media_type += "+zstd";
    if (gzip || zstd) layer.digest = TRY(digest_of(extent, path));
    blobs_[layer.digest] = extent;
    return layer;
  }
  static Result<std::string> digest_of(const Extent& extent, const std::string& path) {
    constexpr std::uint64_t kPiece = 1 << 20;
    caisson::Sha256 hash;
    for (std::uint64_t at = 0; at < extent.size; at += kPiece) {
      const Extent piece{extent.fd, extent.offset + at, std::min(kPiece, extent.size - at)};
      hash.update(TRY(read_extent(piece, kPiece, path)));
    }
    return "sha256:" + hash.hex();
  }

  const image::PullRequest& request_;
  std::map<std::string, Extent> blobs_;
};

}  // namespace

Result<std::unique_ptr<Origin>> open_local(const image::PullRequest& request, Fd input) {
  if (request.kind == image::SourceKind::kDockerArchive)
    return std::unique_ptr<Origin>(std::make_unique<DockerOrigin>(
        TRY(Files::in_archive(std::move(input), request.reference)), request));
  const bool directory = request.kind == image::SourceKind::kOciDirectory;
  return std::unique_ptr<Origin>(std::make_unique<LayoutOrigin>(
      TRY(directory ? Files::in_directory(std::move(input), request.reference)
                    : Files::in_archive(std::move(input), request.reference)),
      request));
}

}  // namespace caisson::fetch
