#include "files/service.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "files/pack.h"
#include "files/path.h"
#include "files/protocol.h"
#include "files/replacement.h"
#include "files/stream.h"
#include "files/unpack.h"
#include "files/watcher.h"
#include "sys/tree.h"

namespace caisson::files {
namespace {

class Service final {
 public:
  Service(Stream& stream, Root root, const ServiceOptions& options)
      : stream_(stream), root_(std::move(root)), options_(options) {}

  /// An error ends the session: the client is gone, or speaks another protocol.
  Result<> run() {
    for (;;) {
      const wire::Frame frame = TRY(stream_.receive());
      if (frame.type != wire::FrameType::kRequest)
        return make_error(Code::kInvalidArgument, "protocol_error", "serve files: not a request");
      const Request request = TRY(decode_request(frame.payload));
      incoming_ = request.op == Op::kWrite || request.op == Op::kUnpack;
      Answer answer;
      const Result<> done = handle(request, answer);
      if (!done) answer.error = done.error();
      TRY(stream_.send({wire::FrameType::kReply, 0, encode_answer(answer)}));
      // What the client is still sending must not be taken for its next request.
      TRY(pass_over());
    }
  }

 private:
  Result<> handle(const Request& request, Answer& answer) {
    if (!request.path.starts_with('/'))
      return make_error(Code::kInvalidArgument, "path_invalid",
                        format("use path '{}': it is not absolute", request.path));
    switch (request.op) {
      case Op::kStat:
        return stat(request, answer);
      case Op::kList:
        return list(request);
      case Op::kRead:
        return read(request, answer);
      case Op::kWrite:
        return write(request, answer);
      case Op::kMkdir:
        return mkdir(request);
      case Op::kRemove:
        return remove(request);
      case Op::kWatch:
        return watch(stream_, root_, request);
      case Op::kPack:
        return pack(request, answer);
      case Op::kUnpack:
        return unpack(request, answer);
    }
    return {};
  }

  Result<> stat(const Request& request, Answer& answer) const {
    const Fd entry = TRY(root_.open_at(request.path, O_PATH | (request.follow ? 0 : O_NOFOLLOW)));
    std::string name = request.path;
    while (name.size() > 1 && name.ends_with('/')) name.pop_back();
    if (name != "/") name = name.substr(name.rfind('/') + 1);
    answer.info = TRY(info_of(entry.get(), std::move(name)));
    return {};
  }

