#include "fetch/member_name.h"

#include "base/format.h"

namespace caisson::fetch {
namespace {
constexpr std::string_view kPrefix = ".wh.";
constexpr std::string_view kReserved = ".wh..wh.";

Error unsafe(std::string message) {
  return make_error(Code::kInvalidArgument, "layer_unsafe", std::move(message));
}
Error invalid(std::string message) {
  return make_error(Code::kInvalidArgument, "layer_invalid", std::move(message));
}
}  // namespace

Result<> split_name(std::string_view name, std::size_t max_depth,
                    std::vector<std::string_view>& components) {
  components.clear();
  if (name.size() >= kMaxPath) return invalid(format("the name has {} bytes", name.size()));
  while (!name.empty()) {
    const std::size_t end = std::min(name.find('/'), name.size());
    const std::string_view component = name.substr(0, end);
    name.remove_prefix(std::min(end + 1, name.size()));
    if (component.empty() || component == ".") continue;
    if (component == "..") return unsafe("the name leads out of its directory ('..')");
    if (component.size() > kMaxComponent)
      return invalid(format("a component of the name has {} bytes", component.size()));
    if (components.size() == max_depth)
      return invalid(format("the name has more than {} components", max_depth));
    components.push_back(component);
  }
  return {};
}

Result<NameKind> classify_name(const std::vector<std::string_view>& components) {
  for (std::size_t i = 0; i < components.size(); ++i) {
    const std::string_view component = components[i];
    const bool last = i + 1 == components.size();
    if (!component.starts_with(kPrefix)) continue;
    if (component == ".wh..wh..opq" && last) return NameKind::kOpaque;
    if (component.starts_with(kReserved)) return NameKind::kSkipped;
    if (!last) return unsafe("a directory's name begins as a whiteout's ('.wh.')");
    const std::string_view target = whiteout_target(component);
    if (target.empty() || target == "." || target == "..")
      return unsafe("a whiteout without a name");
    return NameKind::kWhiteout;
  }
  return NameKind::kPlain;
}

std::string_view whiteout_target(std::string_view component) {
  return component.substr(kPrefix.size());
}

}  // namespace caisson::fetch
