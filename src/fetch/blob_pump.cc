#include "fetch/blob_pump.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>

#include "base/clock.h"

namespace caisson::fetch {
namespace {
constexpr std::size_t kReadSize = 256 << 10;
constexpr int kLookMs = 100;
constexpr std::int64_t kReportNs = 50'000'000;
}  // namespace

BlobPump::BlobPump(const UnpackJob& job, Progress progress, Sha256 hash,
                   std::unique_ptr<Decompressor> decompressor)
    : job_(&job),
      progress_(std::move(progress)),
      hash_(std::move(hash)),
      decompressor_(std::move(decompressor)),
      input_(kReadSize) {}

Result<BlobPump> BlobPump::create(const UnpackJob& job, Progress progress) {
  return BlobPump(job, std::move(progress), TRY(Sha256::create()),
                  TRY(make_decompressor(job.compression)));
}

void BlobPump::run(Ring& ring) noexcept {
  try {
    Result<> result = pump(ring);
    if (result)
      ring.finish();
    else
      ring.finish(std::move(result).error());
  } catch (const std::exception& e) {
    ring.finish(
        make_error(Code::kResourceExhausted, "out_of_memory", format("decompress: {}", e.what())));
  }
}

Result<> BlobPump::pump(Ring& ring) {
  ring_ = &ring;
  Result<> wanted = decompress(ring);
  // That the content is not what was asked for is told before what is wrong with such content.
  if (!wanted && wanted.error().reason != "layer_invalid") return std::move(wanted).error();
  if (ring.given_up()) return {};  // the other half has failed, and says so
  while (!TRY(read_some()).empty()) {
  }
  TRY(check_digest());
  if (!wanted) return with_context(std::move(wanted).error(), format("layer {}", job_->digest));
  return {};
}

Result<> BlobPump::decompress(Ring& ring) {
  std::span<unsigned char> out = ring.acquire();
  std::size_t filled = 0;
  for (bool ended = false; !ended;) {
    std::span<const unsigned char> in = TRY(read_some());
    ended = in.empty();
    for (;;) {
      if (out.empty()) return {};
      const Decompressor::Step step = TRY(decompressor_->step(in, out.subspan(filled)));
      in = in.subspan(step.consumed);
      filled += step.produced;
      TRY(count_output(step.produced));
      if (filled < out.size()) break;
      ring.commit(std::exchange(filled, 0));
      out = ring.acquire();
    }
  }
  if (filled > 0) ring.commit(filled);
  return decompressor_->finish();
}

/// The next piece of the blob, hashed; empty at its end.
Result<std::span<const unsigned char>> BlobPump::read_some() {
  report();
  if (read_ == job_->size) return std::span<const unsigned char>();
  if (!job_->feed) available_ = job_->size;
  while (available_ <= read_) {
    if (ring_->given_up()) return std::span<const unsigned char>();
    TRY(wait_for_more());
  }
  const std::uint64_t wanted =
      std::min<std::uint64_t>({input_.size(), available_ - read_, job_->size - read_});
  const ssize_t n = ::pread(job_->blob.get(), input_.data(), wanted, static_cast<off_t>(read_));
  if (n < 0) return sys_error("read blob", job_->digest);
  if (n == 0)
    return make_error(
        Code::kDataLoss, "layer_size_mismatch",
        format("layer {} has {} bytes instead of {}", job_->digest, read_, job_->size));
  hash_.update(input_.data(), static_cast<std::size_t>(n));
  read_ += static_cast<std::uint64_t>(n);
  return std::span<const unsigned char>(input_.data(), static_cast<std::size_t>(n));
}

Result<> BlobPump::wait_for_more() {
  // The other half may give up meanwhile.
  pollfd feed{job_->feed.get(), POLLIN, 0};
  if (::poll(&feed, 1, kLookMs) <= 0) return {};
  std::array<std::uint64_t, 512> totals;
  const ssize_t n = ::read(job_->feed.get(), totals.data(), sizeof totals);
  if (n < 0 && errno == EINTR) return {};
  if (n < 0) return sys_error("wait for blob", job_->digest);
  if (n == 0)
    return make_error(Code::kAborted, "download_incomplete",
                      format("the download of layer {} ended after {} of {} bytes", job_->digest,
                             read_, job_->size));
  const std::size_t count = static_cast<std::size_t>(n) / sizeof totals[0];
  for (std::size_t i = 0; i < count; ++i) available_ = std::max(available_, totals[i]);
  return {};
}

Result<> BlobPump::count_output(std::size_t size) {
  produced_ += size;
  const LayerCaps& caps = job_->caps;
  if (produced_ > caps.bytes)
    return make_error(Code::kResourceExhausted, "layer_bomb",
                      format("layer {} unpacks to more than {} bytes", job_->digest, caps.bytes));
  if (produced_ > caps.ratio_floor && produced_ / caps.ratio > read_)
    return make_error(
        Code::kResourceExhausted, "layer_bomb",
        format("layer {} unpacks to more than {} times its size", job_->digest, caps.ratio));
  return {};
}

Result<> BlobPump::check_digest() {
  struct stat st{};
  if (::fstat(job_->blob.get(), &st) < 0) return sys_error("fstat", job_->digest);
  if (static_cast<std::uint64_t>(st.st_size) != job_->size)
    return make_error(
        Code::kDataLoss, "layer_size_mismatch",
        format("layer {} has {} bytes instead of {}", job_->digest, st.st_size, job_->size));
  const std::string found = TRY(hash_.finish());
  if (found != job_->digest)
    return make_error(Code::kDataLoss, "layer_digest_mismatch",
                      format("layer {}: the content has digest {}", job_->digest, found),
                      "the registry or archive holds damaged data");
  return {};
}

void BlobPump::report() {
  if (!progress_) return;
  const std::int64_t now = boot_ns();
  if (read_ != job_->size && now - reported_ns_ < kReportNs) return;
  reported_ns_ = now;
  progress_(read_);
}

}  // namespace caisson::fetch
