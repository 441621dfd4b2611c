#include "cli/tar_sniff.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "cli/io.h"

namespace caisson::cli {
namespace {

// POSIX ustar (pax(1), "ustar Interchange Format"): blocks of 512 bytes.
constexpr std::size_t kBlock = 512;
constexpr std::size_t kNameBytes = 100;
constexpr std::size_t kSizeAt = 124;
constexpr std::size_t kSizeBytes = 12;
constexpr std::size_t kSumAt = 148;
constexpr std::size_t kSumBytes = 8;
constexpr int kMostMembers = 100'000;

using Header = std::array<unsigned char, kBlock>;

std::string_view field(const Header& header, std::size_t at, std::size_t bytes) {
  const char* text = reinterpret_cast<const char*>(header.data()) + at;
  return {text, ::strnlen(text, bytes)};
}

std::optional<std::uint64_t> octal(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  std::uint64_t value = 0;
  std::size_t digits = 0;
  for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '7'; ++digits) {
    value = value * 8 + static_cast<std::uint64_t>(text[digits] - '0');
  }
  if (digits == 0) return std::nullopt;
  return value;
}

/// GNU's base 256 for sizes of 8 GiB and more: the highest bit set, then a big-endian number.
std::optional<std::uint64_t> size_of(const Header& header) {
  if (header[kSizeAt] != 0x80) return octal(field(header, kSizeAt, kSizeBytes));
  std::uint64_t value = 0;
  for (std::size_t i = kSizeAt + kSizeBytes - 8; i < kSizeAt + kSizeBytes; ++i) {
    value = (value << 8) | header[i];
  }
  return value;
}

bool sum_is_right(const Header& header) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    sum += i >= kSumAt && i < kSumAt + kSumBytes ? ' ' : header[i];
  }
  return octal(field(header, kSumAt, kSumBytes)) == sum;
}

bool is_end(const Header& header) { return header[0] == 0; }

Error unknown(const std::string& path, std::string cause) {
  return cli_error(Code::kInvalidArgument, "archive_unknown",
                   "look into archive '" + path + "': " + std::move(cause),
                   "oci-archive:FILE or docker-archive:FILE says what it is");
}

Result<std::size_t> read_block(int fd, const std::string& path, std::uint64_t at, Header& header) {
  std::size_t have = 0;
  while (have < kBlock) {
    const ssize_t n =
        ::pread(fd, header.data() + have, kBlock - have, static_cast<off_t>(at + have));
    if (n < 0) return cli_sys_error("read", path);
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  return have;
}

}  // namespace

Result<ArchiveKind> sniff_archive(int fd, const std::string& path) {
  struct stat status{};
  if (::fstat(fd, &status) < 0) return cli_sys_error("look at", path);
  const auto end = static_cast<std::uint64_t>(status.st_size);
  bool docker = false;
  std::uint64_t at = 0;
  for (int members = 0; members < kMostMembers && at < end; ++members) {
    Header header{};
    auto have = read_block(fd, path, at, header);
    if (!have) return std::move(have.error());
    if (*have == kBlock && is_end(header)) break;
    const auto size = size_of(header);
    if (*have < kBlock || !sum_is_right(header) || !size) {
      if (at == 0) return unknown(path, "it is no tar file");
      return unknown(path, "it is cut off or damaged at byte " + std::to_string(at));
    }
    std::string_view name = field(header, 0, kNameBytes);
    if (name.starts_with("./")) name.remove_prefix(2);
    if (name == "oci-layout") return ArchiveKind::kOci;
    docker = docker || name == "manifest.json";
    if (*size > end) break;  // what follows cannot be here
    at += kBlock + (*size + kBlock - 1) / kBlock * kBlock;
  }
  if (docker) return ArchiveKind::kDocker;
  return unknown(path, "it has neither 'oci-layout' nor 'manifest.json'");
}

}  // namespace caisson::cli
