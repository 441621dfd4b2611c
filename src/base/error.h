// Making and passing on errors.
#pragma once

#include <cerrno>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>

#include "base/format.h"
#include "caisson/result.h"

namespace caisson {

/// An error about the caller's input or the state of things.
Error make_error(Code code, std::string_view reason, std::string message, std::string hint = {},
                 std::source_location where = std::source_location::current());

/// "<action> '<object>': <strerror>". Captures errno as its first act.
Error sys_error(std::string_view action, std::string_view object,
                std::source_location where = std::source_location::current());
/// The same for a call that returned its errno.
Error errno_error(int err, std::string_view action, std::string_view object,
                  std::source_location where = std::source_location::current());

/// Adds what the caller was doing: "<phase>: <message>".
Error with_context(Error error, std::string_view phase);

/// The name of an errno value, e.g. "No such file or directory".
std::string errno_text(int err);

}  // namespace caisson

#define CAISSON_CONCAT_(a, b) a##b
#define CAISSON_CONCAT(a, b) CAISSON_CONCAT_(a, b)

#define CAISSON_TRY_(name, expr)              \
  __extension__({                             \
    auto name = (expr);                       \
    if (!name) [[unlikely]]                   \
      return std::move(name).error();         \
    ::caisson::detail::take(std::move(name)); \
  })
/// The value of a Result, or return its error from the enclosing function. The name is unique, so
/// that one TRY may stand in another's argument.
#define TRY(expr) CAISSON_TRY_(CAISSON_CONCAT(caisson_try_, __COUNTER__), expr)

namespace caisson::detail {
template <class T>
T take(Result<T>&& result) {
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}
}  // namespace caisson::detail
