// caisson ps: the boxes of this home.
#include <chrono>

#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/image_text.h"
#include "cli/json_output.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool all = false;
  bool quiet = false;
  bool whole = false;
  bool json = false;
  std::map<std::string, std::string> labels;
};

constexpr CommandText kText = {"ps", "[OPTIONS]",
                               "List boxes, newest first; without -a only those that run.",
                               "  caisson ps -a --filter label=job=build\n"
                               "  caisson rm $(caisson ps -aq)\n"};

Result<> add_filter(Settings& into, std::string_view value) {
  constexpr std::string_view kLabel = "label=";
  const std::size_t equals = value.find('=', kLabel.size());
  if (!value.starts_with(kLabel) || equals == std::string_view::npos) {
    return cli_error(Code::kInvalidArgument, "option_value_invalid",
                     "parse '" + std::string(value) + "': not label=KEY=VALUE");
  }
  into.labels[std::string(value.substr(kLabel.size(), equals - kLabel.size()))] =
      value.substr(equals + 1);
  return {};
}

constexpr Option<Settings> kOptions[] = {
    {{"-a,--all", "", "also boxes that do not run"}, set_true<&Settings::all>},
    {{"-q,--quiet", "", "print whole ids only"}, set_true<&Settings::quiet>},
    {{"--filter", "label=K=V", "only boxes with this label"}, add_filter},
    {{"--no-trunc", "", "do not shorten ids and commands"}, set_true<&Settings::whole>},
    {{"--json", "", "one JSON object a line, as inspect prints it"}, set_true<&Settings::json>},
};

std::string state_cell(const BoxInfo& info) {
  std::string text(to_string(info.state));
  if (info.state != BoxState::kStopped || !info.exit) return text;
  text.append(" (").append(to_string(info.exit->reason));
  if (info.exit->exit_code) text.append(1, ' ').append(std::to_string(*info.exit->exit_code));
  return text.append(1, ')');
}

std::string command_cell(const BoxInfo& info, bool whole) {
  std::string text;
  for (const std::string& word : info.spec.command)
    text.append(text.empty() ? "" : " ").append(word);
  text = escape(text);  // before cutting, so that bytes are not mistaken for half characters
  return whole ? text : shorten(text, 32);
}

std::string table_of(const std::vector<BoxInfo>& boxes, bool whole) {
  const std::int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  Table table({"ID", "NAME", "SOURCE", "ISOLATION", "STATE", "COMMAND", "CREATED"});
  for (const BoxInfo& info : boxes) {
    std::vector<std::string> row = {whole ? info.id : short_id(info.id),
                                    info.name,
                                    familiar_name(info.spec.source),
                                    std::string(to_string(info.spec.isolation)),
                                    state_cell(info),
                                    command_cell(info, whole),
                                    relative_time(now, info.created_ns)};
    if (info.spec.isolation == Isolation::kUnsafeHost)
      table.add_alarming(std::move(row));
    else
      table.add(std::move(row));
  }
  return table.text();
}

}  // namespace

int ps_command(Args args) {
  Settings settings;
  std::vector<std::string> rest;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, rest)) {
    return *done;
  }
  if (!rest.empty()) {
    return fail(usage_error("ps", "argument_unexpected", "'" + rest.front() + "' says nothing here",
                            "caisson inspect BOX shows one box"),
                settings.json);
  }
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  auto boxes = runtime->list({.all = settings.all, .labels = settings.labels});
  if (!boxes) return fail(boxes.error(), settings.json);
  if (!settings.quiet && !settings.json) return print(table_of(*boxes, settings.whole));
  std::string lines;
  for (const BoxInfo& info : *boxes) lines += (settings.json ? info_object(info) : info.id) + "\n";
  return print(lines);
}

}  // namespace caisson::cli
