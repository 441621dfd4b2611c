// caisson debug: the steps that starting a box would take, and what this host gives boxes.
#include "caisson/runtime.h"
#include "cli/box_options.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

constexpr CommandText kText = {
    "debug plan", "[OPTIONS] [-f FILE] [SOURCE [--] [COMMAND [ARGUMENT...]]]",
    "Print the steps that `run` would take with the same arguments. Nothing is created.",
    "  caisson debug plan --memory 64m host: -- true\n"};

int plan_command(Args args) {
  BoxOptions options;
  if (auto done = parse_box(kText, args, options)) return *done;
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), options.json);
  auto plan = runtime->plan(options.spec);
  if (!plan) return fail(plan.error(), options.json);
  const std::string text = TerminalText().add(*plan);
  return print(text.ends_with('\n') ? text : text + "\n");
}

constexpr CommandText kProbeText = {
    "debug probe", "", "Try what this host gives boxes; the exit status is 1 if no box can run.",
    "  caisson debug probe\n"};

struct NoOptions {};

int probe_command(Args args) {
  NoOptions none;
  std::vector<std::string> rest;
  if (auto done = parse<NoOptions>(kProbeText, {}, Order::kAnywhere, args, none, rest))
    return *done;
  if (!rest.empty())
    return fail(usage_error("debug probe", "argument_unexpected",
                            "'" + rest.front() + "' says nothing here"));
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  auto found = runtime->probe();
  if (!found) return fail(found.error());
  Table table({"WHAT", "WORKS", "DETAIL"});
  bool container = false;
  for (const Capability& row : found->rows) {
    table.add({row.name, row.available ? "yes" : "no", row.detail});
    container = container || (row.name == "container" && row.available);
  }
  const int printed = print(table.text());
  return printed != 0 || container ? printed : 1;
}

}  // namespace

int debug_command(Args args) {
  const std::string_view word = args.empty() ? std::string_view() : args.front();
  if (word == "plan") return plan_command(args.subspan(1));
  if (word == "probe") return probe_command(args.subspan(1));
  if (word == "--help" || word == "-h") {
    return print(help_text({"debug", "plan|probe [OPTIONS] [SOURCE [--] COMMAND [ARGUMENT...]]",
                            "Look behind the scenes: `plan` prints what a start would do, `probe` "
                            "tries what this\nhost gives boxes. `caisson debug plan --help` "
                            "explains more.",
                            kText.example},
                           {}));
  }
  if (word.empty()) {
    return fail(usage_error("debug", "argument_missing", "a subcommand is missing",
                            "caisson debug plan SOURCE -- COMMAND"));
  }
  return fail(usage_error("debug", "command_unknown", "no subcommand '" + std::string(word) + "'",
                          "the subcommands are 'plan' and 'probe'"));
}

}  // namespace caisson::cli
