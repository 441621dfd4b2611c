// BlobPump: the first half of the pipeline, a thread that reads a blob as it comes, hashes and
// decompresses it into a ring.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "fetch/decompress.h"
#include "fetch/ring.h"
#include "fetch/sha256.h"
#include "fetch/unpacker.h"

namespace caisson::fetch {

class BlobPump final {
 public:
  using Progress = std::function<void(std::uint64_t consumed)>;
  /// `job` outlives the pump. `progress` is called in the pump's thread, at most 20 times a second.
  static Result<BlobPump> create(const UnpackJob& job, Progress progress);

  /// Runs to the end of the blob; every failure ends in the ring. Never throws.
  void run(Ring& ring) noexcept;

 private:
  BlobPump(const UnpackJob& job, Progress progress, Sha256 hash,
           std::unique_ptr<Decompressor> decompressor);
  Result<> pump(Ring& ring);
  Result<> decompress(Ring& ring);
  Result<std::span<const unsigned char>> read_some();
  Result<> wait_for_more();
  Result<> count_output(std::size_t size);
  Result<> check_digest();
  void report();

  const UnpackJob* job_;
  Ring* ring_ = nullptr;
  Progress progress_;
  Sha256 hash_;
  std::unique_ptr<Decompressor> decompressor_;
  std::vector<unsigned char> input_;
  std::uint64_t available_ = 0, read_ = 0, produced_ = 0;
  std::int64_t reported_ns_ = 0;
};

}  // namespace caisson::fetch
