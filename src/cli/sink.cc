#include "cli/sink.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cli/io.h"

namespace caisson::cli {

int StandardSink::fd(Stream stream) const {
  return stream == Stream::kStdout ? STDOUT_FILENO : STDERR_FILENO;
}

Result<OutputSink::Taken> StandardSink::take(Stream stream, std::string_view data) {
  if (stream == Stream::kStderr && !stderr_open_) return Taken{data.size(), true};
  auto written = write_some(fd(stream), data);
  if (written) return Taken{*written, true};
  if (stream == Stream::kStderr) {
    stderr_open_ = false;  // the result is on stdout; lost messages do not stop the work
    return Taken{data.size(), true};
  }
  if (written.error().sys_errno == EPIPE) return Taken{0, false};
  return std::move(written.error());
}

Result<OutputSink::Taken> CaptureSink::take(Stream stream, std::string_view data) {
  const std::size_t kept = std::min<std::uint64_t>(room_, data.size());
  (stream == Stream::kStdout ? out : err).append(data.substr(0, kept));
  room_ -= kept;
  dropped_bytes += data.size() - kept;
  return Taken{data.size(), true};
}

}  // namespace caisson::cli
