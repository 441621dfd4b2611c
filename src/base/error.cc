#include "base/error.h"

#include <cstring>

namespace caisson {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::kOk:
      return "OK";
    case Code::kCancelled:
      return "CANCELLED";
    case Code::kUnknown:
      return "UNKNOWN";
    case Code::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Code::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case Code::kNotFound:
      return "NOT_FOUND";
    case Code::kAlreadyExists:
      return "ALREADY_EXISTS";
    case Code::kPermissionDenied:
      return "PERMISSION_DENIED";
    case Code::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case Code::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case Code::kAborted:
      return "ABORTED";
    case Code::kOutOfRange:
      return "OUT_OF_RANGE";
    case Code::kUnimplemented:
      return "UNIMPLEMENTED";
    case Code::kInternal:
      return "INTERNAL";
    case Code::kUnavailable:
      return "UNAVAILABLE";
    case Code::kDataLoss:
      return "DATA_LOSS";
    case Code::kUnauthenticated:
      return "UNAUTHENTICATED";
  }
  return "UNKNOWN";
}

Error make_error(Code code, std::string_view reason, std::string message, std::string hint,
                 std::source_location where) {
  return Error{code, 0, std::string(reason), std::move(message), std::move(hint), where};
}

Code code_of_errno(int err) {
  switch (err) {
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENXIO:
      return Code::kNotFound;
    case EEXIST:
      return Code::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return Code::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
    case EUSERS:
      return Code::kResourceExhausted;
    case EINVAL:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case E2BIG:
      return Code::kInvalidArgument;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::kUnimplemented;
    case ETIMEDOUT:
      return Code::kDeadlineExceeded;
    case EBUSY:
    case ENOTEMPTY:
    case ETXTBSY:
      return Code::kFailedPrecondition;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
      return Code::kUnavailable;
    default:
      return Code::kInternal;
  }
}

std::string errno_text(int err) {
  const char* text = strerrordesc_np(err);
  return text != nullptr ? text : format("errno {}", err);
}

Error errno_error(int err, std::string_view action, std::string_view object,
                  std::source_location where) {
  std::string message = object.empty() ? format("{}: {}", action, errno_text(err))
                                       : format("{} '{}': {}", action, object, errno_text(err));
  std::string_view reason = err == ENOSPC || err == EDQUOT ? "disk_full" : "system_call_failed";
  return Error{code_of_errno(err), err, std::string(reason), std::move(message), {}, where};
}

Error sys_error(std::string_view action, std::string_view object, std::source_location where) {
  const int err = errno;
  return errno_error(err, action, object, where);
}

Error with_context(Error error, std::string_view phase) {
  error.message = format("{}: {}", phase, error.message);
  return error;
}

}  // namespace caisson
