// caisson debug: the steps that starting a box would take.
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

}  // namespace

int debug_command(Args args) {
  const std::string_view word = args.empty() ? std::string_view() : args.front();
  if (word == "plan") return plan_command(args.subspan(1));
  if (word == "--help" || word == "-h") {
    return print(help_text({"debug", "plan [OPTIONS] SOURCE [--] [COMMAND [ARGUMENT...]]",
                            "Look behind the scenes: `plan` prints what a start would do. "
                            "`caisson debug plan --help`\nexplains more.",
                            kText.example},
                           {}));
  }
  if (word.empty()) {
    return fail(usage_error("debug", "argument_missing", "a subcommand is missing",
                            "caisson debug plan SOURCE -- COMMAND"));
  }
  return fail(usage_error("debug", "command_unknown", "no subcommand '" + std::string(word) + "'",
                          "the subcommand is 'plan'"));
}

}  // namespace caisson::cli
