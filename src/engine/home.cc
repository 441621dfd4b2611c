#include "engine/home.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>

namespace caisson::engine {
namespace {

std::string variable(const char* name) {
  const char* value = ::getenv(name);  // NOLINT(concurrency-mt-unsafe): read once, at open
  return value == nullptr ? "" : value;
}

Result<std::string> choose_home(const OpenOptions& options) {
  if (!options.home.empty()) return options.home;
  if (std::string home = variable("CAISSON_HOME"); !home.empty()) return home;
  if (::geteuid() == 0) return std::string("/var/lib/caisson");
  if (std::string data = variable("XDG_DATA_HOME"); !data.empty()) return data + "/caisson";
  if (std::string home = variable("HOME"); !home.empty()) return home + "/.local/share/caisson";
  return make_error(Code::kFailedPrecondition, "home_unusable",
                    "choose home directory: neither CAISSON_HOME, XDG_DATA_HOME nor HOME is set",
                    "set CAISSON_HOME to a directory on a local file system");
}

Result<> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  if (errno == ENOENT) {
    const auto slash = path.rfind('/');
    if (slash != std::string::npos && slash > 0) {
      TRY(make_directory(path.substr(0, slash)));
      if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
    }
  }
  Error error = sys_error("create home directory", path);
  if (error.reason != "disk_full") error.reason = "home_unusable";
  error.hint = "set CAISSON_HOME to a directory that you may write";
  return error;
}

}  // namespace

void spread_children(const std::string& path) {
  const Result<Fd> directory = open_fd(path, O_RDONLY | O_DIRECTORY);
  int flags = 0;
  if (!directory || ::ioctl(directory->get(), FS_IOC_GETFLAGS, &flags) < 0) return;
  flags |= FS_TOPDIR_FL;
  ::ioctl(directory->get(), FS_IOC_SETFLAGS, &flags);
}

Result<backend::Layout> open_layout(const OpenOptions& options) {
  std::string home = TRY(choose_home(options));
  if (home.front() != '/') {
    char cwd[PATH_MAX];
    if (::getcwd(cwd, sizeof cwd) == nullptr) return sys_error("read working directory", "");
    home = std::string(cwd) + "/" + home;
  }
  // The last one made is the first one looked for: a complete home costs two calls.
  if (::access((home + "/ended").c_str(), W_OK) != 0) {
    for (const char* part : {"", "/boxes", "/cache", "/db", "/ended"})
      TRY(make_directory(home + part));
    spread_children(home + "/boxes");
  }
  if (::access((home + "/ended").c_str(), W_OK) != 0) {
    Error error = sys_error("write to home directory", home);
    error.reason = "home_unusable";
    error.hint = "set CAISSON_HOME to a directory that you may write";
    return error;
  }
  struct stat info{};
  if (::stat(home.c_str(), &info) < 0) return sys_error("inspect home directory", home);
  if (info.st_uid != ::geteuid() || (info.st_mode & S_IWOTH) != 0)
    return make_error(Code::kFailedPrecondition, "home_unusable",
                      format("use home directory '{}': {}", home,
                             info.st_uid != ::geteuid() ? "it belongs to another user"
                                                        : "everybody may write to it"),
                      "set CAISSON_HOME to a directory of your own");
  return backend::Layout{home};
}

namespace {

/// One of our own programs: the one asked for, else beside the running executable, else installed.
Result<std::string> find_program(const std::string& name, const std::string& asked,
                                 std::string_view reason, const char* of_environment) {
  std::vector<std::string> candidates;
  if (!asked.empty()) {
    candidates = {asked};
  } else {
    char self[PATH_MAX];
    const ssize_t n = ::readlink("/proc/self/exe", self, sizeof self);
    if (n > 0) {
      std::string directory(self, static_cast<std::size_t>(n));
      directory.resize(directory.rfind('/') + 1);
      candidates.push_back(directory + name);
      candidates.push_back(directory + "../libexec/caisson/" + name);
    }
    candidates.push_back(CAISSON_LIBEXECDIR "/caisson/" + name);
  }
  for (const std::string& path : candidates) {
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
        ::access(path.c_str(), X_OK) == 0)
      return path;
  }
  return make_error(
      Code::kFailedPrecondition, reason,
      format("find program '{}': '{}' is not an executable file", name, candidates.front()),
      format("set {} to the path of {}", of_environment, name));
}

std::string first_of(const std::string& option, const char* name) {
  return option.empty() ? variable(name) : option;
}

}  // namespace

Result<std::string> find_shim(const OpenOptions& options) {
  return find_program("caisson-shim", first_of(options.shim_path, "CAISSON_SHIM"), "shim_missing",
                      "CAISSON_SHIM");
}

Result<std::string> find_fetch(const OpenOptions& options) {
  return find_program("caisson-fetch", first_of(options.fetch_path, "CAISSON_FETCH"),
                      "fetch_missing", "CAISSON_FETCH");
}

std::string find_guest(const OpenOptions& options, const std::string& shim) {
  std::string asked = first_of(options.guest_path, "CAISSON_GUEST");
  if (!asked.empty()) return asked;
  const std::string beside = shim.substr(0, shim.rfind('/') + 1);
  for (const char* place : {"guest", "../../guest"})  // installed; of a build
    if (std::string path = beside + place; ::access((path + "/manifest.json").c_str(), R_OK) == 0)
      return path;
  return {};
}

std::string boot_id() {
  Result<std::string> id = read_file("/proc/sys/kernel/random/boot_id", 256);
  return id ? id->substr(0, id->find('\n')) : "";
}

}  // namespace caisson::engine