  Result<> list(const Request& request) {
    const Fd directory = TRY(root_.open_at(request.path, O_RDONLY | O_DIRECTORY));
    std::vector<FileInfo> infos;
    for (const std::string& name : TRY(names_in(directory.get(), request.path))) {
      const Fd entry(::openat(directory.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      Result<FileInfo> info = entry ? info_of(entry.get(), name) : path_error("look at", name);
      if (!info && info.error().sys_errno == ENOENT) continue;  // removed meanwhile
      infos.push_back(TRY(std::move(info)));
      if (infos.size() == 64) TRY(stream_.send_document(encode_infos(std::exchange(infos, {}))));
    }
    return stream_.send_document(encode_infos(infos));
  }

  Result<> read(const Request& request, Answer& answer) {
    const Fd found = TRY(root_.open_at(request.path, O_PATH));
    struct stat st{};
    if (::fstat(found.get(), &st) < 0) return path_error("look at", request.path);
    if (!S_ISREG(st.st_mode))
      return make_error(Code::kFailedPrecondition, "path_no_file",
                        format("read '{}': it is no regular file", request.path));
    const Fd file = TRY(reopen(found.get(), request.path, O_RDONLY | O_NONBLOCK));
    std::string buffer(wire::kMaxData, '\0');
    for (std::uint64_t offset = request.offset; answer.copied.bytes < request.length;) {
      const std::uint64_t most =
          std::min<std::uint64_t>(buffer.size(), request.length - answer.copied.bytes);
      const ssize_t n = ::pread(file.get(), buffer.data(), most, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return path_error("read", request.path);
      if (n == 0) return {};
      TRY(stream_.send_data({buffer.data(), static_cast<std::size_t>(n)}));
      offset += static_cast<std::uint64_t>(n);
      answer.copied.bytes += static_cast<std::uint64_t>(n);
    }
    return {};
  }

  Result<> write(const Request& request, Answer& answer) {
    const Place place = request.deep ? TRY(root_.make_place(request.path,
                                                            [&](const std::string& path) {
                                                              return make_directory(path, 0755);
                                                            }))
                                     : TRY(root_.place(request.path, true));
    TRY(check_kept(place.parent.get(), request.path));
    struct stat before{};
    const bool replaces =
        ::fstatat(place.parent.get(), place.name.c_str(), &before, AT_SYMLINK_NOFOLLOW) == 0;
    if (replaces && !S_ISREG(before.st_mode))
      return make_error(Code::kFailedPrecondition, "path_in_the_way",
                        format("write '{}': it is no regular file", request.path));
    Replacement file = TRY(Replacement::create(place.parent.get(), place.name));
    for (;;) {
      const std::string bytes = TRY(next_piece());
      if (bytes.empty()) break;
      TRY(file.write(bytes));
      answer.copied.bytes += bytes.size();
    }
    const std::uint32_t uid = request.uid.value_or(replaces ? before.st_uid : options_.uid);
    const std::uint32_t gid = request.gid.value_or(replaces ? before.st_gid : options_.gid);
    if (::fchown(file.fd(), uid, gid) < 0)
      return make_error(
          Code::kFailedPrecondition, "ids_unavailable",
          format("give '{}' to {}:{}: {}", request.path, uid, gid, errno_text(errno)));
    const std::uint32_t mode = request.mode.value_or(replaces ? before.st_mode & 07777 : 0644);
    if (::fchmod(file.fd(), mode) < 0) return write_error("set mode of", request.path);
    return file.commit();
  }

  Result<> make_directory(const std::string& path, std::uint32_t mode) const {
    const Place place = TRY(root_.place(path, true));
    TRY(check_kept(place.parent.get(), path));
    if (::mkdirat(place.parent.get(), place.name.c_str(), mode) < 0) {
      Error error = write_error("make directory", path);
      if (error.sys_errno == EEXIST) error.reason = "path_in_the_way";
      return error;
    }
    const Fd made =
        TRY(open_at(place.parent.get(), place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (::fchown(made.get(), options_.uid, options_.gid) < 0)
      return write_error("change owner of", path);
    if (::fchmod(made.get(), mode) < 0) return write_error("set mode of", path);
    return {};
  }

  Result<> mkdir(const Request& request) const {
    const std::uint32_t mode = request.mode.value_or(0755);
    if (!request.deep) return make_directory(request.path, mode);
    if (root_.open_at(request.path, O_PATH | O_DIRECTORY)) return {};
    TRY(root_.make_place(request.path,
                         [&](const std::string& path) { return make_directory(path, 0755); }));
    return make_directory(request.path, mode);
  }

  Result<> remove(const Request& request) const {
    const Place place = TRY(root_.place(request.path, false));
    TRY(check_kept(place.parent.get(), request.path));
    struct stat st{};
    if (::fstatat(place.parent.get(), place.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0)
      return path_error("remove", request.path);
    if (S_ISDIR(st.st_mode) && request.deep)
      return sys::remove_tree(place.parent.get(), place.name);
    if (::unlinkat(place.parent.get(), place.name.c_str(), S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) <
        0)
      return path_error("remove", request.path);
    return {};
  }

  Result<> pack(const Request& request, Answer& answer) {
    TarWriter tar([this](std::string_view bytes) { return stream_.send_data(bytes); });
    const PackOptions options{request.name, request.keep_owners};
    const bool follow = request.follow || request.path.ends_with('/');
    const Fd entry = TRY(root_.open_at(request.path, O_PATH | (follow ? 0 : O_NOFOLLOW)));
    const Packed packed = TRY(files::pack(entry, options, tar));
    answer.copied = {packed.files, packed.bytes, packed.skipped};
    return tar.finish();
  }

  Result<> unpack(const Request& request, Answer& answer) {
    Fd directory = TRY(root_.open_at(request.path, O_RDONLY | O_DIRECTORY));
    UnpackOptions options;
    options.only = request.name;
    options.as = request.as;
    if (request.follow) {  // what is there may be a link to the file that is meant
      Place place = TRY(root_.place(format("{}/{}", request.path, request.as), true));
      directory = std::move(place.parent);
      options.as = std::move(place.name);
    }
    options.follow = true;
    options.keep_owners = options.keep_special = request.keep_owners;
    options.owner = {options_.uid, options_.gid};
    options.check = [this, &request](int parent) { return check_kept(parent, request.path); };
    std::string piece;
    std::size_t taken = 0;
    TarReader tar([&](std::span<char> buffer) -> Result<std::size_t> {
      if (taken == piece.size()) {
        piece = TRY(next_piece());
        taken = 0;
      }
      const std::size_t n = std::min(buffer.size(), piece.size() - taken);
      std::copy_n(piece.data() + taken, n, buffer.data());
      taken += n;
      return n;
    });
    const Unpacked done = TRY(files::unpack(tar, directory.get(), options));
    answer.copied = {done.files, done.bytes, done.skipped};
    return tar.drain();
  }

  /// The client's data; empty at its end.
  Result<std::string> next_piece() {
    if (!incoming_) return std::string();
    const wire::Frame frame = TRY(stream_.receive());
    if (frame.type != wire::FrameType::kData)
      return make_error(Code::kInvalidArgument, "protocol_error", "serve files: not data");
    std::string bytes(TRY(wire::decode_data(frame)).bytes);
    incoming_ = !bytes.empty();
    return bytes;
  }
  Result<> pass_over() {
    while (incoming_) TRY(next_piece());
    return {};
  }

  /// Whether what is in this directory outlives the session.
  Result<> check_kept(int directory, const std::string& path) const {
    if (options_.in_memory.empty()) return {};
    const auto mount_of = [](int dir, const std::string& name) -> std::optional<std::uint64_t> {
      struct statx stx{};
      const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name.empty() ? AT_EMPTY_PATH : 0);
      if (::statx(dir, name.c_str(), flags, STATX_MNT_ID, &stx) < 0) return std::nullopt;
      return stx.stx_mnt_id;
    };
    const std::optional<std::uint64_t> here = mount_of(directory, "");
    for (const std::string& place : options_.in_memory)
      if (mount_of(AT_FDCWD, place) == here)
        return make_error(
            Code::kFailedPrecondition, "path_not_kept",
            format("write '{}': '{}' is in memory, and the box does not run", path, place),
            "start the box first");
    return {};
  }

  Stream& stream_;
  Root root_;
  const ServiceOptions& options_;
  bool incoming_ = false;  ///< the client has not said yet that its data end
};

}  // namespace

void serve(int socket, const ServiceOptions& options) {
  ::umask(0);
  // A limit on the size of files is an error of write(2), not the end of this process.
  ::signal(SIGXFSZ, SIG_IGN);
  Stream stream(socket);
  Result<Root> root = Root::open("/");
  if (root) [[maybe_unused]]
    const Result<> done = Service(stream, std::move(*root), options).run();
}

}  // namespace caisson::files
