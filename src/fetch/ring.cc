#include "fetch/ring.h"

namespace caisson::fetch {

Ring::Ring(std::size_t buffers, std::size_t size) : buffers_(buffers) {
  for (Buffer& buffer : buffers_) buffer.bytes.resize(size);
}

std::span<unsigned char> Ring::acquire() {
  std::unique_lock lock(mutex_);
  emptied_.wait(lock, [&] { return given_up_ || count_ < buffers_.size(); });
  if (given_up_) return {};
  return buffers_[(first_ + count_) % buffers_.size()].bytes;
}

void Ring::commit(std::size_t size) {
  const std::scoped_lock lock(mutex_);
  buffers_[(first_ + count_) % buffers_.size()].used = size;
  ++count_;
  filled_.notify_one();
}

void Ring::finish(std::optional<Error> error) {
  const std::scoped_lock lock(mutex_);
  finished_ = true;
  error_ = std::move(error);
  filled_.notify_one();
}

Result<std::span<const unsigned char>> Ring::next() {
  std::unique_lock lock(mutex_);
  if (held_) {
    held_ = false;
    first_ = (first_ + 1) % buffers_.size();
    --count_;
    emptied_.notify_one();
  }
  filled_.wait(lock, [&] { return count_ > 0 || finished_; });
  if (count_ > 0) {
    held_ = true;
    const Buffer& buffer = buffers_[first_];
    return std::span<const unsigned char>(buffer.bytes.data(), buffer.used);
  }
  if (error_) return *error_;
  return std::span<const unsigned char>();
}

bool Ring::given_up() {
  const std::scoped_lock lock(mutex_);
  return given_up_;
}

void Ring::give_up() {
  const std::scoped_lock lock(mutex_);
  given_up_ = true;
  emptied_.notify_one();
}

}  // namespace caisson::fetch
