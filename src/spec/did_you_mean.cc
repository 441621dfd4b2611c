#include <algorithm>
#include <array>
#include <cstddef>

#include "caisson/spec.h"

namespace caisson {
namespace {

// Words longer than any that Caisson knows are not worth the quadratic comparison.
constexpr std::size_t kLongest = 64;
using Row = std::array<std::size_t, kLongest + 1>;

/// Damerau-Levenshtein distance in its restricted form: no part is edited twice.
std::size_t distance(std::string_view a, std::string_view b) {
  Row before{}, above{}, row{};
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = above;
    above = row;
  }
  return above[b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  if (word.size() > kLongest) return {};
  std::size_t allowed = word.size() / 3;
  std::string best;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kLongest || candidate.empty()) continue;
    const std::size_t found = distance(word, candidate);
    if (found > allowed || (found == allowed && !best.empty())) continue;
    best = candidate;
    allowed = found;
  }
  return best;
}

}  // namespace caisson
