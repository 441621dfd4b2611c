#include "cli/each_box.h"

#include "cli/io.h"
#include "cli/options.h"
#include "cli/report.h"

namespace caisson::cli {

int each_box(std::string_view command, const std::vector<std::string>& names,
             const std::function<Result<std::string>(Box& box, const std::string& name)>& use) {
  if (names.empty()) return fail(usage_error(command, "argument_missing", "BOX is missing"));
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  int status = 0;
  for (const std::string& name : names) {
    auto box = runtime->find(name);
    auto text = box ? use(*box, name) : Result<std::string>(box.error());
    const int done = text ? print(*text) : fail_box(text.error());
    if (done == kStatusOutputClosed) return done;
    if (done != 0) status = done;
  }
  return status;
}

Result<Box> only_box(std::string_view command, const std::vector<std::string>& names,
                     Runtime& runtime) {
  if (names.empty()) return usage_error(command, "argument_missing", "BOX is missing");
  if (names.size() > 1) {
    return usage_error(command, "argument_unexpected",
                       "'" + names[1] + "' is one too many, it takes one BOX");
  }
  return runtime.find(names.front());
}

}  // namespace caisson::cli
