#include "engine/log_reader.h"

#include <cstdint>
#include <cstring>

#include "base/fd.h"

namespace caisson::engine {

std::vector<Output> parse_log(std::string_view bytes) {
  constexpr std::size_t kHeader = 16;
  std::vector<Output> records;
  while (bytes.size() >= kHeader) {
    std::uint32_t length = 0;
    std::memcpy(&length, bytes.data() + 4, sizeof length);
    const auto stream = static_cast<Stream>(bytes[0]);
    if (bytes.size() - kHeader < length) break;
    records.push_back({stream == Stream::kStderr ? Stream::kStderr : Stream::kStdout,
                       std::string(bytes.substr(kHeader, length))});
    bytes.remove_prefix(kHeader + length);
  }
  return records;
}

Result<std::vector<Output>> read_log(const std::string& data) {
  constexpr std::size_t kMax = 4ull << 30;
  Result<std::string> bytes = read_file(data + "/logs/output.log", kMax);
  if (!bytes && bytes.error().sys_errno == ENOENT) return std::vector<Output>();
  if (!bytes) return bytes.error();
  return parse_log(*bytes);
}

}  // namespace caisson::engine
