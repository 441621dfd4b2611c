#include "cli/each_image.h"

#include "cli/image_text.h"
#include "cli/io.h"
#include "cli/json_output.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/text.h"

namespace caisson::cli {

int each_image(
    std::string_view command, const std::vector<std::string>& names, bool json,
    const std::function<Result<std::string>(Images& images, const std::string& name)>& use) {
  if (names.empty())
    return fail(usage_error(command, "argument_missing", "IMAGE is missing"), json);
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), json);
  Images images = runtime->images();
  int status = 0;
  for (const std::string& name : names) {
    auto text = use(images, name);
    if (!text && json) (void)print(error_object(text.error()) + "\n");
    const int done = text ? print(*text) : fail_box(text.error());
    if (done == kStatusOutputClosed) return done;
    if (done != 0) status = done;
  }
  return status;
}

Result<std::string> only_argument(std::string_view command, std::string_view what,
                                  const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    return usage_error(command, "argument_missing", std::string(what) + " is missing");
  }
  if (arguments.size() > 1) {
    return usage_error(command, "argument_unexpected",
                       "'" + arguments[1] + "' is one too many, it takes one " + std::string(what));
  }
  return arguments.front();
}

std::string removed_text(const RemovedImages& removed) {
  std::string text;
  for (const std::string& name : removed.untagged) {
    text += "Untagged: " + escape(familiar_name(name)) + "\n";
  }
  for (const std::string& id : removed.deleted) text += "Deleted: " + escape(id) + "\n";
  return text;
}

}  // namespace caisson::cli
