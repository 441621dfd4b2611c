#include "fetch/extract.h"

#include <unistd.h>

#include "fetch/member_name.h"
#include "spec/text.h"

namespace caisson::fetch {
namespace {

Error invalid(std::string message) {
  return make_error(Code::kInvalidArgument, "layer_invalid", std::move(message));
}

class Extractor final {
 public:
  Extractor(TarReader& tar, TreeWriter& tree, const LayerCaps& caps)
      : tar_(tar), tree_(tree), caps_(caps) {}

  Result<> run() {
    Member member;
    for (std::uint64_t members = 0; TRY(tar_.next(member)); ++members) {
      if (members >= caps_.entries)
        return make_error(Code::kResourceExhausted, "layer_bomb",
                          format("the layer has more than {} members", caps_.entries));
      Result<> made = make(member);
      if (!made) return with_context(std::move(made).error(), spec::quote(member.name));
    }
    return {};
  }

 private:
  Result<> make(const Member& member) {
    TRY(split_name(member.name, caps_.depth, path_));
    const Components path(path_);
    switch (TRY(classify_name(path_))) {
      case NameKind::kSkipped:
        return {};
      case NameKind::kOpaque:
        return tree_.opaque(path.first(path.size() - 1));
      case NameKind::kWhiteout:
        path_.back() = whiteout_target(path_.back());
        return tree_.whiteout(path);
      case NameKind::kPlain:
        break;
    }
    if (member.is_hard_link) return hard_link(member);
    const Attributes attributes{member.mode & 07777, TRY(make_owner(member.uid, member.gid)),
                                make_times(member.mtime, member.mtime_ns)};
    switch (member.mode & S_IFMT) {
      case S_IFDIR:
        TRY(tree_.directory(path, attributes));
        return directory_xattrs();
      case S_IFREG:
        return file(member, attributes);
      case S_IFLNK:
        return tree_.symbolic_link(path, std::string(member.link), attributes);
      case S_IFCHR:
      case S_IFBLK:
      case S_IFIFO:
        return tree_.special(path, member.mode & S_IFMT, member.major, member.minor, attributes);
      case S_IFSOCK:
        return {};  // has no use without the process that listened on it
      default:
        return invalid("the member has no known type");
    }
  }

  Result<> hard_link(const Member& member) {
    TRY(split_name(member.hard_link, caps_.depth, target_));
    if (TRY(classify_name(target_)) != NameKind::kPlain)
      return invalid("a hard link to a whiteout");
    return tree_.hard_link(path_, target_);
  }

  Result<> file(const Member& member, const Attributes& attributes) {
    if (member.size < 0) return invalid("the size is negative");
    const auto size = static_cast<std::uint64_t>(member.size);
    if (size > caps_.bytes)
      return make_error(
          Code::kResourceExhausted, "layer_bomb",
          format("the file has {} bytes, more than the {} a layer may have", size, caps_.bytes));
    Fd fd = TRY(tree_.file(path_, attributes.mode));
    if (size > 0) TRY(content(fd.get(), size));
    TRY(tree_.finish_file(fd.get(), attributes));
    return tar_.each_xattr([&](const char* name, const void* value, std::size_t length) {
      return set_xattr(fd.get(), name, value, length);
    });
  }

  Result<> content(int fd, std::uint64_t size) {
    std::uint64_t end = 0;
    DataBlock block;
    while (TRY(tar_.next_data(block))) {
      if (block.offset > size || block.bytes.size() > size - block.offset)
        return invalid("the content is longer than the size");
      TRY(write(fd, block));
      if (!block.bytes.empty()) end = std::max(end, block.offset + block.bytes.size());
    }
    if (end < size && ::ftruncate(fd, static_cast<off_t>(size)) < 0)
      return sys_error("set size", "");
    return {};
  }

  static Result<> write(int fd, const DataBlock& block) {
    std::span<const unsigned char> bytes = block.bytes;
    auto offset = static_cast<off_t>(block.offset);
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return sys_error("write", "");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
      offset += n;
    }
    return {};
  }

  Result<> directory_xattrs() {
    Fd fd;
    return tar_.each_xattr(
        [&](const char* name, const void* value, std::size_t length) -> Result<> {
          if (!is_allowed_xattr(name)) return {};
          if (!fd) fd = TRY(tree_.open_directory(path_));
          return set_xattr(fd.get(), name, value, length);
        });
  }

  TarReader& tar_;
  TreeWriter& tree_;
  const LayerCaps& caps_;
  std::vector<std::string_view> path_, target_;
};

}  // namespace

Result<> extract(TarReader& tar, TreeWriter& tree, const LayerCaps& caps) {
  return Extractor(tar, tree, caps).run();
}

}  // namespace caisson::fetch
