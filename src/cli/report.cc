#include "cli/report.h"

#include <unistd.h>

#include "cli/io.h"
#include "cli/json_output.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

// When stderr itself is gone there is nobody left to tell.
void print_stderr(std::string_view line) { (void)write_all(STDERR_FILENO, line); }

}  // namespace

std::string error_line(const Error& error) {
  std::string line = "caisson: " + escape(error.message);
  if (!error.hint.empty()) line += " (hint: " + escape(error.hint) + ")";
  return line + "\n";
}

int status_of(const Error& error) {
  if (error.reason == "program_not_found") return 127;
  if (error.reason == "program_not_executable") return 126;
  return kStatusFailed;
}

int fail(const Error& error, bool json) {
  print_stderr(error_line(error));
  if (json) (void)write_all(STDOUT_FILENO, error_object(error) + "\n");
  return status_of(error);
}

int fail_box(const Error& error) {
  print_stderr(error_line(error));
  return kStatusBoxFailed;
}

void warn(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) {
    print_stderr("caisson: warning: " + escape(warning) + "\n");
  }
}

}  // namespace caisson::cli
