// caisson exec: one more command in a running box.
#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/ending.h"
#include "cli/env_options.h"
#include "cli/foreground.h"
#include "cli/json_output.h"

namespace caisson::cli {
namespace {

struct Settings {
  ExecSpec spec;
  EnvironmentOptions env;
  bool detach = false;
  bool json = false;
};

constexpr CommandText kText = {
    "exec", "[OPTIONS] BOX [--] COMMAND [ARGUMENT...]",
    "Run COMMAND in a running box. Options stand before BOX. The exit status is as run's.",
    "  caisson exec -it web -- sh\n"
    "  echo 'print(6*7)' | caisson exec -i web -- python3 -\n"};

template <auto Member>
Result<> put_text(Settings& into, std::string_view value) {
  into.spec.*Member = std::string(value);
  return {};
}

template <auto Member>
Result<> put_true(Settings& into, std::string_view) {
  into.spec.*Member = true;
  return {};
}

template <auto Parse, auto Member>
Result<> put(Settings& into, std::string_view value) {
  auto parsed = Parse(value);
  if (!parsed) return std::move(parsed.error());
  into.spec.*Member = *std::move(parsed);
  return {};
}

constexpr Option<Settings> kOptions[] = {
    {{"-i,--interactive", "", "connect standard input"}, put_true<&ExecSpec::open_stdin>},
    {{"-t,--tty", "", "give the command a terminal"}, put_true<&ExecSpec::tty>},
    {{"-d,--detach", "", "leave it running in the background, its output goes nowhere"},
     set_true<&Settings::detach>},
    {{"-e,--env", "K=V", "set a variable; K alone copies it from this environment"},
     [](Settings& o, std::string_view v) { return o.env.variables.emplace_back(v), Result<>(); }},
    {{"--env-file", "FILE", "set the variables in FILE, one K=V a line"},
     [](Settings& o, std::string_view v) { return o.env.files.emplace_back(v), Result<>(); }},
    {{"-w,--workdir", "DIR", "directory in the box to start in"}, put_text<&ExecSpec::workdir>},
    {{"-u,--user", "USER", "UID[:GID] or NAME[:GROUP] to run as"}, put_text<&ExecSpec::user>},
    {{"--timeout", "TIME", "end the command after this wall time, e.g. 30s"},
     put<parse_duration, &ExecSpec::wall_time>},
    {{"--output-limit", "SIZE[:kill]", "most output kept; with :kill, more ends the command"},
     put<parse_output_limit, &ExecSpec::output>},
    {{"--replay", "SIZE", "keep so much output for who attaches; with -d print the exec's id"},
     put<parse_size, &ExecSpec::replay_bytes>},
    {{"--json", "", "capture the output; print one JSON object as the last line"},
     set_true<&Settings::json>},
};

/// What the command shares with its box, and what is its own.
Limits limits_of(const Box& box, const ExecSpec& spec) {
  auto info = box.info();  // gone with an --rm box: then only the figures are missing
  Limits limits = info ? info->spec.limits : Limits();
  limits.wall_time = spec.wall_time;
  limits.output = spec.output;
  return limits;
}

Result<int> run_in_foreground(const Box& box, const BoxInfo& info, Exec& exec,
                              SignalCatcher& signals, const Settings& settings) {
  auto end = run_foreground(exec, signals,
                            {.input = settings.spec.open_stdin,
                             .tty = settings.spec.tty,
                             .capture = settings.json,
                             .capture_max_bytes = settings.spec.output.max_bytes});
  if (!end) return std::move(end.error());
  const int status = exit_status(*end);
  // The figures cost a look into the state, and nearly always there is nothing to tell.
  if (!settings.json && end->exit && !ending_text(end->exit->reason, {}).empty()) {
    tell_ending("command in box '" + box.id() + "'", *end, limits_of(box, settings.spec));
  }
  if (!settings.json || !end->exit) return status;
  const int printed = print(run_object({.id = box.id(),
                                        .name = info.name,
                                        .out = std::move(end->out),
                                        .err = std::move(end->err),
                                        .exit = *end->exit}) +
                            "\n");
  return printed != 0 ? printed : status;
}

Result<int> exec_in_box(const std::string& name, const Settings& settings) {
  if (!settings.detach) {
    auto terminal = require_terminal(settings.spec.open_stdin, settings.spec.tty);
    if (!terminal) return std::move(terminal.error());
  }
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  auto box = runtime->find(name);
  if (!box) return std::move(box.error());
  auto info = settings.json ? box->info() : Result<BoxInfo>(BoxInfo{});  // for the name
  if (!info) return std::move(info.error());
  auto signals = SignalCatcher::install();
  if (!signals) return std::move(signals.error());
  auto exec = box->exec(settings.spec);
  if (!exec) return std::move(exec.error());
  if (!settings.detach) return run_in_foreground(*box, *info, *exec, *signals, settings);
  if (settings.json) return print(box_object(box->id(), info->name) + "\n");
  return exec->id() ? print(std::to_string(*exec->id()) + "\n") : 0;
}

}  // namespace

int exec_command(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kText, kOptions, Order::kOptionsFirst, args, settings, words)) {
    return *done;
  }
  drop_separator(words);
  const std::string hint = "caisson exec BOX -- COMMAND";
  if (words.empty()) {
    return fail(usage_error("exec", "argument_missing", "BOX is missing", hint), settings.json);
  }
  if (words.size() < 2) {
    return fail(usage_error("exec", "command_missing", "COMMAND is missing", hint), settings.json);
  }
  auto env = settings.env.resolve();
  if (!env) return fail(env.error(), settings.json);
  settings.spec.env = *std::move(env);
  settings.spec.command.assign(words.begin() + 1, words.end());
  auto status = exec_in_box(words.front(), settings);
  return status ? *status : fail(status.error(), settings.json);
}

}  // namespace caisson::cli
