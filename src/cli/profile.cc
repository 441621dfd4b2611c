// caisson profile: the sets of defaults, and what overrides each of them.
#include "caisson/profile.h"

#include "cli/json_output.h"
#include "cli/subcommands.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool json = false;
};

constexpr CommandText kList = {"profile ls", "[OPTIONS]", "List the profiles, the strictest first.",
                               "  caisson profile ls\n"};
constexpr CommandText kShow = {
    "profile show", "[OPTIONS] NAME",
    "Print what a profile gives to a box, and the option and the member of a box file that come\n"
    "before it.",
    "  caisson profile show minimal\n"};
constexpr Option<Settings> kListOptions[] = {
    {{"--json", "", "one JSON object a line"}, set_true<&Settings::json>},
};
constexpr Option<Settings> kShowOptions[] = {
    {{"--json", "", "print one JSON object"}, set_true<&Settings::json>},
};

std::string yes_or_no(bool value) { return value ? "yes" : "no"; }

std::string joined(std::span<const std::string_view> words) {
  std::string text;
  for (std::string_view word : words) text.append(text.empty() ? "" : " ").append(word);
  return text.empty() ? "none" : text;
}

std::string size_or_dash(const std::optional<std::uint64_t>& bytes) {
  return bytes ? human_size(*bytes) : "-";
}

std::string number_or_dash(const std::optional<std::uint64_t>& number) {
  return number ? std::to_string(*number) : "-";
}

std::string list_table() {
  Table table({"NAME", "ROOT", "CAPABILITIES", "SET-ID", "SYSTEM CALLS", "PROCESSES", "TMPFS",
               "PROTECTED", "ABOUT"});
  for (const ProfileInfo& info : profiles())
    table.add({std::string(to_string(info.profile)), info.read_only_root ? "read-only" : "writable",
               std::to_string(info.capabilities.size()), yes_or_no(!info.no_new_privileges),
               std::string(info.seccomp), number_or_dash(info.limits.pids),
               size_or_dash(info.limits.tmpfs_bytes), std::to_string(info.protect.size()),
               std::string(info.about)});
  return table.text();
}

/// One limit: how it is printed, and what overrides it.
struct LimitRow {
  std::string_view field;
  std::string_view option;
  std::optional<std::string> (*text)(const Limits& limits);
};

template <auto Member>
std::optional<std::string> size_text(const Limits& limits) {
  if (!(limits.*Member)) return std::nullopt;
  return human_size(*(limits.*Member));
}

template <auto Member>
std::optional<std::string> number_text(const Limits& limits) {
  if (!(limits.*Member)) return std::nullopt;
  return std::to_string(*(limits.*Member));
}

template <auto Member>
std::optional<std::string> time_limit_text(const Limits& limits) {
  if (!(limits.*Member)) return std::nullopt;
  return human_duration((limits.*Member)->count());
}

constexpr LimitRow kLimits[] = {
    {"memory_bytes", "--memory", size_text<&Limits::memory_bytes>},
    {"pids", "--pids", number_text<&Limits::pids>},
    {"cpus", "--cpus", number_text<&Limits::cpus>},
    {"cpu_weight", "--cpu-weight", number_text<&Limits::cpu_weight>},
    {"cpu_time_ns", "--cpu-time", time_limit_text<&Limits::cpu_time>},
    {"wall_time_ns", "--timeout", time_limit_text<&Limits::wall_time>},
    {"open_files", "--open-files", number_text<&Limits::open_files>},
    {"file_size_bytes", "--file-size", size_text<&Limits::file_size_bytes>},
    {"disk_bytes", "--disk", size_text<&Limits::disk_bytes>},
    {"tmpfs_bytes", "--tmpfs-size", size_text<&Limits::tmpfs_bytes>},
    {"tmpfs_inodes", "--tmpfs inodes=", number_text<&Limits::tmpfs_inodes>},
    {"output", "--output-limit",
     [](const Limits& limits) { return std::optional(human_size(limits.output.max_bytes)); }},
};

/// What comes before each field, as an option and as a member of a box file.
std::string show_table(const ProfileInfo& info) {
  Table table({"FIELD", "VALUE", "OPTION", "IN A BOX FILE"});
  table.add({"about", std::string(info.about), "", ""});
  table.add({"read_only_root", yes_or_no(info.read_only_root), "--read-only, --writable",
             "read_only_root"});
  table.add({"no_new_privileges", yes_or_no(info.no_new_privileges),
             "--security no-new-privileges[=false]", "security.no_new_privileges"});
  table.add({"seccomp", std::string(info.seccomp), "--security seccomp=", "security.seccomp"});
  table.add({"network", std::string(to_string(info.network)), "--network", "network"});
  for (const LimitRow& row : kLimits)
    if (auto text = row.text(info.limits))
      table.add({"limits." + std::string(row.field), *std::move(text), std::string(row.option),
                 "limits." + std::string(row.field)});
  table.add({"capabilities", std::to_string(info.capabilities.size()), "--cap-add, --cap-drop",
             "security.cap_add, cap_drop"});
  table.add({"protect", std::to_string(info.protect.size()), "--protect, --no-default-protect",
             "protect, protect_defaults"});
  return table.text() + "\nCapabilities: " + joined(info.capabilities) +
         "\nProtected: " + joined(info.protect) + "\n";
}

int list(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kList, kListOptions, Order::kAnywhere, args, settings, words))
    return *done;
  if (!words.empty())
    return fail(
        usage_error(kList.name, "argument_unexpected", "'" + words.front() + "' says nothing here",
                    "caisson profile show NAME shows one profile"),
        settings.json);
  if (!settings.json) return print(list_table());
  std::string lines;
  for (const ProfileInfo& info : profiles()) lines += to_json(info) + "\n";
  return print(lines);
}

int show(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kShow, kShowOptions, Order::kAnywhere, args, settings, words))
    return *done;
  if (words.size() != 1)
    return fail(words.empty()
                    ? usage_error(kShow.name, "argument_missing", "NAME is missing",
                                  "caisson profile ls lists the names")
                    : usage_error(kShow.name, "argument_unexpected",
                                  "'" + words[1] + "' is one too many, it takes one NAME"),
                settings.json);
  auto profile = parse_profile(words.front());
  if (!profile) return fail(profile.error(), settings.json);
  const ProfileInfo& info = profile_info(*profile);
  return print(settings.json ? to_json(info) + "\n" : show_table(info));
}

constexpr Command kCommands[] = {
    {"ls", "list the profiles and their main differences", list},
    {"show", "print every default of a profile, and what overrides it", show},
};

}  // namespace

std::span<const Command> profile_commands() { return kCommands; }

int profile_command(Args args) {
  return run_group({"profile", "Profiles: named sets of defaults for boxes (--profile).",
                    "  caisson profile show standard\n", kCommands},
                   args);
}

}  // namespace caisson::cli
