#include "cli/box_options.h"

#include <charconv>
#include <utility>

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

template <auto Member>
Result<> put_true(BoxOptions& into, std::string_view) {
  into.spec.*Member = true;
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

Result<> set_security(BoxOptions& into, std::string_view value) {
  constexpr std::string_view kSeccomp = "seccomp=";
  if (!value.starts_with(kSeccomp) || value.size() == kSeccomp.size()) {
    return value_error(value, "seccomp=FILE or seccomp=unconfined");
  }
  const std::string file(value.substr(kSeccomp.size()));
  into.spec.security.seccomp_policy.clear();
  if (file == "unconfined") {
    into.spec.security.seccomp = SeccompMode::kUnconfined;
    return {};
  }
  auto policy = read_file(file, "seccomp_policy_unreadable");
  if (!policy) return std::move(policy.error());
  into.spec.security.seccomp = SeccompMode::kCustom;
  into.spec.security.seccomp_policy = *std::move(policy);
  return {};
}

Result<> allow_missing(BoxOptions& into, std::string_view value) {
  while (!value.empty()) {
    const std::size_t comma = value.find(',');
    into.spec.allow_missing.emplace(value.substr(0, comma));
    value = comma == std::string_view::npos ? std::string_view() : value.substr(comma + 1);
  }
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
    {{"--name", "NAME", "a name for the box, unique in this home"}, put_text<&Box::name>},
    {{"--isolation", "LEVEL", "how strongly the box is separated: container"},
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
    {{"--mount", "SPEC", "type=bind,source=/a,target=/b[,readonly] or type=tmpfs,target=/t"},
     add_mount<parse_mount>},
    {{"-v,--volume", "A:B[:ro]", "show host path or volume A as B in the box"},
     add_mount<parse_volume_here>},
    {{"--tmpfs", "DIR[:OPTS]", "empty directory in memory; size=, mode=, inodes=, ro"},
     add_mount<parse_tmpfs>},
    {{"--read-only", "", "make the root file system read-only"}, put_true<&Box::read_only_root>},
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
    {{"--tmpfs-size", "SIZE", "size of each tmpfs that names none"},
     put<parse_size, &Box::limits, &Limits::tmpfs_bytes>},
    {{"--network", "MODE", "none (default) or host"}, put<parse_network, &Box::network>},
    {{"-d,--detach", "", "start in the background and print the id"},
     set_true<&BoxOptions::detach>},
    {{"-i,--interactive", "", "connect standard input"}, put_true<&Box::open_stdin>},
    {{"-t,--tty", "", "give the command a terminal"}, put_true<&Box::tty>},
    {{"--init", "", "as in docker; says nothing here, every box has an init that reaps"},
     [](BoxOptions&, std::string_view) { return Result<>(); }},
    {{"--rm", "", "remove the box when it has ended"}, put_true<&Box::auto_remove>},
    {{"-l,--label", "K=V", "attach a label"}, add_label},
    {{"--profile", "NAME", "minimal, standard (default) or full"},
     put<parse_profile, &Box::profile>},
    {{"--security", "seccomp=FILE", "system call policy in docker's format, or seccomp=unconfined"},
     set_security},
    {{"--stop-signal", "SIGNAL", "signal that asks the command to end (TERM)"},
     put_text<&Box::stop_signal>},
    {{"--allow-missing", "LIMIT", "go on when this host cannot enforce LIMIT"}, allow_missing},
    {{"--json", "", "capture the output; print one JSON object as the last line"},
     set_true<&BoxOptions::json>},
    {{"--cidfile", "FILE", "write the id into a new file"}, set_text<&BoxOptions::id_file>},
};

}  // namespace

std::span<const Option<BoxOptions>> box_option_table() { return kTable; }

std::optional<int> parse_box(const CommandText& text, Args args, BoxOptions& into) {
  std::vector<std::string> arguments;
  if (auto done = parse(text, box_option_table(), Order::kOptionsFirst, args, into, arguments)) {
    return done;
  }
  const std::string hint = "caisson " + std::string(text.name) + " host: -- COMMAND";
  drop_separator(arguments);
  if (arguments.empty()) {
    return fail(usage_error(text.name, "argument_missing", "SOURCE is missing", hint), into.json);
  }
  if (arguments.size() < 2 && !is_image(arguments[0])) {  // an image may have a command of its own
    return fail(usage_error(text.name, "command_missing", "COMMAND is missing", hint), into.json);
  }
  auto env = into.env.resolve();
  if (!env) return fail(env.error(), into.json);
  into.spec.env = *std::move(env);
  into.spec.source = absolute_source(std::move(arguments.front()), working_directory());
  arguments.erase(arguments.begin());
  into.spec.command = std::move(arguments);
  return std::nullopt;
}

}  // namespace caisson::cli
