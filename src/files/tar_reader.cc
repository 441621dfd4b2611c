#include "files/tar_reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

namespace caisson::files {

using Block = std::array<char, 512>;

namespace {

constexpr std::size_t kBlock = 512;
/// Longest extended header: names have at most PATH_MAX bytes, extended attributes 64 KiB each.
constexpr std::uint64_t kMostText = 1u << 20;
constexpr std::size_t kMostName = 4096;

Error invalid(std::string_view cause) {
  return make_error(Code::kInvalidArgument, "archive_invalid", format("read archive: {}", cause));
}

std::string_view field(const Block& block, std::size_t at, std::size_t width) {
  const std::string_view all(block.data() + at, width);
  return all.substr(0, all.find('\0'));
}

/// Octal digits with blanks around them, or base 256 when the top bit is set.
std::optional<std::uint64_t> number(const Block& block, std::size_t at, std::size_t width) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(block[at + i]); };
  std::uint64_t value = 0;
  if ((byte(0) & 0x80) != 0) {
    if (byte(0) != 0x80) return std::nullopt;  // negative, or larger than any number here
    for (std::size_t i = 1; i < width; ++i) {
      if (value >> 55 != 0) return std::nullopt;
      value = value << 8 | byte(i);
    }
    return value;
  }
  std::string_view digits = field(block, at, width);
  digits.remove_prefix(std::min(digits.find_first_not_of(' '), digits.size()));
  digits = digits.substr(0, digits.find_last_not_of(' ') + 1);
  if (digits.empty()) return 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 8);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

bool is_zero(const Block& block) {
  return std::ranges::all_of(block, [](char c) { return c == '\0'; });
}

/// Some writers summed signed bytes.
bool sums_up(const Block& block) {
  const std::optional<std::uint64_t> stated = number(block, 148, 8);
  std::uint64_t plain = 0;
  std::int64_t with_sign = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : block[i];
    plain += static_cast<unsigned char>(c);
    with_sign += static_cast<signed char>(c);
  }
  return stated && (*stated == plain || static_cast<std::int64_t>(*stated) == with_sign);
}

}  // namespace

/// What extended headers say of the member that follows.
struct TarReader::Extended {
  std::optional<std::string> name, link;
  std::optional<std::uint64_t> size, uid, gid;
  std::optional<std::pair<std::int64_t, std::int64_t>> mtime;
  std::map<std::string, std::string> xattrs;

  Result<> parse(std::string_view records) {
    while (!records.empty()) {
      std::size_t length = 0;
      const auto [end, error] =
          std::from_chars(records.data(), records.data() + records.size(), length);
      const auto digits = static_cast<std::size_t>(end - records.data());
      if (error != std::errc() || length > records.size() || length < digits + 3 ||
          records[digits] != ' ' || records[length - 1] != '\n')
        return invalid("an extended header is malformed");
      const std::string_view pair = records.substr(digits + 1, length - digits - 2);
      records.remove_prefix(length);
      const std::size_t equals = pair.find('=');
      if (equals == pair.npos) return invalid("an extended header is malformed");
      TRY(take(pair.substr(0, equals), pair.substr(equals + 1)));
    }
    return {};
  }

 private:
  static Result<std::uint64_t> integer(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      return invalid("an extended header has a number that is none");
    return value;
  }

  static Result<std::pair<std::int64_t, std::int64_t>> time(std::string_view text) {
    const bool negative = text.starts_with('-');
    const std::size_t point = std::min(text.find('.'), text.size());
    const std::string_view whole = text.substr(negative ? 1 : 0, point - (negative ? 1 : 0));
    const std::uint64_t digits = TRY(integer(whole));
    if (digits > static_cast<std::uint64_t>(INT64_MAX) / 2)
      return invalid("a time is out of range");
    auto seconds = static_cast<std::int64_t>(digits);
    std::string fraction(text.substr(std::min(point + 1, text.size())).substr(0, 9));
    fraction.resize(9, '0');
    auto ns = static_cast<std::int64_t>(TRY(integer(fraction)));
    if (negative) {
      seconds = -seconds - (ns != 0 ? 1 : 0);
      ns = ns == 0 ? 0 : 1'000'000'000 - ns;
    }
    return std::pair(seconds, ns);
  }

  Result<> take(std::string_view key, std::string_view value) {
    constexpr std::string_view kXattr = "SCHILY.xattr.";
    if (key == "path")
      name = value;
    else if (key == "linkpath")
      link = value;
    else if (key == "size")
      size = TRY(integer(value));
    else if (key == "uid")
      uid = TRY(integer(value));
    else if (key == "gid")
      gid = TRY(integer(value));
    else if (key == "mtime")
      mtime = TRY(time(value));
    else if (key.starts_with("GNU.sparse."))
      return make_error(Code::kUnimplemented, "archive_unsupported",
                        "read archive: it has a sparse file",
                        "tar without --sparse makes one that can be read");
    else if (key.starts_with(kXattr) && key.size() > kXattr.size())
      xattrs[std::string(key.substr(kXattr.size()))] = value;
    return {};
  }
};

/// False when the source ends before the first byte; in between is an error.
Result<bool> TarReader::fill(std::span<char> buffer) {
  std::size_t got = 0;
  while (got < buffer.size()) {
    const std::size_t n = TRY(source_(buffer.subspan(got)));
    if (n == 0) break;
    got += n;
  }
  if (got == 0) return false;
  if (got < buffer.size()) return invalid("it is cut off");
  return true;
}

Result<> TarReader::pass_over(std::uint64_t bytes) {
  std::array<char, 16384> buffer;
  while (bytes > 0) {
    const std::size_t now = std::min<std::uint64_t>(bytes, buffer.size());
    if (!TRY(fill({buffer.data(), now}))) return invalid("it is cut off");
    bytes -= now;
  }
  return {};
}

