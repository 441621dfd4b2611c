#include "engine/tar_writer.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/fd.h"
#include "base/sha256.h"

namespace caisson::engine {
namespace {

constexpr std::size_t kBlock = 512;

/// The fields of a header (tar(5), "POSIX ustar archives").
struct Header {
  std::array<char, kBlock> bytes{};

  void text(std::size_t at, std::string_view value) {
    std::copy(value.begin(), value.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  /// `width` bytes: octal digits and a NUL; what is too large in base 256 with the top bit set.
  void number(std::size_t at, std::size_t width, std::uint64_t value) {
    if (value >> (3 * (width - 1)) == 0) {
      for (std::size_t i = width - 1; i-- > 0; value >>= 3)
        bytes[at + i] = static_cast<char>('0' + (value & 7));
      return;
    }
    for (std::size_t i = width; i-- > 0; value >>= 8)
      bytes[at + i] = static_cast<char>(value & 0xff);
    bytes[at] = static_cast<char>(0x80);
  }
  void checksum() {
    text(148, "        ");
    unsigned sum = 0;
    for (const char c : bytes) sum += static_cast<unsigned char>(c);
    number(148, 7, sum);
    bytes[154] = '\0';
    bytes[155] = ' ';
  }
};

}  // namespace

Result<> TarWriter::write(std::string_view bytes) { return write_all(fd_, bytes, name_); }

Result<> TarWriter::header(const std::string& member, std::uint64_t size, bool directory) {
  if (member.size() > 100)
    return make_error(Code::kInvalidArgument, "name_invalid",
                      format("write archive '{}': member '{}' has a long name", name_, member));
  Header header;
  header.text(0, member);
  header.number(100, 8, directory ? 0755 : 0644);
  header.number(108, 8, 0);
  header.number(116, 8, 0);
  header.number(124, 12, size);
  header.number(136, 12, 0);
  header.text(156, directory ? "5" : "0");
  header.text(257, "ustar");
  header.text(263, "00");
  header.checksum();
  return write({header.bytes.data(), header.bytes.size()});
}

Result<> TarWriter::pad(std::uint64_t size) {
  const std::string zeros((kBlock - size % kBlock) % kBlock, '\0');
  return write(zeros);
}

Result<> TarWriter::add_directory(const std::string& member) { return header(member, 0, true); }

Result<> TarWriter::add(const std::string& member, std::string_view content) {
  TRY(header(member, content.size()));
  TRY(write(content));
  return pad(content.size());
}

Result<std::string> TarWriter::add_file(const std::string& member, int file, std::uint64_t size) {
  TRY(header(member, size));
  Sha256 hash;
  std::vector<char> buffer(256 << 10);
  for (std::uint64_t offset = 0; offset < size;) {
    const ssize_t got =
        ::pread(file, buffer.data(), std::min<std::uint64_t>(size - offset, buffer.size()),
                static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return sys_error("read for archive", member);
    if (got == 0)
      return make_error(Code::kDataLoss, "blob_missing",
                        format("write archive '{}': '{}' is too short", name_, member));
    const std::string_view piece(buffer.data(), static_cast<std::size_t>(got));
    hash.update(piece);
    TRY(write(piece));
    offset += piece.size();
  }
  TRY(pad(size));
  return hash.hex();
}

Result<> TarWriter::finish() { return write(std::string(2 * kBlock, '\0')); }

}  // namespace caisson::engine
