// Pulling in the foreground: events become progress, Ctrl-C ends it.
#pragma once

#include <string>
#include <vector>

#include "caisson/image.h"
#include "caisson/result.h"

namespace caisson::cli {

enum class Show {
  kNothing,
  kProgress,  ///< on stderr: bars on a terminal, else lines
  kJson,      ///< each event as an object on stdout
};

struct Pulled {
  std::vector<ImageInfo> images;  ///< none with PullPolicy::kMissing when it was here already
  int signal = 0;                 ///< that ended it
  bool output_closed = false;     ///< nobody reads the events any more
};

/// Pulls, and waits until the images are there. What a signal interrupts, the next pull takes up.
Result<Pulled> pull_images(Images& images, const PullSpec& spec, Show show);

/// Says that a signal ended the pull; the exit status, 128 + signal.
int report_interrupted(const std::string& source, int signal, bool json);

}  // namespace caisson::cli
