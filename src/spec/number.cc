#include "spec/number.h"

#include "spec/text.h"

namespace caisson::spec {
namespace {

__extension__ typedef unsigned __int128 Wide;
constexpr std::size_t kMostDigits = 18;  // 10^18 fits 64 bits

std::string_view take_digits(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() && is_digit(text[length])) ++length;
  const std::string_view digits = text.substr(0, length);
  text.remove_prefix(length);
  return digits;
}

}  // namespace

std::optional<Decimal> take_decimal(std::string_view& text) {
  Decimal number;
  const std::optional<std::uint64_t> whole = to_unsigned(take_digits(text));
  if (!whole) return std::nullopt;
  number.whole = *whole;
  if (!text.starts_with('.')) return number;
  text.remove_prefix(1);
  const std::string_view digits = take_digits(text);
  if (digits.empty() || digits.size() > kMostDigits) return std::nullopt;
  number.fraction = *to_unsigned(digits);
  for (std::size_t i = 0; i < digits.size(); ++i) number.scale *= 10;
  return number;
}

std::optional<std::uint64_t> scaled(const Decimal& number, std::uint64_t unit, std::uint64_t max) {
  const Wide value = static_cast<Wide>(number.whole) * unit +
                     static_cast<Wide>(number.fraction) * unit / number.scale;
  if (value > max) return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

}  // namespace caisson::spec
