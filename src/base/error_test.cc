#include "base/error.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>

namespace caisson {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0)
    return make_error(Code::kOutOfRange, "odd", format("halve '{}': odd", n), "add 1");
  return n / 2;
}
Result<> only_even(int n) {
  TRY(half(n));
  return {};
}
Result<int> quarter(int n) { return TRY(half(TRY(half(n)))); }
Result<std::unique_ptr<int>> boxed(int n) { return std::make_unique<int>(TRY(half(n))); }

TEST(Error, TryPassesValuesAndTheFirstError) {
  EXPECT_EQ(quarter(12).value(), 3);
  EXPECT_EQ(quarter(6).error().message, "halve '3': odd");
  EXPECT_TRUE(only_even(2));
  EXPECT_EQ(only_even(1).error(), half(1).error());
  EXPECT_EQ(*boxed(8).value(), 4);
  const Error error = boxed(1).error();
  EXPECT_EQ(error.code, Code::kOutOfRange);
  EXPECT_EQ(error.reason, "odd");
  EXPECT_EQ(error.hint, "add 1");
  EXPECT_EQ(error.sys_errno, 0);
}

TEST(Error, SysErrorTakesErrnoBeforeAnythingChangesIt) {
  errno = ENOENT;
  const Error error = sys_error("open", "/a b");
  errno = 0;
  EXPECT_EQ(error.sys_errno, ENOENT);
  EXPECT_EQ(error.code, Code::kNotFound);
  EXPECT_EQ(error.message, "open '/a b': No such file or directory");
  EXPECT_EQ(error.reason, "system_call_failed");
  EXPECT_NE(std::string(error.where.file_name()).find("error_test.cc"), std::string::npos);
}

TEST(Error, OfAnErrnoValue) {
  EXPECT_EQ(errno_error(EPIPE, "write", "").message, "write: Broken pipe");
  for (int full : {ENOSPC, EDQUOT}) {
    EXPECT_EQ(errno_error(full, "write", "x").reason, "disk_full");
    EXPECT_EQ(errno_error(full, "write", "x").code, Code::kResourceExhausted);
  }
  EXPECT_EQ(errno_text(123456), "errno 123456");
  EXPECT_EQ(code_of_errno(EPERM), Code::kPermissionDenied);
  EXPECT_EQ(code_of_errno(EEXIST), Code::kAlreadyExists);
  EXPECT_EQ(code_of_errno(EINVAL), Code::kInvalidArgument);
  EXPECT_EQ(code_of_errno(ENOSYS), Code::kUnimplemented);
  EXPECT_EQ(code_of_errno(EBUSY), Code::kFailedPrecondition);
  EXPECT_EQ(code_of_errno(ECONNREFUSED), Code::kUnavailable);
  EXPECT_EQ(code_of_errno(ETIMEDOUT), Code::kDeadlineExceeded);
  EXPECT_EQ(code_of_errno(EIO), Code::kInternal);
}

TEST(Error, ContextGoesBefore) {
  const Error error = with_context(errno_error(EIO, "read", "f"), "load state");
  EXPECT_EQ(error.message, "load state: read 'f': Input/output error");
  EXPECT_EQ(error.sys_errno, EIO);
}

TEST(Error, EveryCodeHasItsOwnName) {
  std::set<std::string_view> names;
  for (int i = 0; i <= 16; ++i) names.insert(to_string(static_cast<Code>(i)));
  EXPECT_EQ(names.size(), 17u);
  EXPECT_EQ(to_string(Code::kFailedPrecondition), "FAILED_PRECONDITION");
  EXPECT_EQ(to_string(static_cast<Code>(99)), "UNKNOWN");
}

}  // namespace
}  // namespace caisson
