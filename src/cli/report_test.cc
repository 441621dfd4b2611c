#include "cli/report.h"

#include <gtest/gtest.h>

#include "cli/io.h"

namespace caisson::cli {
namespace {

TEST(ErrorLine, IsOneSafeLine) {
  EXPECT_EQ(error_line(cli_error(Code::kNotFound, "box_not_found", "find box 'x': no such box")),
            "caisson: find box 'x': no such box\n");
  EXPECT_EQ(error_line(cli_error(Code::kInternal, "r", "a\nb\x1b]0;t\x07", "do\r this")),
            "caisson: a\\x0ab\\x1b]0;t\\x07 (hint: do\\x0d this)\n");
}

TEST(StatusOf, FollowsDocker) {
  EXPECT_EQ(status_of(cli_error(Code::kNotFound, "program_not_found", "")), 127);
  EXPECT_EQ(status_of(cli_error(Code::kPermissionDenied, "program_not_executable", "")), 126);
  EXPECT_EQ(status_of(cli_error(Code::kInternal, "anything", "")), 125);
}

}  // namespace
}  // namespace caisson::cli
