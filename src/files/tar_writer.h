// TarWriter: a tar archive as it is made: ustar headers (POSIX.1-1988), and extended ones
// (POSIX.1-2001, "pax") for what does not fit into them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "files/tar_member.h"

namespace caisson::files {

/// Takes bytes in order.
using Sink = std::function<Result<>(std::string_view)>;

/// Everything that can be read from `fd`, to `sink`; `name` is for messages.
Result<> pass(int fd, std::string_view name, const Sink& sink);

class TarWriter final {
 public:
  explicit TarWriter(Sink sink) : sink_(std::move(sink)) {}

  /// The member's header. A file's content follows by `content`, exactly `size` bytes of it. The
  /// same members make the same bytes.
  Result<> add(const TarMember& member);
  Result<> content(std::string_view bytes);
  /// A member with all of its content.
  Result<> add(const TarMember& member, std::string_view bytes);
  /// A member whose content is the first `size` bytes of the regular file `fd`. One that turns out
  /// shorter is filled up with zeros: it is being changed. Returns how many bytes it had.
  Result<std::uint64_t> add_file(const TarMember& member, int fd,
                                 const std::function<void(std::string_view)>& seen = {});
  /// The end of the archive.
  Result<> finish();

 private:
  Result<> header(const TarMember& member, std::string_view name, std::string_view link, char type,
                  std::uint64_t size);
  Result<> end_content();

  Sink sink_;
  std::uint64_t left_ = 0;     ///< of the member's content
  std::uint64_t padding_ = 0;  ///< after it
};

}  // namespace caisson::files
