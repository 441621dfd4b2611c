#include "spec/seccomp_policy.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"

namespace caisson {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxPolicyBytes = 1u << 20;
constexpr std::uint16_t kEperm = 1;

/// Text of the policy in an error message: one line, and not the whole file.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, 64));
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return out;
}

Error invalid(std::string_view object, std::string_view cause) {
  return make_error(Code::kInvalidArgument, "seccomp_policy_invalid",
                    format("read seccomp policy '{}': {}", object, cause),
                    "the format is Docker's; see docs/seccomp.md");
}

/// The member `key`, or null when it is absent or JSON's null: Go's decoder takes both alike.
const Json* find(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

Result<std::string> read_text(const Json& object, const char* key, const std::string& where) {
  const Json* member = find(object, key);
  if (member == nullptr) return std::string();
  if (!member->is_string()) return invalid(where + key, "not a string");
  return member->get<std::string>();
}

Result<std::uint64_t> read_number(const Json& object, const char* key, std::uint64_t max,
                                  const std::string& where) {
  const Json* member = find(object, key);
  if (member == nullptr) return std::uint64_t{0};
  if (!member->is_number_unsigned()) return invalid(where + key, "not a whole number from 0");
  const auto number = member->get<std::uint64_t>();
  if (number > max) return invalid(where + key, format("larger than {}", max));
  return number;
}

/// A member that is a list, or null when absent.
Result<const Json*> read_list(const Json& object, const char* key, const std::string& where) {
  const Json* member = find(object, key);
  if (member != nullptr && !member->is_array()) return invalid(where + key, "not a list");
  return member;
}

Result<std::vector<std::string>> read_texts(const Json& object, const char* key,
                                            const std::string& where) {
  std::vector<std::string> texts;
  const Json* list = TRY(read_list(object, key, where));
  if (list == nullptr) return texts;
  for (const Json& item : *list) {
    if (!item.is_string()) return invalid(where + key, "holds something that is not a string");
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

template <class T>
struct Word {
  std::string_view word;
  T meaning;
};

constexpr Word<SeccompAction> kActions[] = {
    {"SCMP_ACT_ALLOW", SeccompAction::kAllow},
    {"SCMP_ACT_ERRNO", SeccompAction::kErrno},
    {"SCMP_ACT_KILL", SeccompAction::kKillThread},
    {"SCMP_ACT_KILL_THREAD", SeccompAction::kKillThread},
    {"SCMP_ACT_KILL_PROCESS", SeccompAction::kKillProcess},
    {"SCMP_ACT_TRAP", SeccompAction::kTrap},
    {"SCMP_ACT_TRACE", SeccompAction::kTrace},
    {"SCMP_ACT_LOG", SeccompAction::kLog},
};

constexpr Word<SeccompCompare> kOperators[] = {
    {"SCMP_CMP_NE", SeccompCompare::kNotEqual},           {"SCMP_CMP_LT", SeccompCompare::kLess},
    {"SCMP_CMP_LE", SeccompCompare::kLessEqual},          {"SCMP_CMP_EQ", SeccompCompare::kEqual},
    {"SCMP_CMP_GE", SeccompCompare::kGreaterEqual},       {"SCMP_CMP_GT", SeccompCompare::kGreater},
    {"SCMP_CMP_MASKED_EQ", SeccompCompare::kMaskedEqual},
};

template <class T, std::size_t N>
Result<T> meaning_of(const Word<T> (&words)[N], std::string_view word, const std::string& where,
                     std::string_view kind) {
  for (const Word<T>& known : words)
    if (known.word == word) return known.meaning;
  if (word.empty()) return invalid(where, format("the {} is missing", kind));
  return invalid(where, format("unknown {} '{}'", kind, shown(word)));
}

/// `action` and its number. ERRNO without a number means EPERM.
Result<SeccompDecision> read_decision(const Json& object, const char* action_key,
                                      const char* number_key, const std::string& where) {
  const std::string word = TRY(read_text(object, action_key, where));
  if (word == "SCMP_ACT_NOTIFY")
    return invalid(where + action_key, "SCMP_ACT_NOTIFY is not supported: a box has no listener");
  SeccompDecision decision;
  decision.action = TRY(meaning_of(kActions, word, where + action_key, "action"));
  const std::uint64_t number = TRY(read_number(object, number_key, 0xffff, where));
  const bool takes_number =
      decision.action == SeccompAction::kErrno || decision.action == SeccompAction::kTrace;
  if (takes_number)
    decision.value =
        find(object, number_key) == nullptr ? kEperm : static_cast<std::uint16_t>(number);
  return decision;
}

Result<std::optional<KernelVersion>> read_min_kernel(const Json& object, const std::string& where) {
  const std::string text = TRY(read_text(object, "minKernel", where));
  if (text.empty()) return std::optional<KernelVersion>();
  const auto version = parse_kernel_release(text);
  const bool plain = std::count(text.begin(), text.end(), '.') == 1 &&
                     text.find_first_not_of("0123456789.") == std::string::npos;
  if (!version || !plain || *version == KernelVersion{})
    return invalid(where + "minKernel", format("'{}' is not KERNEL.MAJOR", shown(text)));
  return version;
}

Result<SeccompPolicyFilter> read_filter(const Json& rule, const char* key,
                                        const std::string& where) {
  SeccompPolicyFilter filter;
  const Json* member = find(rule, key);
  if (member == nullptr) return filter;
  if (!member->is_object()) return invalid(where + key, "not an object");
  const std::string inner = where + key + ".";
  filter.caps = TRY(read_texts(*member, "caps", inner));
  filter.arches = TRY(read_texts(*member, "arches", inner));
  filter.min_kernel = TRY(read_min_kernel(*member, inner));
  return filter;
}

Result<SeccompCondition> read_condition(const Json& item, const std::string& where) {
  constexpr std::uint64_t kAny = std::numeric_limits<std::uint64_t>::max();
  if (!item.is_object()) return invalid(where, "not an object");
  SeccompCondition condition;
  const std::string inner = where + ".";
  condition.argument = static_cast<unsigned>(TRY(read_number(item, "index", 5, inner)));
  condition.value = TRY(read_number(item, "value", kAny, inner));
  condition.value_two = TRY(read_number(item, "valueTwo", kAny, inner));
  const std::string word = TRY(read_text(item, "op", inner));
  condition.compare = TRY(meaning_of(kOperators, word, inner + "op", "operator"));
  return condition;
}

Result<std::vector<std::string>> read_names(const Json& item, const std::string& where) {
  std::vector<std::string> names = TRY(read_texts(item, "names", where));
  std::string name = TRY(read_text(item, "name", where));
  if (!name.empty()) {
    if (!names.empty()) return invalid(where + "name", "both 'name' and 'names' are given");
    names.push_back(std::move(name));
  }
  if (names.empty()) return invalid(where + "names", "no system call is named");
  return names;
}

Result<SeccompPolicyRule> read_rule(const Json& item, const std::string& where) {
  if (!item.is_object()) return invalid(where, "not an object");
  const std::string inner = where + ".";
  SeccompPolicyRule rule;
  rule.names = TRY(read_names(item, inner));
  rule.decision = TRY(read_decision(item, "action", "errnoRet", inner));
  rule.includes = TRY(read_filter(item, "includes", inner));
  rule.excludes = TRY(read_filter(item, "excludes", inner));
  const Json* arguments = TRY(read_list(item, "args", inner));
  if (arguments == nullptr) return rule;
  for (std::size_t i = 0; i < arguments->size(); ++i)
    rule.conditions.push_back(TRY(read_condition((*arguments)[i], format("{}args[{}]", inner, i))));
  return rule;
}

Result<> check_architecture(const std::string& name, const std::string& where) {
  if (name.starts_with("SCMP_ARCH_")) return {};
  return invalid(where, format("unknown architecture '{}'", shown(name)));
}

Result<std::vector<SeccompPolicyArchitecture>> read_arch_map(const Json& root) {
  std::vector<SeccompPolicyArchitecture> map;
  const Json* list = TRY(read_list(root, "archMap", ""));
  if (list == nullptr) return map;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string where = format("archMap[{}]", i);
    const Json& item = (*list)[i];
    if (!item.is_object()) return invalid(where, "not an object");
    SeccompPolicyArchitecture entry;
    entry.architecture = TRY(read_text(item, "architecture", where + "."));
    entry.sub_architectures = TRY(read_texts(item, "subArchitectures", where + "."));
    TRY(check_architecture(entry.architecture, where));
    for (const std::string& name : entry.sub_architectures) TRY(check_architecture(name, where));
    map.push_back(std::move(entry));
  }
  return map;
}

Result<SeccompPolicy> read_policy(const Json& root) {
  if (!root.is_object()) return invalid("policy", "not a JSON object");
  SeccompPolicy policy;
  policy.default_decision = TRY(read_decision(root, "defaultAction", "defaultErrnoRet", ""));
  policy.architectures = TRY(read_texts(root, "architectures", ""));
  for (const std::string& name : policy.architectures)
    TRY(check_architecture(name, "architectures"));
  policy.arch_map = TRY(read_arch_map(root));
  if (!policy.architectures.empty() && !policy.arch_map.empty())
    return invalid("archMap", "both 'architectures' and 'archMap' are given");
  const Json* rules = TRY(read_list(root, "syscalls", ""));
  if (rules == nullptr) return policy;
  for (std::size_t i = 0; i < rules->size(); ++i)
    policy.rules.push_back(TRY(read_rule((*rules)[i], format("syscalls[{}]", i))));
  return policy;
}

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

bool counts(const SeccompPolicyRule& rule, const SeccompPolicyContext& context) {
  const auto granted = [&](const std::string& cap) { return context.capabilities.contains(cap); };
  const SeccompPolicyFilter& without = rule.excludes;
  if (contains(without.arches, context.arch)) return false;
  if (std::any_of(without.caps.begin(), without.caps.end(), granted)) return false;
  if (without.min_kernel && context.kernel >= *without.min_kernel) return false;
  const SeccompPolicyFilter& with = rule.includes;
  if (!with.arches.empty() && !contains(with.arches, context.arch)) return false;
  if (!std::all_of(with.caps.begin(), with.caps.end(), granted)) return false;
  return !with.min_kernel || context.kernel >= *with.min_kernel;
}

std::string_view native_architecture(std::string_view arch) {
  if (arch == "amd64") return "SCMP_ARCH_X86_64";
  if (arch == "arm64") return "SCMP_ARCH_AARCH64";
  return {};
}

}  // namespace

std::optional<KernelVersion> parse_kernel_release(std::string_view release) {
  KernelVersion version;
  const char* end = release.data() + release.size();
  const auto kernel = std::from_chars(release.data(), end, version.kernel);
  if (kernel.ec != std::errc() || kernel.ptr == end || *kernel.ptr != '.') return {};
  const auto major = std::from_chars(kernel.ptr + 1, end, version.major);
  if (major.ec != std::errc()) return {};
  return version;
}

Result<SeccompPolicy> parse_seccomp_policy(std::string_view json) {
  if (json.size() > kMaxPolicyBytes)
    return invalid("policy", format("larger than {} bytes", kMaxPolicyBytes));
  try {
    return read_policy(Json::parse(json));
  } catch (const Json::parse_error& error) {
    return invalid("policy", format("not valid JSON at byte {}", error.byte));
  } catch (const Json::exception&) {
    return invalid("policy", "not valid JSON");
  }
}

SeccompPolicy resolve(const SeccompPolicy& policy, const SeccompPolicyContext& context) {
  SeccompPolicy result;
  result.default_decision = policy.default_decision;
  result.architectures = policy.architectures;
  const std::string_view native = native_architecture(context.arch);
  for (const SeccompPolicyArchitecture& entry : policy.arch_map) {
    if (entry.architecture != native) continue;
    result.architectures.push_back(entry.architecture);
    result.architectures.insert(result.architectures.end(), entry.sub_architectures.begin(),
                                entry.sub_architectures.end());
    break;
  }
  for (const SeccompPolicyRule& rule : policy.rules) {
    if (!counts(rule, context)) continue;
    result.rules.push_back({rule.names, rule.decision, rule.conditions, {}, {}});
  }
  return result;
}

}  // namespace caisson
