// The command line's three spellings of a mount.
#include <set>

#include "caisson/spec.h"
#include "spec/checks.h"
#include "spec/mount_text.h"
#include "spec/names.h"
#include "spec/path.h"
#include "spec/text.h"

namespace caisson {
namespace {

using spec::quote;

/// What is being parsed, so that every fault names it.
struct Input {
  std::string_view what;
  std::string_view text;
  std::string_view reason;

  Error fault(std::string_view cause, std::string hint = {}) const {
    return spec::invalid(reason, format("parse {} {}: {}", what, quote(text), cause),
                         std::move(hint));
  }
};

struct Option {
  std::string_view key;
  std::optional<std::string_view> value;
};

Option to_option(std::string_view word) {
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) return {word, std::nullopt};
  return {word.substr(0, equals), word.substr(equals + 1)};
}

/// Docker's synonyms and our own words.
std::string_view canonical_key(std::string_view key) {
  static constexpr std::pair<std::string_view, std::string_view> kSynonyms[] = {
      {"src", "source"},      {"dst", "target"},      {"destination", "target"}, {"ro", "readonly"},
      {"tmpfs-size", "size"}, {"tmpfs-mode", "mode"}, {"nr_inodes", "inodes"}};
  for (const auto& [synonym, word] : kSynonyms)
    if (key == synonym) return word;
  return key;
}

Result<bool> read_flag(const Input& input, const Option& option) {
  if (!option.value || *option.value == "true" || *option.value == "1") return true;
  if (*option.value == "false" || *option.value == "0") return false;
  return input.fault(format("{} is true or false, not {}", option.key, quote(*option.value)));
}

Result<std::string_view> read_value(const Input& input, const Option& option) {
  if (option.value && !option.value->empty()) return *option.value;
  return input.fault(format("{} needs a value", option.key));
}

/// Options that every spelling of a tmpfs has; false when `key` is not one of them.
Result<bool> apply_tmpfs_option(const Input& input, std::string_view key, const Option& option,
                                Mount& mount) {
  if (key == "size") {
    const Result<std::uint64_t> size = parse_size(TRY(read_value(input, option)));
    if (!size) return input.fault(size.error().message, size.error().hint);
    mount.size_bytes = *size;
  } else if (key == "mode") {
    const std::string_view text = TRY(read_value(input, option));
    mount.mode = spec::parse_octal_mode(text);
    if (!mount.mode)
      return input.fault(format("mode {} is not an octal number up to 7777", quote(text)));
  } else if (key == "inodes") {
    const std::string_view text = TRY(read_value(input, option));
    mount.inodes = spec::to_unsigned(text);
    if (!mount.inodes) return input.fault(format("inodes {} is not a number", quote(text)));
  } else if (key == "readonly") {
    mount.read_only = TRY(read_flag(input, option));
  } else {
    return false;
  }
  return true;
}

Result<MountType> read_type(const Input& input, std::string_view text) {
  if (text == "image")
    return make_error(Code::kUnimplemented, input.reason,
                      format("parse {} {}: mounts of type '{}' are not in this version", input.what,
                             quote(input.text), text),
                      "use type=bind with a directory of the host, type=volume or type=tmpfs");
  if (const auto type = spec::find_named<MountType>(text)) return *type;
  return input.fault(format("unknown type {}", quote(text)),
                     spec::suggest(text, spec::all_names<MountType>(), "types"));
}

Result<IdMapping> read_idmap(const Input& input, std::string_view text) {
  if (const auto mapping = spec::find_named<IdMapping>(text)) return *mapping;
  return input.fault(format("unknown idmap {}", quote(text)),
                     spec::suggest(text, spec::all_names<IdMapping>(), "values"));
}

/// A slash at the end of a host path stays: it says that a directory is meant.
std::string tidy_host_path(std::string_view path) {
  std::string tidy = spec::tidy_path(path);
  if (path.ends_with('/') && !tidy.ends_with('/')) tidy += '/';
  return tidy;
}

Result<> apply_mount_option(const Input& input, std::string_view key, const Option& option,
                            Mount& mount) {
  if (key == "type") {
    const std::string_view text = TRY(read_value(input, option));
    mount.type = TRY(read_type(input, text));
  } else if (key == "source") {
    mount.source = TRY(read_value(input, option));
  } else if (key == "target") {
    mount.target = spec::tidy_path(TRY(read_value(input, option)));
  } else if (key == "idmap") {
    const std::string_view text = TRY(read_value(input, option));
    mount.idmap = TRY(read_idmap(input, text));
  } else if (!TRY(apply_tmpfs_option(input, key, option, mount))) {
    return input.fault(
        format("unknown option {}", quote(option.key)),
        spec::suggest(option.key,
                      {"type", "source", "src", "target", "dst", "destination", "readonly", "ro",
                       "idmap", "size", "tmpfs-size", "mode", "tmpfs-mode", "inodes"},
                      "options"));
  }
  return {};
}

Result<> refuse_repeated(const Input& input, std::string_view key,
                         std::set<std::string_view>& seen) {
  if (!seen.insert(key).second) return input.fault(format("{} is given twice", key));
  return {};
}

/// A host path without a slash is a named volume in Docker's spelling.
bool is_volume_name(std::string_view host) {
  return host.find('/') == std::string_view::npos && host != "." && host != "..";
}

Result<> apply_volume_option(const Input& input, std::string_view word, Mount& mount) {
  const Option option = to_option(word);
  if (word == "ro" || word == "rw") {
    mount.read_only = word == "ro";
  } else if (option.key == "idmap") {
    const std::string_view text = TRY(read_value(input, option));
    mount.idmap = TRY(read_idmap(input, text));
  } else {
    return input.fault(format("unknown option {}", quote(word)),
                       "known options: ro, rw, idmap=auto|require|off");
  }
  return {};
}

Result<> apply_volume_options(const Input& input, std::string_view words, Mount& mount) {
  std::set<std::string_view> seen;
  for (std::string_view word : spec::split(words, ',')) {
    const std::string_view key = to_option(word).key;
    TRY(refuse_repeated(input, key == "rw" ? "ro" : key, seen));
    TRY(apply_volume_option(input, word, mount));
  }
  return {};
}

}  // namespace

