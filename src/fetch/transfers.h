// Transfers: brings the layers of one image, several at a time, and has them unpacked as they come.
#pragma once

#include <deque>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "fetch/origin.h"
#include "fetch/resolve.h"
#include "fetch/store.h"

namespace caisson::fetch {

class Transfers final {
 public:
  struct Supervision {
    int socket = -1;  ///< its answers arrive here
    std::function<Result<>(const image::UnpackRequest&, const std::vector<int>& fds)> unpack;
    std::function<void(const PullEvent&)> tell;
  };
  Transfers(Origin& origin, const BlobStore& store, Supervision supervision, unsigned parallel);

  /// Until every layer of `image` is there and unpacked. The first failure ends it.
  Result<> run(const ResolvedImage& image);

 private:
  enum class Step { kWaiting, kLocked, kDownloading, kUnpacking, kDone };
  struct Transfer {
    std::size_t index = 0;
    const ResolvedLayer* layer = nullptr;
    Step step = Step::kWaiting;
    bool unpack = true;
    bool resumed = false;             ///< began with bytes of an earlier pull
    bool distrust_published = false;  ///< the published blob turned out to be damaged
    bool downloading = false;
    std::optional<Error> failed;  ///< of the unpacker, while the download still runs
    Fd file, feed;
    std::uint64_t fed = 0;
    std::int64_t told_ns = 0;
  };

  Result<> start(Transfer& transfer);
  Result<> start_partial(Transfer& transfer);
  Result<> ask_unpacker(Transfer& transfer, const Fd& blob, const Fd& feed);
  void renew(Transfer& transfer);
  Result<> download(Transfer& transfer, std::uint64_t offset);
  void downloaded(Transfer& transfer, Result<> result);
  void feed(Transfer& transfer, std::uint64_t have);
  Result<> hear();
  Result<> heard(Transfer& transfer, const image::FetchMessage& message);
  Result<> try_again(Transfer& transfer, const Error& error);
  void tell(Transfer& transfer, PullEvent::State state, std::uint64_t current);
  bool busy_with(const Transfer& transfer) const;

  Origin& origin_;
  const BlobStore& store_;
  Supervision supervision_;
  unsigned parallel_;
  std::deque<Transfer> transfers_;
  std::set<std::string> unpacked_;  ///< chain ids of images before
  std::optional<Error> fault_;
};

}  // namespace caisson::fetch
