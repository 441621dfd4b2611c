// Console: what a guest's kernel, its agent and QEMU say, kept within bounds.
#pragma once

#include <string>

#include "base/fd.h"

namespace caisson::vm {

class Console final {
 public:
  /// Written to `console.log` in `directory`, where it starts anew when it gets too long.
  static Result<Console> open(int directory);

  /// To be written by QEMU.
  int write_end() const { return pipe_.write.get(); }
  /// To be watched for input.
  int fd() const { return pipe_.read.get(); }
  void close_write_end() { pipe_.write.reset(); }
  /// Takes what there is. False at the end.
  bool read();
  /// Adds a line of ours.
  void note(const std::string& text) { keep("caisson-shim: " + text + "\n"); }
  /// The last lines, for an error: what says why if there is such a line, else at most three, on
  /// one line.
  std::string last_lines() const;

 private:
  Console(Pipe pipe, Fd file) : pipe_(std::move(pipe)), file_(std::move(file)) {}
  void keep(std::string_view bytes);

  Pipe pipe_;
  Fd file_;
  std::size_t written_ = 0;
  std::string tail_;
};

}  // namespace caisson::vm
