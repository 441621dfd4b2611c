#include "sys/idmap.h"

#include <algorithm>

namespace caisson::sys {
namespace {

/// Adds a line, or lengthens the last one that it continues.
void add(std::vector<IdRange>& lines, IdRange line) {
  if (line.count == 0) return;
  if (!lines.empty()) {
    IdRange& last = lines.back();
    if (last.inside + last.count == line.inside && last.outside + last.count == line.outside) {
      last.count += line.count;
      return;
    }
  }
  lines.push_back(line);
}

}  // namespace

std::vector<IdRange> swap_map(std::uint32_t owner, std::uint32_t user, std::uint32_t count) {
  std::vector<IdRange> lines;
  const std::uint32_t low = std::min(owner, user), high = std::min(std::max(owner, user), count);
  add(lines, {0, 0, std::min(low, count)});
  if (low < count && owner < count) add(lines, {low, std::max(owner, user), 1});
  if (low < high) add(lines, {low + 1, low + 1, high - low - 1});
  if (high < count && high != low) add(lines, {high, low, 1});
  if (high < count) add(lines, {high + 1, high + 1, count - high - 1});
  if (owner >= count && user < count) add(lines, {owner, user, 1});
  return lines;
}

std::vector<IdRange> compose(const std::vector<IdRange>& first,
                             const std::vector<IdRange>& second) {
  std::vector<IdRange> lines;
  for (const IdRange& a : first)
    for (const IdRange& b : second) {
      const std::uint64_t begin = std::max<std::uint64_t>(a.outside, b.inside);
      const std::uint64_t end =
          std::min(std::uint64_t{a.outside} + a.count, std::uint64_t{b.inside} + b.count);
      if (begin >= end) continue;
      lines.push_back({static_cast<std::uint32_t>(a.inside + (begin - a.outside)),
                       static_cast<std::uint32_t>(b.outside + (begin - b.inside)),
                       static_cast<std::uint32_t>(end - begin)});
    }
  return lines;
}

std::vector<IdRange> without(const std::vector<IdRange>& lines, std::uint32_t inside) {
  std::vector<IdRange> left;
  for (const IdRange& line : lines) {
    if (inside < line.inside || inside - line.inside >= line.count) {
      left.push_back(line);
      continue;
    }
    const std::uint32_t before = inside - line.inside;
    if (before > 0) left.push_back({line.inside, line.outside, before});
    if (line.count > before + 1)
      left.push_back({inside + 1, line.outside + before + 1, line.count - before - 1});
  }
  return left;
}

std::uint32_t mapped(const std::vector<IdRange>& lines, std::uint32_t id) {
  for (const IdRange& line : lines)
    if (id >= line.inside && id - line.inside < line.count)
      return line.outside + (id - line.inside);
  return UINT32_MAX;
}

}  // namespace caisson::sys
