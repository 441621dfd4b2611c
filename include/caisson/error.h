// Errors: what was attempted, on what, and why it did not work.
#pragma once

#include <source_location>
#include <string>
#include <string_view>

namespace caisson {

/// Status codes: the names and numbers of gRPC (google/rpc/code.proto), so that a
/// remote front end needs no translation.
enum class Code : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

/// The upper-case gRPC name of `code`, e.g. "INVALID_ARGUMENT". Never empty.
std::string_view to_string(Code code);

/// The code that fits an errno(3) value.
Code code_of_errno(int err);

/// Why an operation failed. A plain value: copyable, comparable, thread-compatible.
///
///     auto runtime = caisson::Runtime::open();
///     if (!runtime) std::cerr << runtime.error().message << '\n';
///
/// `message` is one line: the attempted action, the object in single quotes, the cause.
/// `reason` is a stable lower_snake_case word for programs (the list is docs/errors.md);
/// it is never empty for an error that a user can cause. `hint` is an optional next step.
struct Error {
  Code code = Code::kUnknown;
  int sys_errno = 0;  ///< errno(3) of the failed system call, 0 when there was none
  std::string reason;
  std::string message;
  std::string hint;
  std::source_location where = std::source_location::current();

  friend bool operator==(const Error& a, const Error& b) {
    return a.code == b.code && a.sys_errno == b.sys_errno && a.reason == b.reason &&
           a.message == b.message && a.hint == b.hint;
  }
};

}  // namespace caisson