Result<Mount> parse_mount(std::string_view text) {
  const Input input{"mount", text, "mount_invalid"};
  Mount mount;
  std::set<std::string_view> seen;
  for (std::string_view word : spec::split(text, ',')) {
    const Option option = to_option(word);
    const std::string_view key = canonical_key(option.key);
    TRY(refuse_repeated(input, key, seen));
    TRY(apply_mount_option(input, key, option, mount));
  }
  if (!seen.contains("type"))
    return input.fault("type is missing", "type=bind, type=volume or type=tmpfs");
  if (mount.type == MountType::kBind) mount.source = tidy_host_path(mount.source);
  TRY(spec::check_mount(mount));
  return mount;
}

std::optional<unsigned> spec::parse_octal_mode(std::string_view text) {
  if (text.empty()) return std::nullopt;
  unsigned mode = 0;
  for (char c : text) {
    if (c < '0' || c > '7' || mode > 0777) return std::nullopt;
    mode = mode * 8 + static_cast<unsigned>(c - '0');
  }
  return mode;
}

Result<Mount> spec::parse_volume_as_written(std::string_view text) {
  const Input input{"volume", text, "volume_invalid"};
  const std::vector<std::string_view> parts = spec::split(text, ':');
  if (parts.size() < 2 || parts.size() > 3)
    return input.fault("not of the form /host:/box[:ro|rw]",
                       parts.size() == 1 ? "for a directory in memory use --tmpfs" : "");
  if (parts[0].empty()) return input.fault("the host path is empty");
  if (!spec::is_absolute(parts[1])) return input.fault("the path in the box is not absolute");
  Mount mount;
  if (is_volume_name(parts[0])) {
    mount.type = MountType::kVolume;
    mount.source = parts[0];
    if (Result<> fits = spec::check_volume_name(parts[0]); !fits)
      return input.fault(format("{} is neither a path nor a volume's name", quote(parts[0])),
                         format("for a directory write ./{}:{}", parts[0], parts[1]));
  } else {
    mount.source = spec::is_absolute(parts[0]) ? tidy_host_path(parts[0]) : parts[0];
  }
  mount.target = spec::tidy_path(parts[1]);
  if (parts.size() == 3) TRY(apply_volume_options(input, parts[2], mount));
  return mount;
}

Result<Mount> parse_volume(std::string_view text, std::string_view base) {
  Mount mount = TRY(spec::parse_volume_as_written(text));
  if (mount.type != MountType::kBind || spec::is_absolute(mount.source)) return mount;
  if (!spec::is_absolute(base))
    return Input{"volume", text, "volume_invalid"}.fault("a relative host path has no base here");
  const bool directory = mount.source.ends_with('/');
  mount.source = spec::resolve_textually(base, mount.source);
  if (directory && mount.source != "/") mount.source += '/';
  return mount;
}

Result<Mount> parse_tmpfs(std::string_view text) {
  const Input input{"tmpfs", text, "tmpfs_invalid"};
  const std::size_t colon = text.find(':');
  Mount mount{.type = MountType::kTmpfs};
  if (!spec::is_absolute(text)) return input.fault("the path is not absolute");
  mount.target = spec::tidy_path(text.substr(0, colon));
  if (colon == std::string_view::npos) return mount;
  std::set<std::string_view> seen;
  for (std::string_view word : spec::split(text.substr(colon + 1), ',')) {
    const Option option = to_option(word);
    const std::string_view key = word == "rw" ? "readonly" : canonical_key(option.key);
    TRY(refuse_repeated(input, key, seen));
    if (word == "rw" || TRY(apply_tmpfs_option(input, key, option, mount))) continue;
    return input.fault(
        format("unknown option {}", quote(option.key)),
        spec::suggest(option.key, {"size", "mode", "inodes", "ro", "rw"}, "options"));
  }
  return mount;
}

}  // namespace caisson
