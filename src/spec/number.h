// Decimal numbers with a fraction, without floating point.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace caisson::spec {

/// whole + fraction / scale
struct Decimal {
  std::uint64_t whole = 0;
  std::uint64_t fraction = 0;
  std::uint64_t scale = 1;
};

/// Takes "12" or "1.5" off the front of `text`. Absent when there is no digit where one belongs
/// or when there are more digits than fit.
std::optional<Decimal> take_decimal(std::string_view& text);

/// `number` times `unit`, rounded down; absent when it exceeds `max`.
std::optional<std::uint64_t> scaled(const Decimal& number, std::uint64_t unit, std::uint64_t max);

}  // namespace caisson::spec
