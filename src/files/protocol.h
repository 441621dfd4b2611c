// The documents of a file session (docs/formats/wire.md, "Files"): between a client and the process
// in the box that serves it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/files.h"
#include "wire/frame.h"

namespace caisson::files {

enum class Op { kStat, kList, kRead, kWrite, kMkdir, kRemove, kWatch, kPack, kUnpack };

/// What each field means depends on the operation; those that it does not use are ignored.
struct Request {
  Op op = Op::kStat;
  std::string path;
  std::string name;  ///< pack: of the first member; unpack: of the only one, empty: any
  std::string as;    ///< unpack: what takes its place
  bool follow = false;
  bool deep = false;  ///< remove, watch: what is below too; write, mkdir: missing parents
  bool keep_owners = false;
  std::uint64_t offset = 0, length = INT64_MAX;  ///< read
  std::optional<std::uint32_t> mode, uid, gid;
  friend bool operator==(const Request&, const Request&) = default;
};
std::string encode_request(const Request& request);
Result<Request> decode_request(std::string_view payload);

/// The answer to a request, or to one with data the end of them.
struct Answer {
  std::optional<Error> error;
  std::optional<FileInfo> info;
  Copied copied;
};
std::string encode_answer(const Answer& answer);
Result<Answer> decode_answer(std::string_view payload);

/// Pieces of a list, and of a watch.
std::string encode_infos(const std::vector<FileInfo>& infos);
Result<std::vector<FileInfo>> decode_infos(std::string_view payload);
std::string encode_event(const FileEvent& event);
Result<FileEvent> decode_event(std::string_view payload);

}  // namespace caisson::files
