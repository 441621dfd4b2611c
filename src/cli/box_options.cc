#include "cli/box_options.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

#include "cli/box_file.h"
#include "cli/image_text.h"
#include "cli/json_output.h"

namespace caisson::cli {
namespace {

Error value_error(std::string_view text, std::string_view expected) {
  return cli_error(Code::kInvalidArgument, "option_value_invalid",
                   "parse '" + std::string(text) + "': not " + std::string(expected));
}

Result<double> parse_cpus(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end)
    return value_error(text, "a number of processors such as 1.5");
  return number;
}

// The member that the pointers lead to becomes what `Parse` makes of the value:
// `put<parse_size, &BoxSpec::limits, &Limits::memory_bytes>`.
template <auto Parse, auto... Path>
Result<> put(BoxOptions& into, std::string_view value) {
  auto parsed = Parse(value);
  if (!parsed) return std::move(parsed.error());
  (into.spec.*....*Path) = *std::move(parsed);
  return {};
}

template <auto Member>
Result<> put_text(BoxOptions& into, std::string_view value) {
  into.spec.*Member = std::string(value);
  return {};
}

template <auto Member, bool kValue = true>
Result<> put_flag(BoxOptions& into, std::string_view) {
  into.spec.*Member = kValue;
  return {};
}

template <auto Parse>
Result<> add_mount(BoxOptions& into, std::string_view value) {
  auto mount = Parse(value);
  if (!mount) return std::move(mount.error());
  into.spec.mounts.push_back(*std::move(mount));
  return {};
}

Result<Mount> parse_volume_here(std::string_view text) {
  return parse_volume(text, working_directory());
}

// docker's: one word, or (podman's) a JSON list of them; an empty one stands for no entry point.
Result<> set_entrypoint(BoxOptions& into, std::string_view value) {
  auto& entrypoint = into.spec.entrypoint.emplace();
  if (value.empty()) return {};
  if (!value.starts_with('[')) return entrypoint.emplace_back(value), Result<>();
  auto words = strings_from_json(value);
  if (!words) return value_error(value, "a JSON list of strings");
  entrypoint = *std::move(words);
  return {};
}

Result<> add_label(BoxOptions& into, std::string_view value) {
  const std::size_t equals = value.find('=');
  into.spec.labels[std::string(value.substr(0, equals))] =
      equals == std::string_view::npos ? "" : value.substr(equals + 1);
  return {};
}

// docker's spelling of --open-files: "nofile=N" or "nofile=SOFT:HARD" with both the same.
Result<> set_ulimit(BoxOptions& into, std::string_view value) {
  constexpr std::string_view kKnown = "nofile=";
  if (!value.starts_with(kKnown)) return value_error(value, "nofile=N, the one limit known here");
  const std::string_view numbers = value.substr(kKnown.size());
  const std::size_t colon = numbers.find(':');
  if (colon != std::string_view::npos && numbers.substr(0, colon) != numbers.substr(colon + 1)) {
    return value_error(value, "nofile=N; soft and hard limit are the same in a box");
  }
  return put<parse_count, &BoxSpec::limits, &Limits::open_files>(into, numbers.substr(0, colon));
}

Result<> set_seccomp(SecurityOptions& security, const std::string& file) {
  security.seccomp_policy.clear();
  if (file == "unconfined") {
    security.seccomp = SeccompMode::kUnconfined;
    return {};
  }
  auto policy = read_file(file, "seccomp_policy_unreadable");
  if (!policy) return std::move(policy.error());
  security.seccomp = SeccompMode::kCustom;
  security.seccomp_policy = *std::move(policy);
  return {};
}

// docker's: "no-new-privileges", also with "=true" or ":false".
Result<> set_security(BoxOptions& into, std::string_view value) {
  const std::size_t separator = value.find_first_of("=:");
  const std::string_view name = value.substr(0, separator);
  const bool alone = separator == std::string_view::npos;
  const std::string_view rest = alone ? std::string_view() : value.substr(separator + 1);
  SecurityOptions& security = into.spec.security;
  if (name == "seccomp" && !rest.empty()) return set_seccomp(security, std::string(rest));
  if (name == "no-new-privileges" && (alone || rest == "true" || rest == "false")) {
    security.no_new_privileges = rest != "false";
    return {};
  }
  return value_error(value, "seccomp=FILE, seccomp=unconfined or no-new-privileges[=true|false]");
}

// Calls `use` with each word of "a,b"; stops at the first error.
template <class F>
Result<> each_word(std::string_view value, const F& use) {
  while (!value.empty()) {
    const std::size_t comma = value.find(',');
    if (auto used = use(value.substr(0, comma)); !used) return used;
    value = comma == std::string_view::npos ? std::string_view() : value.substr(comma + 1);
  }
  return {};
}

template <auto... Path>
Result<> add_words(BoxOptions& into, std::string_view value) {
  return each_word(value, [&](std::string_view word) {
    return (into.spec.*....*Path).emplace(word), Result<>();
  });
}

template <auto Member>
Result<> add_host_path(BoxOptions& into, std::string_view value) {
  (into.spec.access.*Member).push_back(absolute_path(std::string(value), working_directory()));
  return {};
}

template <auto Member>
Result<> add_ports(BoxOptions& into, std::string_view value) {
  return each_word(value, [&](std::string_view word) -> Result<> {
    auto port = parse_count(word);
    if (!port) return std::move(port.error());
    if (*port == 0 || *port > 65'535) return value_error(word, "a port from 1 to 65535");
    (into.spec.access.*Member).push_back(static_cast<std::uint16_t>(*port));
    return {};
  });
}

// The same path inside as outside.
template <bool kReadOnly>
Result<> add_same_path(BoxOptions& into, std::string_view value) {
  std::string path = absolute_path(std::string(value), working_directory());
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  into.spec.mounts.push_back({.source = path, .target = path, .read_only = kReadOnly});
  return {};
}

/// docker's: a line for the shell of the box.
Result<> set_health_command(BoxOptions& into, std::string_view value) {
  if (!into.spec.health) into.spec.health.emplace();
  into.spec.health->command = {"/bin/sh", "-c", std::string(value)};
  return {};
}

template <auto Parse, auto Member>
Result<> put_health(BoxOptions& into, std::string_view value) {
  auto parsed = Parse(value);
  if (!parsed) return std::move(parsed.error());
  if (!into.spec.health) into.spec.health.emplace();
  (*into.spec.health).*Member = *std::move(parsed);
  return {};
}

Result<unsigned> parse_retries(std::string_view text) {
  auto number = parse_count(text);
  if (!number) return std::move(number.error());
  if (*number == 0 || *number > 1'000'000) return value_error(text, "a number from 1");
  return static_cast<unsigned>(*number);
}

using Box = BoxSpec;
constexpr Option<BoxOptions> kTable[] = {
    {{"-f,--file", "FILE", "a box as YAML or JSON; - is standard input; options come on top"},
     set_text<&BoxOptions::file>},
    {{"--name", "NAME", "a name for the box, unique in this home"}, put_text<&Box::name>},
    {{"--isolation", "LEVEL",
      "how strongly the box is separated: host, process, container or microvm"},
     put<parse_isolation, &Box::isolation>},
    {{"--pull", "WHEN", "an image: when it is missing (default), always or never"},
     put<parse_pull_policy, &Box::pull>},
    {{"--platform", "OS/ARCH", "an image: for this platform, e.g. linux/arm64"},
     put_text<&Box::platform>},
    {{"--rootfs", "HOW", "an image's layers become: overlay (default), merged or disk"},
     put<parse_rootfs_strategy, &Box::rootfs>},
    {{"--entrypoint", "COMMAND", "instead of the image's entry point: a word or a JSON list"},
     set_entrypoint},
    {{"-q,--quiet", "", "pull an image without showing it"}, set_true<&BoxOptions::quiet>},
    {{"-e,--env", "K=V", "set a variable; K alone copies it from this environment"},
     [](BoxOptions& o, std::string_view v) { return o.env.variables.emplace_back(v), Result<>(); }},
    {{"--env-file", "FILE", "set the variables in FILE, one K=V a line"},
     [](BoxOptions& o, std::string_view v) { return o.env.files.emplace_back(v), Result<>(); }},
    {{"-w,--workdir", "DIR", "directory in the box to start in"}, put_text<&Box::workdir>},
    {{"-u,--user", "USER", "UID[:GID] or NAME[:GROUP] to run as"}, put_text<&Box::user>},
    {{"--group-add", "GROUP", "one more group, by name or number"},
     [](BoxOptions& o, std::string_view v) { return o.spec.groups.emplace_back(v), Result<>(); }},
    {{"--hostname", "NAME", "host name in the box"}, put_text<&Box::hostname>},
    {{"--mount", "SPEC",
      "type=bind|volume,source=A,target=/b[,readonly][,idmap=off], or type=tmpfs"},
     add_mount<parse_mount>},
    {{"-v,--volume", "A:B[:OPTS]", "show host path or volume A as B in the box; ro, idmap="},
     add_mount<parse_volume_here>},
    {{"--allow-ro", "PATH", "show PATH of the host at the same place in the box, read-only"},
     add_same_path<true>},
    {{"--allow-rw", "PATH", "the same, writable"}, add_same_path<false>},
    {{"--allow-read", "PATH", "isolation process or host: may read PATH and below"},
     add_host_path<&HostAccess::read>},
    {{"--allow-write", "PATH", "the same: may also change, make and remove"},
     add_host_path<&HostAccess::write>},
    {{"--allow-exec", "PATH", "the same: may read, and run as programs"},
     add_host_path<&HostAccess::execute>},
    {{"--allow-connect-port", "N[,N]", "isolation process or host: may connect to TCP ports"},
     add_ports<&HostAccess::connect_ports>},
    {{"--allow-bind-port", "N[,N]", "isolation process or host: may listen on TCP ports"},
     add_ports<&HostAccess::bind_ports>},
    {{"--protect", "PATH", "stays as it is: absolute in the box, or below each writable mount"},
     [](BoxOptions& o, std::string_view v) { return o.spec.protect.emplace_back(v), Result<>(); }},
    {{"--no-default-protect", "", "without the protected paths of the profile"},
     put_flag<&Box::protect_defaults, false>},
    {{"--tmpfs", "DIR[:OPTS]", "empty directory in memory; size=, mode=, inodes=, ro"},
     add_mount<parse_tmpfs>},
    {{"--read-only", "", "make the root file system read-only"}, put_flag<&Box::read_only_root>},
    {{"--writable", "", "make it writable, whatever the profile says"},
     put_flag<&Box::read_only_root, false>},
    {{"-m,--memory", "SIZE", "most memory, swap included, e.g. 64m"},
     put<parse_size, &Box::limits, &Limits::memory_bytes>},
    {{"--cpus", "N", "most processors, e.g. 1.5"}, put<parse_cpus, &Box::limits, &Limits::cpus>},
    {{"--cpu-weight", "N", "share of busy processors, 1 to 10000; 100 is normal"},
     put<parse_count, &Box::limits, &Limits::cpu_weight>},
    {{"--pids,--pids-limit", "N", "most processes and threads"},
     put<parse_count, &Box::limits, &Limits::pids>},
    {{"--timeout", "TIME", "end the box after this wall time, e.g. 30s"},
     put<parse_duration, &Box::limits, &Limits::wall_time>},
    {{"--idle-timeout", "TIME", "pause the box when nobody used it for so long; an exec wakes it"},
     put<parse_duration, &Box::idle_timeout>},
    {{"--idle-action", "ACTION", "what --idle-timeout does: pause (default) or stop"},
     put<parse_idle_action, &Box::idle_action>},
    {{"--max-lifetime", "TIME", "end the box after this time, restarts and pauses included"},
     put<parse_duration, &Box::max_lifetime>},
    {{"--restart", "POLICY", "no (default), on-failure[:N] or always"},
     put<parse_restart_policy, &Box::restart>},
    {{"--health-cmd", "COMMAND", "shell command that tells by its status whether all is well"},
     set_health_command},
    {{"--health-interval", "TIME", "between two checks (30s)"},
     put_health<parse_duration, &HealthCheck::interval>},
    {{"--health-timeout", "TIME", "a check that takes longer has failed (30s)"},
     put_health<parse_duration, &HealthCheck::timeout>},
    {{"--health-start-period", "TIME", "failures before the first success do not count (0s)"},
     put_health<parse_duration, &HealthCheck::start_period>},
    {{"--health-retries", "N", "so many failures in a row are unhealthy (3)"},
     put_health<parse_retries, &HealthCheck::retries>},
    {{"--replay", "SIZE", "output kept for who attaches again (1m)"},
     put<parse_size, &Box::replay_bytes>},
    {{"--cpu-time", "TIME", "end the box after this much processor time"},
     put<parse_duration, &Box::limits, &Limits::cpu_time>},
    {{"--open-files", "N", "most open files of a process"},
     put<parse_count, &Box::limits, &Limits::open_files>},
    {{"--ulimit", "nofile=N", "the same as --open-files N"}, set_ulimit},
    {{"--file-size", "SIZE", "largest file that can be written"},
     put<parse_size, &Box::limits, &Limits::file_size_bytes>},
    {{"--output-limit", "SIZE[:ACTION]",
      "most output kept (10m); more is dropped, :rotate drops the oldest, :kill ends the box"},
     put<parse_output_limit, &Box::limits, &Limits::output>},
    {{"--disk", "SIZE", "most that the box may write to its root"},
     put<parse_size, &Box::limits, &Limits::disk_bytes>},
    {{"--disk-bps", "SIZE", "isolation microvm: most bytes a second from and to the disk"},
     put<parse_size, &Box::limits, &Limits::disk_bytes_per_second>},
    {{"--disk-iops", "N", "the same: most operations a second"},
     put<parse_count, &Box::limits, &Limits::disk_operations_per_second>},
    {{"--kernel", "FILE", "isolation microvm: boot this kernel instead of the guest's"},
     [](BoxOptions& o, std::string_view v) {
       o.spec.machine.kernel = absolute_path(std::string(v), working_directory());
       return Result<>();
     }},
    {{"--cold", "", "isolation microvm: boot, instead of going on from a template"},
     [](BoxOptions& o, std::string_view) { return o.spec.machine.cold = true, Result<>(); }},
    {{"--ready-timeout", "TIME", "isolation microvm: longest wait for its guest (60s)"},
     put<parse_duration, &Box::machine, &MachineOptions::ready_timeout>},
    {{"--tmpfs-size", "SIZE", "size of each tmpfs that names none"},
     put<parse_size, &Box::limits, &Limits::tmpfs_bytes>},
    {{"--network", "MODE", "none (default) or host"}, put<parse_network, &Box::network>},
    {{"-d,--detach", "", "start in the background and print the id"},
     set_true<&BoxOptions::detach>},
    {{"-i,--interactive", "", "connect standard input"}, put_flag<&Box::open_stdin>},
    {{"-t,--tty", "", "give the command a terminal"}, put_flag<&Box::tty>},
    {{"--init", "", "as in docker; says nothing here, every box has an init that reaps"},
     [](BoxOptions&, std::string_view) { return Result<>(); }},
    {{"--rm", "", "remove the box when it has ended"}, put_flag<&Box::auto_remove>},
    {{"-l,--label", "K=V", "attach a label"}, add_label},
    {{"--profile", "NAME", "minimal, standard (default) or full"},
     put<parse_profile, &Box::profile>},
    {{"--cap-add", "CAP[,CAP]", "one more capability of root in the box, or ALL"},
     add_words<&Box::security, &SecurityOptions::cap_add>},
    {{"--cap-drop", "CAP[,CAP]", "one less, or ALL: then only those of --cap-add"},
     add_words<&Box::security, &SecurityOptions::cap_drop>},
    {{"--security,--security-opt", "K[=V]",
      "seccomp=FILE in docker's format, seccomp=unconfined, no-new-privileges[=false]"},
     set_security},
    {{"--stop-signal", "SIGNAL", "signal that asks the command to end (TERM)"},
     put_text<&Box::stop_signal>},
    {{"--allow-missing", "LIMIT", "go on when this host cannot enforce LIMIT"},
     add_words<&Box::allow_missing>},
    {{"--json", "", "capture the output; print one JSON object as the last line"},
     set_true<&BoxOptions::json>},
    {{"--cidfile", "FILE", "write the id into a new file"}, set_text<&BoxOptions::id_file>},
};

/// The file of -f, which is read before any option is applied; empty without it.
std::string file_option(Args args) {
  std::string file;
  const auto note = [&](std::size_t i, std::string_view value) {
    if (kTable[i].names == "-f,--file") file = value;
    return Result<>();
  };
  auto read = read_options(texts(box_option_table()), Order::kOptionsFirst, args, note);
  return read && !read->help ? file : "";  // the parser that follows tells what is wrong
}

/// A mount of the command line takes the place of the file's at the same target.
void merge_mounts(std::vector<Mount>& mounts, std::size_t of_file) {
  const auto added = std::span(mounts).subspan(of_file);
  std::vector<Mount> kept;
  for (const Mount& mount : std::span(mounts).first(of_file))
    if (std::ranges::count(added, mount.target, &Mount::target) == 0) kept.push_back(mount);
  kept.insert(kept.end(), added.begin(), added.end());
  mounts = std::move(kept);
}

/// What is named on the command line replaces what the file says.
Result<> take_words(const CommandText& text, std::vector<std::string> words, BoxOptions& into) {
  BoxSpec& spec = into.spec;
  drop_separator(words);
  if (!words.empty()) {
    spec.source = absolute_source(std::move(words.front()), working_directory());
    words.erase(words.begin());
    if (!words.empty()) spec.command = std::move(words);
  }
  const std::string hint = "caisson " + std::string(text.name) + " host: -- COMMAND";
  if (into.words_optional) return {};
  if (spec.source.empty())
    return usage_error(text.name, "argument_missing", "SOURCE is missing", hint);
  if (spec.command.empty() && !is_image(spec.source))  // an image may have a command of its own
    return usage_error(text.name, "command_missing", "COMMAND is missing", hint);
  return {};
}

}  // namespace

std::span<const Option<BoxOptions>> box_option_table() { return kTable; }

std::optional<int> parse_box(const CommandText& text, Args args, BoxOptions& into) {
  if (const std::string file = file_option(args); !file.empty()) {
    auto spec = read_box_file(file);
    if (!spec) {
      const bool json = asks_for_json(texts(box_option_table()), Order::kOptionsFirst, args);
      return fail(spec.error(), json);
    }
    into.spec = *std::move(spec);
  }
  const std::size_t mounts_of_file = into.spec.mounts.size();
  std::vector<std::string> words;
  if (auto done = parse(text, box_option_table(), Order::kOptionsFirst, args, into, words)) {
    return done;
  }
  merge_mounts(into.spec.mounts, mounts_of_file);
  auto env = into.env.resolve();
  if (!env) return fail(env.error(), into.json);
  for (auto& [name, value] : *env) into.spec.env[name] = std::move(value);
  if (auto taken = take_words(text, std::move(words), into); !taken)
    return fail(taken.error(), into.json);
  return std::nullopt;
}

}  // namespace caisson::cli
