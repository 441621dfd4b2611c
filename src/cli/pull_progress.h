// A pull as people see it: bars on a terminal, else lines. Pure: it gets events and gives text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/image.h"

namespace caisson::cli {

/// The state of all layers of one pull. Nothing is shown before a layer has to be fetched.
class PullProgress final {
 public:
  explicit PullProgress(std::string_view source);

  void add(const PullEvent& event);

  /// The lines that the last event is worth to a file or a log: the beginning and the end of each
  /// layer, and what is tried once more. Whole lines, or nothing.
  std::string lines() const { return lines_; }

  /// What is on the screen from now on: one line for the pull, and one a layer as far as `rows`
  /// allow; each shorter than `columns`.
  std::vector<std::string> screen(std::size_t columns, std::size_t rows) const;

  /// What went wrong and is tried once more, since the last call: whole lines.
  std::string take_notes();

 private:
  struct Layer {
    std::string digest;
    PullEvent::State state = PullEvent::State::kWaiting;
    std::uint64_t current = 0, total = 0;
    bool begun = false, ended = false;  ///< told so in lines
  };
  void resolve(const PullEvent& event);
  void note(const PullEvent& event);
  void update(const PullEvent& event);
  std::string heading() const;
  std::string layer_line(const Layer& layer, std::size_t columns) const;

  std::string source_;  // harmless to a terminal
  std::vector<Layer> layers_;
  bool active_ = false;  // something is fetched
  std::string lines_;
  std::string notes_;
};

/// Draws the screen over the one before it.
class Redraw final {
 public:
  /// The bytes that replace what was drawn last by `notes`, which stay, and `lines`.
  std::string draw(const std::string& notes, const std::vector<std::string>& lines,
                   std::size_t columns);

 private:
  std::vector<std::size_t> widths_;  // of the lines that stand there
};

}  // namespace caisson::cli
