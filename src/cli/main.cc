// caisson: the command line. Finds the command and calls it; everything else is in its file.
#include <malloc.h>

#include <exception>
#include <string_view>

#include "cli/commands.h"
#include "cli/io.h"
#include "cli/report.h"
#include "cli/signals.h"

namespace caisson::cli {
namespace {

int dispatch(Args words) {
  const std::string_view word = words.empty() ? std::string_view("--help") : words.front();
  const Args args = words.empty() ? words : words.subspan(1);
  if (word == "--help" || word == "-h") return help_command({});
  if (word == "--version" || word == "-v") return version_command({});
  const Command* command = find_command(word);
  return command != nullptr ? command->run(args) : unknown_command(word);
}

/// A short life: memory that is given back to the kernel is only faulted in again.
void keep_memory() {
  ::mallopt(M_TRIM_THRESHOLD, 64 << 20);
  ::mallopt(M_TOP_PAD, 1 << 20);
}

}  // namespace
}  // namespace caisson::cli

int main(int argc, char** argv) {
  using namespace caisson::cli;
  keep_memory();
  reserve_standard_descriptors();
  make_broken_pipes_errors();
  try {
    return dispatch(Args(argv, static_cast<std::size_t>(argc)).subspan(argc > 0 ? 1 : 0));
  } catch (const std::exception& error) {  // memory is exhausted, or a library broke its promise
    return fail(cli_error(caisson::Code::kInternal, "internal",
                          std::string("run caisson: ") + error.what()));
  }
}
