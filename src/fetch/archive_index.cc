#include "fetch/archive_index.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

namespace caisson::fetch {
namespace {

constexpr std::uint64_t kBlock = 512;
constexpr std::uint64_t kLongestExtension = 64 << 10;
constexpr std::size_t kMostMembers = 100'000, kMostNameBytes = 16 << 20;

/// The header of one member (tar(5)).
struct Header {
  std::string_view bytes;
  std::string_view text(std::size_t at, std::size_t size) const {
    const std::string_view field = bytes.substr(at, size);
    return field.substr(0, field.find('\0'));
  }
  char type() const { return bytes[156]; }
  bool zero() const {
    return std::ranges::all_of(bytes, [](char c) { return c == '\0'; });
  }
  std::optional<std::uint64_t> number(std::size_t at, std::size_t size) const {
    std::string_view field = bytes.substr(at, size);
    std::uint64_t value = 0;
    if ((static_cast<unsigned char>(field[0]) & 0x80) != 0) {  // base 256
      if (static_cast<unsigned char>(field[0]) != 0x80) return std::nullopt;
      for (char c : field.substr(1)) {
        if (value >> 55 != 0) return std::nullopt;
        value = value << 8 | static_cast<unsigned char>(c);
      }
      return value;
    }
    field = field.substr(0, field.find('\0'));
    while (field.starts_with(' ')) field.remove_prefix(1);
    while (field.ends_with(' ')) field.remove_suffix(1);
    const auto [end, ec] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
    if (!field.empty() && (ec != std::errc() || end != field.data() + field.size()))
      return std::nullopt;
    return value;
  }
  bool sum_fits() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kBlock; ++i)
      sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(bytes[i]);
    return number(148, 8) == sum;
  }
  std::string name() const {
    const std::string_view prefix = text(257, 6) == "ustar" ? text(345, 155) : std::string_view();
    const std::string own(text(0, 100));
    return prefix.empty() ? own : std::string(prefix) + "/" + own;
  }
};

/// What pax or GNU headers said of the member that follows.
struct Extension {
  std::optional<std::string> path, link;
  std::optional<std::uint64_t> size;
};

/// "LENGTH KEY=VALUE\n" records (pax, POSIX.1-2001).
bool read_pax(std::string_view text, Extension& into) {
  while (!text.empty()) {
    std::size_t length = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), length);
    const std::size_t digits = static_cast<std::size_t>(end - text.data());
    if (ec != std::errc() || length <= digits + 2 || length > text.size() || *end != ' ' ||
        text[length - 1] != '\n')
      return false;
    const std::string_view record = text.substr(digits + 1, length - digits - 2);
    const auto equals = record.find('=');
    if (equals == record.npos) return false;
    const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key == "path") into.path = value;
    if (key == "linkpath") into.link = value;
    if (key == "size") {
      std::uint64_t size = 0;
      const auto parsed = std::from_chars(value.data(), value.data() + value.size(), size);
      if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size()) return false;
      into.size = size;
    }
    text.remove_prefix(length);
  }
  return true;
}

/// "./a//b/../c" → "a/c"; a path that leads out ends at the top.
std::string plain(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const auto slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (part.empty() || part == ".") continue;
    if (part != "..")
      parts.push_back(part);
    else if (!parts.empty())
      parts.pop_back();
  }
  std::string text;
  for (std::string_view part : parts) text += (text.empty() ? "" : "/") + std::string(part);
  return text;
}

class Indexer final {
 public:
  Indexer(int fd, const std::string& name, std::uint64_t size)
      : fd_(fd), name_(name), size_(size) {}

  Result<std::map<std::string, Member>> run() {
    TRY(refuse_compressed());
    while (at_ + kBlock <= size_) {
      const std::string block = TRY(read(at_, kBlock));
      const Header header{block};
      if (header.zero()) break;
      if (!header.sum_fits()) return invalid("no tar archive, or a damaged one");
      at_ += kBlock;
      TRY(take(header));
    }
    if (members_.empty()) return invalid("there is nothing in it");
    return std::move(members_);
  }

