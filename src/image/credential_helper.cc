#include "image/credential_helper.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "base/subprocess.h"
#include "spec/json.h"
#include "spec/text.h"

namespace caisson::image {
namespace {

using nlohmann::json;
using spec::quote;

constexpr std::size_t kMostOutput = 64 << 10;
constexpr std::string_view kTokenUser = "<token>";
/// What helpers print, with status 1, when they have nothing.
constexpr std::string_view kNotFound = "credentials not found";

bool is_plain(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() != '.' &&
         std::ranges::all_of(
             name, [](char c) { return spec::is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_program(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

std::vector<std::string> own_environment() {
  std::vector<std::string> result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry)
    result.emplace_back(*entry);
  return result;
}

/// A memory file and no pipe: a helper that does not read must not end us with SIGPIPE.
Result<Fd> input_file(std::string_view input) {
  Fd file(::memfd_create("caisson-helper-input", MFD_CLOEXEC));
  if (!file) return sys_error("create memory file", "helper input");
  TRY(write_all(file.get(), input, "helper input"));
  if (::lseek(file.get(), 0, SEEK_SET) < 0) return sys_error("seek in", "helper input");
  return file;
}

/// Reads what is there; false at the end of the file. What is too much is thrown away.
bool drain(int fd, std::string& out) {
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    const std::size_t room = kMostOutput - std::min(kMostOutput, out.size());
    out.append(buffer, std::min(static_cast<std::size_t>(got), room));
  }
}

/// Reads both until the process ends, and not until their end: something that the helper has left
/// running (an agent) may hold them. False when the time is over.
bool watch(int process, const Fd& output, const Fd& errors, std::string& out, std::string& err,
           std::chrono::milliseconds timeout) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + timeout;
  pollfd fds[] = {{process, POLLIN, 0}, {output.get(), POLLIN, 0}, {errors.get(), POLLIN, 0}};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) return false;
    const int ready = ::poll(fds, 3, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return false;
    if (ready <= 0) continue;
    if (fds[1].revents != 0 && !drain(output.get(), out)) fds[1].fd = -1;
    if (fds[2].revents != 0 && !drain(errors.get(), err)) fds[2].fd = -1;
    if (fds[0].revents == 0) continue;
    drain(output.get(), out);
    drain(errors.get(), err);
    return true;
  }
}

std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  const std::size_t newline = text.rfind('\n');
  return std::string(newline == std::string_view::npos ? text : text.substr(newline + 1));
}

Error bad_output(std::string_view cause) {
  return make_error(Code::kInternal, "credential_helper_failed",
                    format("parse the helper's answer: {}", cause));
}

}  // namespace

Result<CredentialHelper> CredentialHelper::find(std::string_view name,
                                                std::string_view search_path) {
  if (!is_plain(name))
    return make_error(Code::kInvalidArgument, "credential_helper_invalid",
                      format("find credential helper {}: not a plain name", quote(name)),
                      "letters, digits, '-', '_' and '.'");
  for (std::string_view directory : spec::split(search_path, ':')) {
    std::string path = format("{}/docker-credential-{}", directory, name);
    if (directory.starts_with('/') && is_program(path)) return CredentialHelper(std::move(path));
  }
  return make_error(Code::kNotFound, "credential_helper_missing",
                    format("find credential helper 'docker-credential-{}': not in PATH", name),
                    "install it, or take it out of the auth file (docs/registries.md)");
}

Result<CredentialHelper::Ended> CredentialHelper::call(const char* verb,
                                                       std::string_view input) const {
  const Fd in = TRY(input_file(input));
  Pipe output = TRY(make_pipe()), errors = TRY(make_pipe());
  TRY(set_nonblocking(output.read.get()));
  TRY(set_nonblocking(errors.read.get()));
  SpawnOptions options;
  options.env = own_environment();
  options.fds = {{in.get(), 0}, {output.write.get(), 1}, {errors.write.get(), 2}};
  const int pid = TRY(spawn({path_, verb}, options));
  output.write.reset();
  errors.write.reset();
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  Ended ended;
  const bool in_time = process && watch(process.get(), output.read, errors.read, ended.output,
                                        ended.errors, timeout);
  if (!in_time) ::kill(pid, SIGKILL);
  while (::waitpid(pid, &ended.status, 0) < 0 && errno == EINTR) {
  }
  if (in_time) return ended;
  return make_error(Code::kDeadlineExceeded, "credential_helper_failed",
                    format("run '{} {}': it did not end in {} seconds", path_, verb,
                           std::chrono::ceil<std::chrono::seconds>(timeout).count()));
}

Error CredentialHelper::failed(const char* verb, const Ended& ended) const {
  // Helpers of docker's kit say what went wrong on standard output; others on standard error.
  std::string cause = last_line(ended.errors);
  if (cause.empty()) cause = last_line(ended.output);
  const std::string how = WIFEXITED(ended.status)
                              ? format("exit status {}", WEXITSTATUS(ended.status))
                              : format("ended by signal {}", WTERMSIG(ended.status));
  return make_error(Code::kInternal, "credential_helper_failed",
                    format("run '{} {}': {}{}", path_, verb, how,
                           cause.empty() ? "" : format(": {}", quote(cause))));
}

Result<std::optional<Credentials>> CredentialHelper::get(std::string_view server) const {
  const Ended ended = TRY(call("get", server));
  if (ended.status != 0) {
    if (ended.output.find(kNotFound) != std::string::npos) return std::nullopt;
    return failed("get", ended);
  }
  Result<Credentials> found = parse_helper_output(ended.output);
  if (!found) return with_context(std::move(found).error(), format("run '{} get'", path_));
  return std::move(*found);
}

Result<> CredentialHelper::store(std::string_view server, const Credentials& credentials) const {
  const bool token = !credentials.identity_token.empty();
  const json input = {{"ServerURL", server},
                      {"Username", token ? std::string(kTokenUser) : credentials.username},
                      {"Secret", token ? credentials.identity_token : credentials.password}};
  const Ended ended =
      TRY(call("store", input.dump(-1, ' ', false, json::error_handler_t::replace)));
  if (ended.status != 0) return failed("store", ended);
  return {};
}

Result<> CredentialHelper::erase(std::string_view server) const {
  const Ended ended = TRY(call("erase", server));
  if (ended.status == 0 || ended.output.find(kNotFound) != std::string::npos) return {};
  return failed("erase", ended);
}

Result<Credentials> parse_helper_output(std::string_view text) {
  const Result<json> document = spec::parse_json(text);
  // The parser's own words could repeat what is secret.
  if (!document || !document->is_object()) return bad_output("it is not a JSON object");
  const auto member = [&](const char* name) -> std::optional<std::string> {
    const auto at = document->find(name);
    if (at == document->end() || !at->is_string()) return std::nullopt;
    const std::string value = at->get<std::string>();
    const bool control = std::ranges::any_of(
        value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    return control ? std::nullopt : std::optional(value);
  };
  const std::optional<std::string> user = member("Username"), secret = member("Secret");
  if (!user || !secret) return bad_output("it has no usable Username and Secret");
  Credentials found;
  if (*user == kTokenUser) {
    found.identity_token = *secret;
  } else {
    found.username = *user;
    found.password = *secret;
  }
  return found;
}

}  // namespace caisson::image
