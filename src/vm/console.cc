#include "vm/console.h"

#include <fcntl.h>

#include <algorithm>
#include <vector>

namespace caisson::vm {
namespace {

constexpr std::size_t kMostFile = 1 << 20;
constexpr std::size_t kMostTail = 16 << 10;

/// A guest says what it likes: nothing of it may move a terminal's cursor.
char shown(char c) { return c >= ' ' && c < 127 ? c : '?'; }

}  // namespace

Result<Console> Console::open(int directory) {
  Pipe pipe = TRY(make_pipe());
  TRY(set_nonblocking(pipe.read.get()));
  Fd file = TRY(open_at(directory, "console.log", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  return Console(std::move(pipe), std::move(file));
}

bool Console::read() {
  char buffer[4096];
  constexpr int kMostReads = 16;  // a guest that never stops is not all that there is to do
  ssize_t n = 1;
  for (int i = 0; i < kMostReads && n > 0; ++i)
    if ((n = ::read(pipe_.read.get(), buffer, sizeof buffer)) > 0)
      keep({buffer, static_cast<std::size_t>(n)});
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

void Console::keep(std::string_view bytes) {
  tail_ += bytes;
  if (tail_.size() > kMostTail) tail_.erase(0, tail_.size() - kMostTail);
  if (written_ + bytes.size() > kMostFile) {
    if (::ftruncate(file_.get(), 0) < 0 || ::lseek(file_.get(), 0, SEEK_SET) < 0) return;
    written_ = 0;
  }
  // A full disk of the host's ends the log, not the box.
  if (write_all(file_.get(), bytes, "console.log")) written_ += bytes.size();
}

std::string Console::last_lines() const {
  constexpr std::size_t kLines = 3;
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < tail_.size();) {
    const std::size_t end = std::min(tail_.find('\n', at), tail_.size());
    std::string line;
    for (char c : tail_.substr(at, end - at))
      if (c != '\r') line += shown(c);
    at = end + 1;
    // What comes after a panic is where it happened.
    for (const char* cause : {"Kernel panic", "caisson-agent: ", "qemu-system-x86_64: "})
      if (line.find(cause) != std::string::npos) return line;
    if (!line.empty()) lines.push_back(std::move(line));
  }
  std::string text;
  for (std::size_t i = lines.size() - std::min(lines.size(), kLines); i < lines.size(); ++i)
    text += (text.empty() ? "" : " | ") + lines[i];
  return text;
}

}  // namespace caisson::vm
