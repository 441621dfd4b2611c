// Platforms, made alike as containerd does (platforms/database.go).
#include <algorithm>
#include <array>

#include "caisson/spec.h"
#include "spec/image_ref.h"
#include "spec/text.h"

namespace caisson::spec {
namespace {

struct Alias {
  std::string_view name, architecture, variant;
};
constexpr std::array<Alias, 9> kAliases = {{{"i386", "386", ""},
                                            {"i486", "386", ""},
                                            {"i586", "386", ""},
                                            {"i686", "386", ""},
                                            {"x86_64", "amd64", ""},
                                            {"x86-64", "amd64", ""},
                                            {"aarch64", "arm64", ""},
                                            {"armhf", "arm", "v7"},
                                            {"armel", "arm", "v6"}}};
constexpr std::array<std::string_view, 14> kArchitectures = {
    "386",      "amd64",  "arm",   "arm64",   "loong64", "mips",  "mips64",
    "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x", "wasm"};
constexpr std::array<std::string_view, 7> kSystems = {"linux",   "windows", "darwin", "freebsd",
                                                      "openbsd", "netbsd",  "solaris"};

Error bad_platform(std::string_view text, std::string_view cause, std::string hint = {}) {
  if (hint.empty()) hint = "write it like linux/amd64, linux/arm64/v8 or arm64";
  return invalid("platform_invalid", format("parse platform {}: {}", quote(text), cause),
                 std::move(hint));
}

bool is_word(std::string_view part) {
  return !part.empty() && part.size() <= 32 && std::ranges::all_of(part, [](char c) {
    return is_alnum(c) || c == '_' || c == '-' || c == '.';
  });
}

std::string normal_variant(std::string_view architecture, std::string variant) {
  if (variant.size() == 1 && is_digit(variant[0]) && architecture.starts_with("arm"))
    variant.insert(0, "v");
  if (architecture == "arm64" && variant.empty()) return "v8";
  if (architecture == "arm" && variant.empty()) return "v7";
  if (architecture == "amd64" && variant == "v1") return {};
  return variant;
}

template <class Words>
bool among(const Words& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

/// A machine of arm/v7 runs programs for v6 and v5.
bool older_arm(const Platform& wanted, const Platform& offered) {
  return wanted.architecture == "arm" && offered.variant.size() == 2 &&
         wanted.variant.size() == 2 && offered.variant < wanted.variant &&
         offered.variant >= "v5" && wanted.variant <= "v9";
}

}  // namespace

Platform normal_platform(std::string_view os, std::string_view architecture,
                         std::string_view variant) {
  Platform platform;
  platform.os = lower(os);
  if (platform.os == "macos") platform.os = "darwin";
  platform.architecture = lower(architecture);
  std::string kind = lower(variant);
  for (const Alias& alias : kAliases) {
    if (platform.architecture != alias.name) continue;
    platform.architecture = alias.architecture;
    if (kind.empty()) kind = alias.variant;
    break;
  }
  platform.variant = normal_variant(platform.architecture, std::move(kind));
  return platform;
}

Result<Platform> parse_platform(std::string_view text) {
  const std::vector<std::string_view> parts = split(text, '/');
  if (text.empty() || parts.size() > 3 || !std::ranges::all_of(parts, is_word))
    return bad_platform(text, "not OS/ARCHITECTURE[/VARIANT]");
  if (parts.size() > 1)
    return normal_platform(parts[0], parts[1], parts.size() > 2 ? parts[2] : "");
  Platform platform = normal_platform("linux", text, "");
  if (among(kArchitectures, platform.architecture)) return platform;
  const std::string os = lower(text) == "macos" ? "darwin" : lower(text);
  if (among(kSystems, os)) {
    platform = host_platform();
    platform.os = os;
    return platform;
  }
  const std::string near =
      did_you_mean(lower(text), {kArchitectures.begin(), kArchitectures.end()});
  return bad_platform(text, "no such architecture",
                      near.empty() ? "" : format("did you mean '{}'?", near));
}

Platform host_platform() {
#if defined(__x86_64__)
  return {"linux", "amd64", ""};
#elif defined(__aarch64__)
  return {"linux", "arm64", "v8"};
#elif defined(__arm__)
  return {"linux", "arm", "v7"};
#elif defined(__i386__)
  return {"linux", "386", ""};
#elif defined(__riscv) && __riscv_xlen == 64
  return {"linux", "riscv64", ""};
#elif defined(__s390x__)
  return {"linux", "s390x", ""};
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
  return {"linux", "ppc64le", ""};
#elif defined(__loongarch64)
  return {"linux", "loong64", ""};
#else
#error "give this machine its name in the OCI image specification"
#endif
}

std::string to_string(const Platform& platform) {
  if (platform.variant.empty()) return format("{}/{}", platform.os, platform.architecture);
  return format("{}/{}/{}", platform.os, platform.architecture, platform.variant);
}

bool fits(const Platform& wanted, const Platform& offered) {
  if (wanted.os != offered.os || wanted.architecture != offered.architecture) return false;
  return wanted.variant == offered.variant || wanted.variant.empty() || offered.variant.empty() ||
         older_arm(wanted, offered);
}

}  // namespace caisson::spec
