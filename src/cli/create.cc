// caisson create: record a box; nothing runs yet.
#include "caisson/runtime.h"
#include "cli/box_options.h"
#include "cli/commands.h"
#include "cli/new_box.h"
#include "cli/report.h"

namespace caisson::cli {
namespace {

constexpr CommandText kText = {
    "create", "[OPTIONS] [-f FILE] [SOURCE [--] [COMMAND [ARGUMENT...]]]",
    "Create a box for COMMAND and print its id. `caisson start` runs it.",
    "  b=$(caisson create host: -- sleep 1000)\n"
    "  caisson start $b\n"
    "  caisson exec $b -- ps\n"};

}  // namespace

int create_command(Args args) {
  BoxOptions options;
  if (auto done = parse_box(kText, args, options)) return *done;
  if (options.detach) {
    return fail(
        usage_error("create", "option_unknown", "a created box does not run, -d says nothing",
                    "leave out -d, or use caisson run -d"),
        options.json);
  }
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), options.json);
  if (auto status = pull_source(*runtime, options)) return *status;
  auto box = new_box(*runtime, options);
  if (!box) return fail(box.error(), options.json);
  return print_box(*box, options);
}

}  // namespace caisson::cli
