#include "image/changes.h"

#include <algorithm>
#include <utility>

#include "image/diff.h"

namespace caisson::image {
namespace {

constexpr std::size_t kPiece = 64u << 10;

/// Absolute, and every part of it a name.
bool is_path(std::string_view path) {
  if (path.size() < 2 || path.front() != '/') return false;
  for (std::size_t at = 1; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view name = path.substr(at, end - at);
    if (name.empty() || name == "." || name == ".." || name.size() > 255) return false;
    at = end + 1;
  }
  return true;
}

}  // namespace

Result<> write_changes(const std::vector<std::string>& before,
                       const std::vector<std::string>& after, const files::Sink& sink) {
  std::string piece;
  TRY(compare_layers(before, after, [&](const Change& change) {
    piece += static_cast<char>(change.kind) + change.path + '\0';
    return piece.size() < kPiece ? Result<>() : sink(std::exchange(piece, {}));
  }));
  return piece.empty() ? Result<>() : sink(piece);
}

Result<std::vector<Change>> read_changes(std::string_view bytes) {
  constexpr std::string_view kKinds = "ACD";
  constexpr std::size_t kMost = 4'000'000;  // of some 50 bytes each, however short their names are
  std::vector<Change> changes;
  while (!bytes.empty()) {
    if (changes.size() == kMost)
      return make_error(Code::kResourceExhausted, "layer_bomb",
                        format("read differences: more than {} files", kMost));
    const std::size_t end = bytes.find('\0');
    if (!kKinds.contains(bytes.front()) || end == bytes.npos || !is_path(bytes.substr(1, end - 1)))
      return make_error(Code::kInvalidArgument, "protocol_error",
                        "read differences: what came is no list of files");
    changes.push_back(
        {static_cast<ChangeKind>(bytes.front()), std::string(bytes.substr(1, end - 1))});
    bytes.remove_prefix(end + 1);
  }
  return changes;
}

}  // namespace caisson::image
