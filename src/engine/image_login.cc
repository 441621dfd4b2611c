// Credentials of registries: tried, kept and forgotten.
#include "engine/images_impl.h"
#include "image/registry_config.h"

namespace caisson {
namespace {

/// Absent: the registry took them.
Result<std::optional<Error>> try_login(const Runtime::Impl& runtime,
                                       const image::Endpoint& endpoint) {
  const image::Proxies proxies = image::proxies(image::process_variable);
  const engine::FetchDirectories directories = TRY(engine::open_fetch_directories(runtime));
  engine::FetchProcess process = TRY(engine::FetchProcess::start(
      runtime, image::LoginRequest{endpoint, proxies.http, proxies.https, proxies.none},
      {directories.fetch.get()}, -1));
  for (;;) {
    std::optional<image::FetchMessage> message = TRY(process.receive({}));
    if (!message) {
      TRY(process.finish(in(std::chrono::seconds(10))));
      return make_error(Code::kInternal, "fetch_died",
                        "log in: caisson-fetch ended without a word");
    }
    if (auto* error = std::get_if<Error>(&*message)) return std::optional(std::move(*error));
    if (std::holds_alternative<image::FetchDone>(*message)) return std::optional<Error>();
  }
}

}  // namespace

Result<> Images::login(std::string_view registry, const std::string& user,
                       const std::string& password) {
  const std::string domain = TRY(image::parse_registry(registry));
  const image::RegistryConfig config = TRY(image::load_registry_config());
  std::optional<Error> error;
  for (image::Endpoint& endpoint : TRY(image::login_endpoints(domain, config))) {
    endpoint.username = user;
    endpoint.password = password;
    error = TRY(try_login(*impl_->runtime, endpoint));
    // Another way to the registry is worth a try only when this one led nowhere.
    if (!error || error->code == Code::kUnauthenticated || error->code == Code::kPermissionDenied)
      break;
  }
  if (error) return std::move(*error);
  return image::CredentialStore().store(domain, {.username = user, .password = password});
}

Result<bool> Images::logout(std::string_view registry) {
  return image::CredentialStore().erase(TRY(image::parse_registry(registry)));
}

}  // namespace caisson