 private:
  Error invalid(std::string_view cause) const {
    return make_error(Code::kInvalidArgument, "archive_invalid",
                      format("read archive '{}': {}", name_, cause));
  }
  Result<std::string> read(std::uint64_t at, std::uint64_t size) const {
    std::string bytes(size, '\0');
    std::size_t got = 0;
    while (got < size) {
      const ssize_t n = ::pread(fd_, bytes.data() + got, size - got, static_cast<off_t>(at + got));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return sys_error("read archive", name_);
      if (n == 0) return invalid("it ends too early");
      got += static_cast<std::size_t>(n);
    }
    return bytes;
  }
  Result<> refuse_compressed() const {
    const std::string magic = TRY(read(0, std::min<std::uint64_t>(size_, 6)));
    for (const auto& [bytes, what] : {std::pair{std::string_view("\x1f\x8b"), "gzip"},
                                      {"\x28\xb5\x2f\xfd", "zstd"},
                                      {"\xfd"
                                       "7zXZ",
                                       "xz"},
                                      {"BZh", "bzip2"}})
      if (magic.starts_with(bytes)) {
        Error error = invalid(format("it is compressed with {}", what));
        error.hint = format("decompress it first: {} -d", what);
        return error;
      }
    return {};
  }

  Result<> take(const Header& header) {
    const std::optional<std::uint64_t> stated = header.number(124, 12);
    const char type = header.type();
    const bool extends = type == 'x' || type == 'L' || type == 'K' || type == 'g';
    // A pax size is of the member that follows, not of another header between them.
    const std::uint64_t own = stated.value_or(0);
    const std::uint64_t size = extends ? own : extension_.size.value_or(own);
    if (!stated || size > size_ - at_) return invalid("a member is longer than the archive");
    if (extends) {
      if (size > kLongestExtension) return invalid("an extended header is too long");
      std::string text = TRY(read(at_, size));
      if (type == 'x' && !read_pax(text, extension_))
        return invalid("an extended header is damaged");
      text = text.substr(0, text.find('\0'));
      if (type == 'L') extension_.path = text;
      if (type == 'K') extension_.link = text;
    } else {
      add(header, type, size);
      extension_ = {};
      if (name_bytes_ > kMostNameBytes) return invalid("its names are too long");
      if (members_.size() > kMostMembers) return invalid("it has too many members");
    }
    at_ += (size + kBlock - 1) / kBlock * kBlock;
    return {};
  }

  void add(const Header& header, char type, std::uint64_t size) {
    const std::string name = plain(extension_.path.value_or(header.name()));
    const std::string link = extension_.link.value_or(std::string(header.text(157, 100)));
    name_bytes_ += name.size() + link.size();
    if (type == '0' || type == '\0' || type == '7') members_[name] = {at_, size, ""};
    if (type == '1') members_[name] = {0, 0, plain(link)};
    // A symbolic link counts from the directory it is in.
    if (type == '2') {
      const auto slash = name.rfind('/');
      const std::string above = slash == name.npos ? "" : name.substr(0, slash + 1);
      members_[name] = {0, 0, plain(link.starts_with('/') ? link : above + link)};
    }
  }

  int fd_;
  const std::string& name_;
  std::uint64_t size_, at_ = 0;
  std::size_t name_bytes_ = 0;
  Extension extension_;
  std::map<std::string, Member> members_;
};

}  // namespace

Result<std::map<std::string, Member>> index_archive(int fd, const std::string& name) {
  struct stat info{};
  if (::fstat(fd, &info) < 0) return sys_error("look at archive", name);
  if (!S_ISREG(info.st_mode))
    return make_error(Code::kInvalidArgument, "archive_invalid",
                      format("read archive '{}': not a regular file", name));
  return Indexer(fd, name, static_cast<std::uint64_t>(info.st_size)).run();
}

}  // namespace caisson::fetch
