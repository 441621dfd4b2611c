// Stream: frames over a blocking stream socket, in the process that serves files.
#pragma once

#include <string_view>

#include "base/error.h"
#include "wire/frame.h"

namespace caisson::files {

class Stream final {
 public:
  /// `socket` is borrowed.
  explicit Stream(int socket) : socket_(socket) {}

  int fd() const { return socket_; }
  Result<> send(const wire::Frame& frame) const;
  /// As data frames of the size that is allowed.
  Result<> send_data(std::string_view bytes);
  /// As one frame: for documents of less than a frame's most.
  Result<> send_document(std::string_view bytes) const;
  /// The next frame. An error when the client is gone.
  Result<wire::Frame> receive();

 private:
  Result<> send_bytes(std::string_view bytes) const;

  int socket_;
  wire::FrameReader reader_;
  std::uint64_t offset_ = 0;
};

}  // namespace caisson::files