Result<std::string> TarReader::text(std::uint64_t size) {
  if (size > text_left_) return invalid("extended headers are too long");
  text_left_ -= size;
  std::string text(size, '\0');
  if (size > 0 && !TRY(fill({text.data(), text.size()}))) return invalid("it is cut off");
  TRY(pass_over((kBlock - size % kBlock) % kBlock));
  return text;
}

Result<std::size_t> TarReader::read(std::span<char> buffer) {
  if (left_ == 0 || buffer.empty()) return std::size_t{0};
  const std::size_t n = TRY(source_(buffer.first(std::min<std::uint64_t>(left_, buffer.size()))));
  if (n == 0) return invalid("it is cut off");
  left_ -= n;
  return n;
}

Result<> TarReader::describe(const Block& header, const Extended& extended, TarMember& member) {
  const char type = header[156];
  member = {};
  if (type == '\0' || type == '7')
    member.type = TarType::kFile;
  else if (type >= '0' && type <= '6')
    member.type = static_cast<TarType>(type);
  else
    return make_error(Code::kUnimplemented, "archive_unsupported",
                      format("read archive: it has a member of type {}", static_cast<int>(type)),
                      "tar --format=pax makes one that can be read");
  member.name = field(header, 0, 100);
  // GNU's own format has other things where ustar has the rest of a name.
  if (field(header, 257, 6) == "ustar" && header[263] == '0')
    if (const std::string_view prefix = field(header, 345, 155); !prefix.empty())
      member.name = format("{}/{}", prefix, member.name);
  member.link = field(header, 157, 100);
  if (extended.name) member.name = *extended.name;
  if (extended.link) member.link = *extended.link;
  if (member.name.size() > kMostName || member.link.size() > kMostName)
    return invalid("a name is too long");
  if (member.name.find('\0') != std::string::npos || member.link.find('\0') != std::string::npos)
    return invalid("a name has a NUL byte");
  // A directory of old archives is a file whose name ends with a slash.
  if (member.type == TarType::kFile && member.name.ends_with('/'))
    member.type = TarType::kDirectory;
  const auto small = [&](std::size_t at, std::size_t width) {
    return number(header, at, width).value_or(UINT64_MAX);
  };
  const std::uint64_t uid = extended.uid.value_or(small(108, 8));
  const std::uint64_t gid = extended.gid.value_or(small(116, 8));
  if (uid >= UINT32_MAX || gid >= UINT32_MAX) return invalid("an owner is out of range");
  member.uid = static_cast<std::uint32_t>(uid);
  member.gid = static_cast<std::uint32_t>(gid);
  const std::optional<std::uint64_t> mode = number(header, 100, 8);
  if (!mode) return invalid("a mode is malformed");
  member.mode = static_cast<std::uint32_t>(*mode & 07777);
  if (extended.mtime) {
    std::tie(member.mtime, member.mtime_ns) = *extended.mtime;
  } else {
    member.mtime = static_cast<std::int64_t>(
        std::min<std::uint64_t>(number(header, 136, 12).value_or(0), INT64_MAX / 2));
  }
  if (member.type == TarType::kCharDevice || member.type == TarType::kBlockDevice) {
    member.major = static_cast<std::uint32_t>(std::min<std::uint64_t>(small(329, 8), UINT32_MAX));
    member.minor = static_cast<std::uint32_t>(std::min<std::uint64_t>(small(337, 8), UINT32_MAX));
  }
  member.xattrs = extended.xattrs;
  return {};
}

Result<bool> TarReader::next(TarMember& member) {
  if (ended_) return false;
  TRY(pass_over(std::exchange(left_, 0) + std::exchange(padding_, 0)));
  Extended extended;
  bool announced = false;
  text_left_ = kMostText;
  for (;;) {
    Block header;
    if (!TRY(fill(header))) {  // GNU tar, too, takes an archive without its end for one
      ended_ = true;
      if (announced) return invalid("it is cut off");
      return false;
    }
    if (is_zero(header)) {
      ended_ = true;
      return false;
    }
    if (!sums_up(header)) return invalid("a header's checksum is wrong");
    const std::optional<std::uint64_t> size = number(header, 124, 12);
    if (!size || *size > static_cast<std::uint64_t>(INT64_MAX) - kBlock)
      return invalid("a member's size is out of range");
    const char type = header[156];
    if (type == 'x' || type == 'g') {
      const std::string records = TRY(text(*size));
      if (type == 'x') TRY(extended.parse(records));
      announced = announced || type == 'x';
      continue;
    }
    if (type == 'L' || type == 'K') {
      std::string name = TRY(text(*size));
      name = name.substr(0, name.find('\0'));
      (type == 'L' ? extended.name : extended.link) = std::move(name);
      announced = true;
      continue;
    }
    TRY(describe(header, extended, member));
    const std::uint64_t content = extended.size.value_or(*size);
    if (content > static_cast<std::uint64_t>(INT64_MAX) - kBlock)
      return invalid("a member's size is out of range");
    if (member.type == TarType::kFile) member.size = content;
    // Others have none, whatever they say; a hard link's size is that of the file it is (pax may
    // put the content there a second time, but no archiver does).
    left_ = member.type == TarType::kFile ? content : 0;
    padding_ = (kBlock - left_ % kBlock) % kBlock;
    return true;
  }
}

Result<> TarReader::drain() {
  std::array<char, 16384> buffer;
  while (TRY(source_(buffer)) > 0) {
  }
  return {};
}

}  // namespace caisson::files
