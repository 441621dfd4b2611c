#include "cli/pull_progress.h"

#include <algorithm>
#include <utility>

#include "cli/image_text.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

using State = PullEvent::State;

constexpr std::size_t kMostLayers = 10'000;  // whatever an event says
constexpr std::size_t kNarrowest = 20;
constexpr std::size_t kLongestBar = 40;

std::string_view word_of(State state) {
  switch (state) {
    case State::kWaiting:
      return "waiting";
    case State::kDownloading:
      return "downloading";
    case State::kUnpacking:
      return "unpacking";
    case State::kDone:
      return "done";
    case State::kCached:
      return "already here";
  }
  return "";
}

bool is_busy(State state) { return state == State::kDownloading || state == State::kUnpacking; }
bool is_over(State state) { return state == State::kDone || state == State::kCached; }

std::string bar(std::uint64_t current, std::uint64_t total, std::size_t width) {
  if (width < 5 || total == 0) return {};
  const std::size_t room = width - 2;
  const double part = std::min(1.0, static_cast<double>(current) / static_cast<double>(total));
  const auto full = static_cast<std::size_t>(part * static_cast<double>(room));
  std::string text = "[" + std::string(full, '=');
  if (full < room) text += '>' + std::string(room - full - 1, ' ');
  return text + "]";
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

}  // namespace

PullProgress::PullProgress(std::string_view source) : source_(escape(familiar_name(source))) {}

void PullProgress::add(const PullEvent& event) {
  lines_.clear();
  switch (event.kind) {
    case PullEvent::Kind::kResolved:
      return resolve(event);
    case PullEvent::Kind::kLayer:
      return update(event);
    case PullEvent::Kind::kRetry:
      return note(event);
  }
}

void PullProgress::resolve(const PullEvent& event) {
  layers_.assign(std::min(event.layers, kMostLayers), Layer{});
}

void PullProgress::note(const PullEvent& event) {
  const std::string line = source_ + ": " + escape(event.text) + "\n";
  notes_ += line;
  lines_ = line;
}

void PullProgress::update(const PullEvent& event) {
  if (event.layer >= kMostLayers) return;
  if (event.layer >= layers_.size()) layers_.resize(event.layer + 1);
  Layer& layer = layers_[event.layer];
  if (!event.digest.empty()) layer.digest = escape(short_digest(event.digest));
  layer.state = event.state;
  layer.current = event.current;
  layer.total = event.total;
  const bool fetched = is_busy(event.state);
  if (fetched && !active_) {
    active_ = true;
    lines_ = source_ + ": " + counted(layers_.size(), "layer") + "\n";
  }
  if (fetched && !layer.begun) {
    layer.begun = true;
    lines_ += layer.digest + ": " + std::string(word_of(event.state));
    lines_ += layer.total > 0 ? " " + human_size(layer.total) + "\n" : "\n";
  }
  if (event.state == State::kDone && layer.begun && !layer.ended) {
    layer.ended = true;
    lines_ += layer.digest + ": done\n";
  }
}

std::string PullProgress::take_notes() { return std::exchange(notes_, {}); }

std::string PullProgress::heading() const {
  std::size_t over = 0;
  std::uint64_t current = 0;
  std::uint64_t total = 0;
  for (const Layer& layer : layers_) {
    if (is_over(layer.state)) ++over;
    if (layer.state == State::kCached) continue;
    current += layer.state == State::kDone ? layer.total : layer.current;
    total += layer.total;
  }
  std::string text =
      source_ + ": " + std::to_string(over) + " of " + counted(layers_.size(), "layer");
  if (total > 0) text += ", " + human_size(current) + " of " + human_size(total);
  return text;
}

std::string PullProgress::layer_line(const Layer& layer, std::size_t columns) const {
  constexpr std::size_t kSizes = 23;  // "1023.9 MiB / 1023.9 MiB"
  std::string text =
      "  " + padded(layer.digest, 12) + "  " + padded(std::string(word_of(layer.state)), 12) + "  ";
  if (layer.state == State::kWaiting || layer.state == State::kCached) {
    return layer.total > 0 ? text + human_size(layer.total) : text;
  }
  if (layer.state == State::kDone) return text + human_size(layer.total);
  const std::size_t used = text.size() + kSizes + 3;
  const std::string drawn =
      bar(layer.current, layer.total, columns > used ? std::min(columns - used, kLongestBar) : 0);
  if (!drawn.empty()) text += drawn + "  ";
  text += human_size(layer.current);
  return layer.total > 0 ? text + " / " + human_size(layer.total) : text;
}

std::vector<std::string> PullProgress::screen(std::size_t columns, std::size_t rows) const {
  std::vector<std::string> lines;
  if (!active_) return lines;
  columns = std::max(columns, kNarrowest) - 1;       // a full line would wrap on some terminals
  const std::size_t room = rows > 3 ? rows - 2 : 1;  // one for the heading, one for the cursor
  lines.push_back(shorten(heading(), columns));
  const bool all = layers_.size() <= room;
  for (const Layer& layer : layers_) {
    if (lines.size() > room) break;
    if (all || is_busy(layer.state)) lines.push_back(shorten(layer_line(layer, columns), columns));
  }
  return lines;
}

std::string Redraw::draw(const std::string& notes, const std::vector<std::string>& lines,
                         std::size_t columns) {
  columns = std::max<std::size_t>(columns, 1);
  std::size_t up = 0;  // a terminal that became narrower has wrapped what stood there
  for (std::size_t width : widths_) up += std::max<std::size_t>(1, (width + columns - 1) / columns);
  std::string out;
  if (up > 0) out += "\x1b[" + std::to_string(up) + "A\r\x1b[J";
  out += notes;
  widths_.clear();
  for (const std::string& line : lines) {
    out += line + "\n";
    widths_.push_back(columns_of(line));
  }
  return out;
}

}  // namespace caisson::cli
