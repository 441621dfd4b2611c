// Origin: where the source finds documents and blobs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fetch/source.h"
#include "spec/oci.h"

namespace caisson::fetch {

struct Document {
  std::string text;
  std::string media_type;  ///< as it was said to be; may be empty
};

/// An image that was asked for, before it is known whether this is an index or a manifest.
struct WantedImage {
  Document top;
  std::vector<std::string> names;  ///< canonical
};

class Origin {
 public:
  virtual ~Origin() = default;

  virtual Result<std::vector<WantedImage>> wanted() = 0;
  /// A manifest or index that another one names. Not proved.
  virtual Result<Document> document(const spec::Descriptor& descriptor) = 0;
  /// A blob of at most kMaxDocument bytes. Not proved.
  virtual Result<std::string> small_blob(const spec::Descriptor& descriptor) = 0;

  using Progress = std::function<void(std::uint64_t have)>;
  using Done = std::function<void(Result<>)>;
  /// Begins to write the blob to `fd` from `offset` on, never more than its size. `progress` is
  /// told how much is there, `done` is called once; both by `step`.
  virtual void download(const spec::Descriptor& descriptor, int fd, std::uint64_t offset,
                        Progress progress, Done done) = 0;
  /// Goes on with the downloads. Without anything to do it waits until one of `others` polls
  /// readable or the time is over.
  virtual Result<> step(int timeout_ms, std::span<const int> others) = 0;
};

/// `retry`: told what went wrong and what is done about it.
Result<std::unique_ptr<Origin>> open_registry(const image::PullRequest& request,
                                              std::function<void(std::string)> retry);
/// A directory or an archive, open for reading.
Result<std::unique_ptr<Origin>> open_local(const image::PullRequest& request, Fd input);

}  // namespace caisson::fetch
