// From a reference to the places to ask.
#include <fcntl.h>

#include <algorithm>

#include "base/fd.h"
#include "image/registry_config.h"
#include "spec/text.h"

namespace caisson::image {
namespace {

// Several of them go into one message of fetch_protocol.h.
constexpr std::size_t kLargestCa = 48 << 10;

const RegistrySettings& settings_of(const RegistryConfig& config, const std::string& domain) {
  static const RegistrySettings kNone;
  const auto at = config.registries.find(domain);
  return at == config.registries.end() ? kNone : at->second;
}

Result<std::string> read_ca(const std::string& path, const std::string& domain) {
  Result<std::string> text = read_file(path, kLargestCa);
  if (!text) return with_context(std::move(text).error(), format("read CA of '{}'", domain));
  if (text->find("-----BEGIN CERTIFICATE-----") == std::string::npos)
    return spec::invalid("registry_config_invalid",
                         format("read CA of '{}': '{}' has no PEM certificate", domain, path));
  return text;
}

Result<std::string> ca_of(const RegistryConfig& config, const std::string& domain) {
  const RegistrySettings& settings = settings_of(config, domain);
  if (!settings.ca.empty()) return read_ca(settings.ca, domain);
  for (const std::string& directory : config.ca_directories) {
    const std::string path = format("{}/{}/ca.crt", directory, domain);
    const Result<Fd> file = open_fd(path, O_RDONLY);
    if (file) return read_ca(path, domain);
  }
  return std::string();
}

/// The API of docker.io is on another host.
std::string host_of(const std::string& domain) {
  return domain == "docker.io" ? "registry-1.docker.io" : domain;
}

/// The ways to one host, without credentials.
Result<std::vector<Endpoint>> ways(const std::string& domain, const RegistryConfig& config) {
  const RegistrySettings& settings = settings_of(config, domain);
  Endpoint secure, plain;
  secure.host = plain.host = host_of(domain);
  plain.plain_http = true;
  if (settings.plain_http) return std::vector{plain};
  secure.ca = TRY(ca_of(config, domain));
  secure.skip_verify = settings.insecure;
  const bool trusting = is_loopback(domain) && secure.ca.empty();
  if (settings.insecure || trusting) return std::vector{secure, plain};
  return std::vector{secure};
}

Result<> add_ways(std::vector<Endpoint>& out, const std::string& domain,
                  const std::string& repository, const RegistryConfig& config,
                  const CredentialStore& store) {
  const std::optional<Credentials> known = TRY(store.find(domain, repository));
  for (Endpoint& way : TRY(ways(domain, config))) {
    way.repository = repository;
    if (known) {
      way.username = known->username;
      way.password = known->password;
      way.identity_token = known->identity_token;
      way.registry_token = known->registry_token;
    }
    out.push_back(std::move(way));
  }
  return {};
}

}  // namespace

Result<std::vector<Endpoint>> endpoints(const spec::ImageRef& ref, const RegistryConfig& config,
                                        const CredentialStore& credentials) {
  std::vector<Endpoint> result;
  for (const std::string& mirror : settings_of(config, ref.domain).mirrors) {
    const std::size_t slash = mirror.find('/');
    const std::string prefix = slash == std::string::npos ? "" : mirror.substr(slash + 1) + "/";
    TRY(add_ways(result, mirror.substr(0, slash), prefix + ref.repository, config, credentials));
  }
  TRY(add_ways(result, ref.domain, ref.repository, config, credentials));
  return result;
}

Result<std::vector<Endpoint>> login_endpoints(const std::string& domain,
                                              const RegistryConfig& config) {
  return ways(domain, config);
}

bool is_loopback(std::string_view domain) {
  const std::string host =
      spec::lower(domain.starts_with('[') ? domain.substr(0, domain.find(']') + 1)
                                          : domain.substr(0, domain.find(':')));
  if (host == "localhost" || host == "[::1]") return true;
  const std::vector<std::string_view> parts = spec::split(host, '.');
  return parts.size() == 4 && parts.front() == "127" &&
         std::ranges::all_of(parts, [](std::string_view part) {
           const std::optional<std::uint64_t> number = spec::to_unsigned(part);
           return number && *number <= 255;
         });
}

}  // namespace caisson::image
