#include "fetch/registry/authorization.h"

#include <nlohmann/json.hpp>

#include "fetch/registry/http.h"
#include "fetch/registry/http_text.h"
#include "fetch/registry/url.h"
#include "spec/auth_challenge.h"
#include "spec/json.h"
#include "spec/text.h"

namespace caisson::fetch {
namespace {

Error refused(const Endpoint& endpoint, Code code, std::string_view reason,
              const std::string& cause, std::string hint = {}) {
  return make_error(code, reason,
                    format("get token for registry '{}': {}", endpoint.about.host, cause),
                    std::move(hint));
}

Error refused_by_status(const Endpoint& endpoint, long status, const std::string& said) {
  const std::string cause =
      format("the token server answered {}{}", status, said.empty() ? "" : ": " + said);
  if (status >= 500 || status == 408)
    return refused(endpoint, Code::kUnavailable, "registry_error", cause);
  if (status == 429)
    return refused(endpoint, Code::kResourceExhausted, "registry_rate_limited", cause,
                   "try again later, or log in");
  return refused(endpoint, Code::kUnauthenticated, "registry_unauthorized", cause,
                 format("caisson login {}", endpoint.about.host));
}

std::string basic(const Endpoint& endpoint) {
  return "Basic " + spec::base64_encode(endpoint.about.username + ":" + endpoint.about.password);
}

std::size_t collect(char* data, std::size_t size, std::size_t count, void* into) {
  constexpr std::size_t kMost = 256 << 10;
  auto& text = *static_cast<std::string*>(into);
  if (text.size() + size * count > kMost) return 0;
  text.append(data, size * count);
  return size * count;
}

struct TokenRequest {
  std::string url, form;  ///< with a form it is a POST
  std::string authorization;
};

Result<std::string> perform(const Endpoint& endpoint, const TokenRequest& request) {
  const EasyHandle easy(::curl_easy_init());
  HeaderList headers;
  if (!request.authorization.empty())
    add_header(headers, "Authorization: " + request.authorization);
  std::string body;
  set_common(easy.get(), endpoint.about, endpoint.settings, endpoint.certificates, request.url);
  ::curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT, 60L);
  ::curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
  ::curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, collect);
  ::curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &body);
  if (!request.form.empty())
    ::curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDS, request.form.c_str());
  const CURLcode code = ::curl_easy_perform(easy.get());
  if (code != CURLE_OK)
    return refused(endpoint, Code::kUnavailable,
                   is_tls(code) ? "registry_tls" : "registry_unreachable",
                   format("'{}': {}", shown(request.url), ::curl_easy_strerror(code)));
  long status = 0;
  ::curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status == 200) return body;
  return refused_by_status(endpoint, status, error_message(body));
}

/// `value` as a form's (application/x-www-form-urlencoded).
std::string escaped(const std::string& value) {
  char* text = ::curl_easy_escape(nullptr, value.data(), static_cast<int>(value.size()));
  std::string copy(text == nullptr ? "" : text);
  ::curl_free(text);
  return copy;
}

std::string value_of(const spec::Challenge& challenge, const char* name) {
  const auto found = challenge.parameters.find(name);
  return found == challenge.parameters.end() ? "" : found->second;
}

Result<TokenRequest> token_request(const Endpoint& endpoint, const spec::Challenge& challenge) {
  TokenRequest request{value_of(challenge, "realm"), "", ""};
  const std::string service = value_of(challenge, "service");
  std::string scope = value_of(challenge, "scope");
  if (scope.empty() && !endpoint.about.repository.empty())
    scope = format("repository:{}:pull", endpoint.about.repository);
  const Result<UrlOrigin> realm = origin_of(request.url);
  if (!realm)
    return refused(endpoint, Code::kUnauthenticated, "registry_unauthorized",
                   format("it names no usable token server ('{}')", shown(request.url)));
  if (realm->scheme != "https" && !endpoint.about.plain_http)
    return refused(endpoint, Code::kUnauthenticated, "registry_downgrade",
                   format("its token server '{}' is plain http", shown(request.url)));
  if (!endpoint.about.identity_token.empty()) {
    request.form =
        format("grant_type=refresh_token&client_id=caisson&service={}&scope={}&refresh_token={}",
               escaped(service), escaped(scope), escaped(endpoint.about.identity_token));
    return request;
  }
  if (!service.empty()) request.url = TRY(with_query(request.url, "service", service));
  if (!scope.empty()) request.url = TRY(with_query(request.url, "scope", scope));
  if (!endpoint.about.username.empty()) request.authorization = basic(endpoint);
  return request;
}

Result<std::string> token_of(const Endpoint& endpoint, const std::string& body) {
  const auto parsed = spec::parse_json(body, 1000);
  if (parsed && parsed->is_object())
    for (const char* name : {"token", "access_token"})
      if (const auto found = parsed->find(name); found != parsed->end() && found->is_string())
        if (const auto& token = found->get_ref<const std::string&>();
            !token.empty() && token.find_first_of("\r\n") == std::string::npos)
          return token;
  return refused(endpoint, Code::kUnauthenticated, "registry_unauthorized",
                 "the token server's answer holds no token");
}

}  // namespace

Result<> authorize(Endpoint& endpoint, const std::string& challenges) {
  const std::vector<spec::Challenge> offered = spec::parse_challenges(challenges);
  for (const spec::Challenge& challenge : offered) {
    if (challenge.scheme != "bearer") continue;
    if (!endpoint.about.registry_token.empty()) {
      endpoint.authorization = "Bearer " + endpoint.about.registry_token;
      return {};
    }
    const TokenRequest request = TRY(token_request(endpoint, challenge));
    const std::string body = TRY(perform(endpoint, request));
    endpoint.authorization = "Bearer " + TRY(token_of(endpoint, body));
    return {};
  }
  for (const spec::Challenge& challenge : offered) {
    if (challenge.scheme != "basic" || endpoint.about.username.empty()) continue;
    endpoint.authorization = basic(endpoint);
    return {};
  }
  return make_error(Code::kUnauthenticated, "registry_unauthorized",
                    format("ask registry '{}': it wants to know who asks", endpoint.about.host),
                    format("caisson login {}", endpoint.about.host));
}

}  // namespace caisson::fetch
