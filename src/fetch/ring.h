// Ring: a few buffers that go round between one thread that fills and one that empties them.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"

namespace caisson::fetch {

class Ring final {
 public:
  Ring(std::size_t buffers, std::size_t size);

  // The filling thread.
  /// A free buffer; empty when the other thread has given up.
  std::span<unsigned char> acquire();
  /// Hands the first `size` bytes of the acquired buffer on.
  void commit(std::size_t size);
  /// Nothing more will come, because of `error` or because it is the end.
  void finish(std::optional<Error> error = {});

  bool given_up();

  // The emptying thread.
  /// The next bytes, valid until the next call; empty at the end, or the filler's error.
  Result<std::span<const unsigned char>> next();
  /// The filler need not go on.
  void give_up();

 private:
  struct Buffer {
    std::vector<unsigned char> bytes;
    std::size_t used = 0;
  };
  std::mutex mutex_;
  std::condition_variable filled_, emptied_;
  std::vector<Buffer> buffers_;
  std::size_t first_ = 0, count_ = 0;  ///< filled ones, with the one being looked at
  bool held_ = false;                  ///< the first is being looked at
  bool finished_ = false, given_up_ = false;
  std::optional<Error> error_;
};

}  // namespace caisson::fetch
