#include "image/credentials.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "base/fd.h"
#include "image/credential_helper.h"
#include "spec/text.h"

namespace caisson::image {
namespace {

constexpr std::size_t kMostBytes = 1u << 20;
constexpr std::string_view kDockerHub = "docker.io";
constexpr std::string_view kDockerHubKey = "https://index.docker.io/v1/";

/// A helper's and docker's name of a registry.
std::string server_of(std::string_view domain) {
  return std::string(domain == kDockerHub ? kDockerHubKey : domain);
}

/// The file's value, that of an empty one when it is not there.
Result<AuthFile> read(const std::string& path) {
  Result<std::string> text = read_file(path, kMostBytes);
  if (!text) {
    const int err = text.error().sys_errno;
    if (err == ENOENT || err == ENOTDIR) return AuthFile();
    return with_context(std::move(text).error(), "read credentials");
  }
  Result<AuthFile> file = AuthFile::parse(*text);
  if (!file) return with_context(std::move(file).error(), format("read '{}'", path));
  return file;
}

/// People keep the file elsewhere and link to it; what is replaced is the file itself.
std::string real_file(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  return real ? std::string(real.get()) : path;
}

Result<> write(const std::string& link, const AuthFile& file) {
  const std::string path = real_file(link);
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (::mkdir(directory.c_str(), 0700) < 0 && errno != EEXIST && errno != EROFS)
    return sys_error("create directory", directory);
  const Fd parent = TRY(open_fd(directory, O_RDONLY | O_DIRECTORY));
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  return replace_file(parent.get(), name, file.print(), 0600);
}

}  // namespace

std::string CredentialStore::docker_file() const {
  if (const std::string directory = environment_("DOCKER_CONFIG"); !directory.empty())
    return directory + "/config.json";
  const std::string home = environment_("HOME");
  return home.empty() ? "" : home + "/.docker/config.json";
}

std::vector<std::string> CredentialStore::files() const {
  std::vector<std::string> paths;
  if (std::string path = environment_("REGISTRY_AUTH_FILE"); !path.empty()) paths.push_back(path);
  if (const std::string runtime = environment_("XDG_RUNTIME_DIR"); !runtime.empty())
    paths.push_back(runtime + "/containers/auth.json");
  if (std::string path = docker_file(); !path.empty()) paths.push_back(std::move(path));
  return paths;
}

Result<std::optional<Credentials>> CredentialStore::ask(const std::string& helper,
                                                        std::string_view domain) const {
  return TRY(CredentialHelper::find(helper, environment_("PATH"))).get(server_of(domain));
}

Result<std::optional<Credentials>> CredentialStore::find(std::string_view domain,
                                                         std::string_view repository) const {
  for (const std::string& path : files()) {
    const AuthFile file = TRY(read(path));
    for (const std::string& helper : {file.helper(domain, repository), file.store()}) {
      if (helper.empty()) continue;
      Result<std::optional<Credentials>> found = ask(helper, domain);
      if (!found) return with_context(std::move(found).error(), format("use '{}'", path));
      if (*found) return found;
    }
    Result<std::optional<Credentials>> found = file.find(domain, repository);
    if (!found) return with_context(std::move(found).error(), format("read '{}'", path));
    if (*found) return found;
  }
  return std::nullopt;
}

Result<> CredentialStore::store(std::string_view domain, const Credentials& credentials) const {
  const std::string own = environment_("REGISTRY_AUTH_FILE");
  const std::string path = own.empty() ? docker_file() : own;
  if (path.empty())
    return make_error(Code::kFailedPrecondition, "auth_file_missing",
                      format("keep credentials for '{}': HOME is not set", domain),
                      "set REGISTRY_AUTH_FILE to the file that is to have them");
  if (credentials.username.find(':') != std::string::npos)
    return spec::invalid("credentials_invalid",
                         format("keep credentials for '{}': the user's name has a ':'", domain));
  AuthFile file = TRY(read(path));
  std::string helper = file.helper(domain, "");
  if (helper.empty()) helper = file.store();
  if (!helper.empty()) {
    const auto program = TRY(CredentialHelper::find(helper, environment_("PATH")));
    TRY(program.store(server_of(domain), credentials));
  }
  // podman does not know docker's old name of its registry.
  const std::string key = own.empty() ? server_of(domain) : std::string(domain);
  file.set(domain, key, credentials, !helper.empty());
  return write(path, file);
}

Result<bool> CredentialStore::erase_from(const std::string& path, std::string_view domain) const {
  AuthFile file = TRY(read(path));
  bool any = false;
  for (const std::string& helper : {file.helper(domain, ""), file.store()}) {
    if (helper.empty() || !TRY(ask(helper, domain))) continue;
    const auto program = TRY(CredentialHelper::find(helper, environment_("PATH")));
    TRY(program.erase(server_of(domain)));
    any = true;
  }
  if (!file.erase(domain)) return any;
  TRY(write(path, file));
  return true;
}

Result<bool> CredentialStore::erase(std::string_view domain) const {
  bool any = false;
  for (const std::string& path : files()) any = TRY(erase_from(path, domain)) || any;
  return any;
}

}  // namespace caisson::image
