// caisson-bench PART [--caisson PATH] [--runc DIR] [--rounds N] [--boxes N] [--bytes N] [--box BOX]
// Measures one part and prints its samples for bench/run.py. $CAISSON_HOME is the home used.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "bench/measure.h"

namespace {

using caisson::Result;
using caisson::bench::Options;

Result<Options> read_options(int argc, char** argv) {
  const auto wrong = [](std::string_view what) {
    return caisson::make_error(caisson::Code::kInvalidArgument, "usage",
                               caisson::format("read options: '{}' is not understood", what));
  };
  if (argc < 2) return wrong("");
  Options options{.part = argv[1]};
  for (int i = 2; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) return wrong(name);
    const char* value = argv[i + 1];
    if (name == "--caisson")
      options.caisson = value;
    else if (name == "--runc")
      options.runc = value;
    else if (name == "--box")
      options.box = value;
    else if (name == "--rounds")
      options.rounds = std::atoi(value);
    else if (name == "--boxes")
      options.boxes = std::atoi(value);
    else if (name == "--bytes")
      options.stream_bytes = std::strtoull(value, nullptr, 10);
    else
      return wrong(name);
  }
  return options;
}

Result<> measure(int argc, char** argv) {
  using namespace caisson::bench;
  const Options options = TRY(read_options(argc, argv));
  Samples samples;
  catch_stop_signals();
  if (options.part == "programs") TRY(measure_programs(options, samples));
  if (options.part == "boxes") TRY(measure_boxes(options, samples));
  if (options.part == "execs") TRY(measure_execs_in(options, samples));
  if (options.part == "idle") TRY(measure_idle(options, samples));
  if (options.part == "streams") TRY(measure_streams(options, samples));
  samples.print();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const Result<> done = measure(argc, argv);
  if (done) return 0;
  std::fprintf(stderr, "caisson-bench: %s\n", done.error().message.c_str());
  return 1;
}
