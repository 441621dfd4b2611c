// Any text as registries.json, as a file of credentials and as a helper's answer.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "image/credential_helper.h"
#include "image/registry_config.h"

namespace {

using namespace caisson::image;

void require(bool holds) {
  if (!holds) std::abort();
}

template <class T>
bool parsed(const caisson::Result<T>& result) {
  if (result) return true;
  require(!result.error().reason.empty());
  for (char c : result.error().message) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  return false;
}

/// They become lines of requests.
void check(const Credentials& found) {
  for (const std::string* text :
       {&found.username, &found.password, &found.identity_token, &found.registry_token})
    require(text->find_first_of("\r\n") == std::string::npos);
}

void check_auth_file(AuthFile file) {
  for (const char* domain : {"docker.io", "h.example:5000"}) {
    const auto found = file.find(domain, "library/a");
    if (parsed(found) && *found) check(**found);
    file.helper(domain, "library/a");
    file.set(domain, domain, {"u", "p", "", ""}, false);
    const auto again = AuthFile::parse(file.print());
    require(again.has_value());
    const auto kept = again->find(domain, "");
    require(kept.has_value() && *kept && (*kept)->password == "p");
    require(file.erase(domain) && !file.erase(domain));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto file = AuthFile::parse(text);
  if (parsed(file)) check_auth_file(*file);
  auto config = parse_registry_config(text);
  if (parsed(config)) {
    config->ca_directories.clear();
    for (auto& [name, settings] : config->registries) settings.ca.clear();  // no file is read here
    const CredentialStore none([](const char*) { return std::string(); });
    const auto ref = caisson::spec::parse_image_ref("alpine").value();
    const auto places = endpoints(ref, *config, none);
    require(places.has_value() && !places->empty());
  }
  const auto answer = parse_helper_output(text);
  if (parsed(answer)) check(*answer);
  const auto registry = parse_registry(text);
  if (parsed(registry)) require(registry->find('/') == std::string::npos);
  return 0;
}
