#include "files/tar_writer.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/fd.h"

namespace caisson::files {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kNameBytes = 100;

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

/// "LENGTH KEY=VALUE\n", where the length counts itself.
std::string record(std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length)
    length = std::to_string(length).size() + rest;
  return format("{} {}={}\n", length, key, value);
}

/// What an ordinary header has no room for.
std::string extended(const TarMember& member) {
  std::string records;
  if (member.name.size() > kNameBytes) records += record("path", member.name);
  if (member.link.size() > kNameBytes) records += record("linkpath", member.link);
  if (member.mtime_ns != 0 || member.mtime < 0) {
    // Digits of a negative time count down from the second below.
    const bool before = member.mtime < 0 && member.mtime_ns != 0;
    const std::int64_t seconds = before ? member.mtime + 1 : member.mtime;
    const std::int64_t ns = before ? 1'000'000'000 - member.mtime_ns : member.mtime_ns;
    records +=
        record("mtime", format("{}{}.{:09}", before && seconds == 0 ? "-" : "", seconds, ns));
  }
  for (const auto& [name, value] : member.xattrs) records += record("SCHILY.xattr." + name, value);
  return records;
}

}  // namespace

Result<> pass(int fd, std::string_view name, const Sink& sink) {
  std::vector<char> buffer(256 << 10);
  for (;;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("read", name);
    if (n == 0) return {};
    TRY(sink({buffer.data(), static_cast<std::size_t>(n)}));
  }
}

Result<> TarWriter::header(const TarMember& member, std::string_view name, std::string_view link,
                           char type, std::uint64_t size) {
  Header header;
  header.text(0, name.substr(0, kNameBytes));
  header.number(100, 8, member.mode);
  header.number(108, 8, member.uid);
  header.number(116, 8, member.gid);
  header.number(124, 12, size);
  header.number(136, 12, static_cast<std::uint64_t>(std::max<std::int64_t>(member.mtime, 0)));
  header.text(156, {&type, 1});
  header.text(157, link.substr(0, kNameBytes));
  header.text(257, "ustar");
  header.text(263, "00");
  if (member.type == TarType::kCharDevice || member.type == TarType::kBlockDevice) {
    header.number(329, 8, member.major);
    header.number(337, 8, member.minor);
  }
  header.checksum();
  return sink_({header.bytes.data(), header.bytes.size()});
}

Result<> TarWriter::end_content() {
  if (left_ != 0)
    return make_error(Code::kInternal, "archive_invalid",
                      format("write archive: {} bytes of a member are missing", left_));
  if (padding_ == 0) return {};
  return sink_(std::string(std::exchange(padding_, 0), '\0'));
}

Result<> TarWriter::add(const TarMember& member) {
  TRY(end_content());
  if (const std::string records = extended(member); !records.empty()) {
    TarMember about = member;
    about.mode = 0644;
    TRY(header(about, "PaxHeaders/" + member.name.substr(0, 80), "", 'x', records.size()));
    TRY(sink_(records));
    padding_ = (kBlock - records.size() % kBlock) % kBlock;
    TRY(end_content());
  }
  const std::uint64_t size = member.type == TarType::kFile ? member.size : 0;
  TRY(header(member, member.name, member.link, static_cast<char>(member.type), size));
  left_ = size;
  padding_ = (kBlock - size % kBlock) % kBlock;
  return {};
}

Result<> TarWriter::content(std::string_view bytes) {
  if (bytes.size() > left_)
    return make_error(Code::kInternal, "archive_invalid",
                      "write archive: a member has more bytes than it said");
  left_ -= bytes.size();
  return sink_(bytes);
}

Result<> TarWriter::add(const TarMember& member, std::string_view bytes) {
  TarMember sized = member;
  sized.size = bytes.size();
  TRY(add(sized));
  return content(bytes);
}

Result<std::uint64_t> TarWriter::add_file(const TarMember& member, int fd,
                                          const std::function<void(std::string_view)>& seen) {
  TRY(add(member));
  std::vector<char> buffer(256 << 10);
  std::uint64_t offset = 0;
  while (offset < member.size) {
    const ssize_t got =
        ::pread(fd, buffer.data(), std::min<std::uint64_t>(member.size - offset, buffer.size()),
                static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return sys_error("read for archive", member.name);
    if (got == 0) break;
    const std::string_view piece(buffer.data(), static_cast<std::size_t>(got));
    if (seen) seen(piece);
    TRY(content(piece));
    offset += piece.size();
  }
  std::ranges::fill(buffer, '\0');
  while (left_ > 0) TRY(content({buffer.data(), std::min<std::uint64_t>(left_, buffer.size())}));
  return offset;
}

Result<> TarWriter::finish() {
  TRY(end_content());
  return sink_(std::string(2 * kBlock, '\0'));
}

}  // namespace caisson::files
