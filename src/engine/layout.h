// Layout: a box as the files of an OCI layout (image-spec, image-layout.md), for commit and export.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "engine/box_impl.h"
#include "engine/fetch.h"
#include "files/tar_writer.h"
#include "spec/oci.h"

namespace caisson::engine {

struct LayoutOptions {
  std::string comment;
  bool compress = false;  ///< the new layer with zstd
  bool with_box = false;  ///< the box's spec too, for an import
};

/// What the box shows at one moment, kept in a directory of its own until this goes.
class Layout final {
 public:
  /// `no_image` without `with_box` for a box of `host:`.
  static Result<Layout> make(Box box, const Box::Impl& impl, const LayoutOptions& options);

  /// Makes it a directory of files, what is a file already by a link. Returns its path.
  Result<std::string> place() const;
  /// All of it as a tar archive.
  Result<> write(const files::Sink& sink) const;

 private:
  struct File {
    std::string path;     ///< of a file, if it is one
    std::string content;  ///< else
    std::uint64_t size = 0;
  };
  Layout(const Runtime::Impl& runtime, Staging staging)
      : runtime_(&runtime), staging_(std::move(staging)) {}
  Result<> add_base(const store::BoxRow& row);
  Result<> add_layer(const Box::Impl& box, const store::BoxRow& row, const BoxSpec& spec,
                     const std::vector<store::BoxLayer>& layers, bool compress);
  Result<> add_documents(const store::BoxRow& row, const BoxSpec& spec,
                         const LayoutOptions& options);
  std::string add_blob(std::string content);
  std::string path() const;

  const Runtime::Impl* runtime_;
  Staging staging_;
  std::map<std::string, File> files_;  ///< by name in the layout
  std::string config_;                 ///< the base's
  spec::Platform platform_;
  std::vector<spec::Descriptor> layers_;
  std::string diff_id_;
};

/// The names by which an archive refers to a box.
inline constexpr const char* kBoxAnnotation = "run.caisson.box";
inline constexpr int kBoxVersion = 1;

}  // namespace caisson::engine
