// Result<T>: a value or an Error. The only header that names std::expected.
#pragma once

#include <expected>
#include <utility>

#include "caisson/error.h"

namespace caisson {

/// What every fallible function returns. `if (r) use(*r); else report(r.error());`
/// A Result that is dropped is a compile-time warning.
template <class T = void>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
  Result(Error error)  // NOLINT(google-explicit-constructor): `return error;` is the idiom
      : std::expected<T, Error>(std::unexpect, std::move(error)) {}
};

}  // namespace caisson
