// Names of tar members, made safe: components below the root. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "base/error.h"

namespace caisson::fetch {

constexpr std::size_t kMaxPath = 4096;      ///< PATH_MAX
constexpr std::size_t kMaxComponent = 255;  ///< NAME_MAX

/// The components of a member's name or of a hard link's target: without empty ones and ".";
/// "/a" and "./a" are "a". ".." is refused (`layer_unsafe`) although it might stay inside: no
/// honest layer has it. Too long or too deep: `layer_invalid`.
Result<> split_name(std::string_view name, std::size_t max_depth,
                    std::vector<std::string_view>& components);

/// What image-spec, layer.md "Whiteouts", makes of a name's last component.
enum class NameKind {
  kPlain,
  kWhiteout,  ///< ".wh.NAME"
  kOpaque,    ///< ".wh..wh..opq"
  kSkipped,   ///< aufs's own ".wh..wh.…", and what is below them
};
/// Errors: `layer_unsafe` for ".wh." without a usable name and for ".wh.…" as a directory.
Result<NameKind> classify_name(const std::vector<std::string_view>& components);
/// NAME of ".wh.NAME".
std::string_view whiteout_target(std::string_view component);

}  // namespace caisson::fetch
