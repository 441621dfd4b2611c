#include "init/failures.h"

#include <charconv>

#include "base/format.h"
#include "init/exec_block.h"

namespace caisson::init {

Error received_error(std::string_view text, int err) {
  std::string parts[4];
  for (std::string& part : parts) {
    const auto end = text.find('\n');
    part = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  int code = static_cast<int>(Code::kInternal);
  std::from_chars(parts[0].data(), parts[0].data() + parts[0].size(), code);
  Error error = make_error(static_cast<Code>(code), parts[1], parts[2], parts[3]);
  error.sys_errno = err;
  return error;
}

Error exec_error(const ExecFailure& failure, const std::string& program,
                 const std::string& workdir) {
  Error error;
  if (failure.step == ExecStep::kWorkdir) {
    error = errno_error(failure.error, "enter working directory", workdir);
    error.reason = "workdir_unusable";
    error.hint = "the directory must exist inside the box";
  } else if (failure.step == ExecStep::kExec && failure.error == ENOENT) {
    error = errno_error(failure.error, "start program", program);
    error.reason = "program_not_found";
    error.hint = "it is looked for inside the box, along PATH";
  } else if (failure.step == ExecStep::kExec) {
    error = errno_error(failure.error, "start program", program);
    error.reason = "program_not_executable";
  } else {
    error = errno_error(failure.error,
                        format("start program '{}': {}", program, to_string(failure.step)), "");
    error.reason = failure.step == ExecStep::kFork ? "process_limit" : "start_failed";
    if (failure.step == ExecStep::kFork) error.code = Code::kResourceExhausted;
  }
  return error;
}

}  // namespace caisson::init
