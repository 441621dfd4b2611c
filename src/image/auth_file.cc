#include "image/auth_file.h"

#include "spec/json.h"
#include "spec/text.h"

namespace caisson::image {
namespace {

using nlohmann::json;
using spec::quote;

Error invalid_file(std::string_view cause) {
  return make_error(Code::kInvalidArgument, "auth_file_invalid",
                    format("parse credentials: {}", cause));
}

/// A member that is an object; null otherwise.
const json* section(const json& document, const char* name) {
  const auto at = document.find(name);
  return at != document.end() && at->is_object() ? &*at : nullptr;
}

std::string text_of(const json& object, const char* name) {
  const auto at = object.find(name);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

/// The longest of the keys that `domain`/`repository` is in.
const json* longest_match(const json* keys, std::string_view domain, std::string_view repository,
                          std::string* name = nullptr) {
  if (keys == nullptr) return nullptr;
  const std::string wanted = format("{}/{}/", domain, repository);
  const json* best = nullptr;
  std::size_t length = 0;
  for (const auto& item : keys->items()) {
    const std::string key = normal_key(item.key());
    if (key.size() <= length || !wanted.starts_with(key + "/")) continue;
    best = &item.value();
    length = key.size();
    if (name != nullptr) *name = item.key();
  }
  return best;
}

/// All spellings of `domain` among the keys.
std::vector<std::string> keys_of(const json& auths, std::string_view domain) {
  std::vector<std::string> keys;
  for (const auto& item : auths.items())
    if (normal_key(item.key()) == domain) keys.push_back(item.key());
  return keys;
}

Result<> decode_pair(std::string_view key, const std::string& encoded, Credentials& out) {
  std::optional<std::string> pair = spec::base64_decode(encoded);
  const std::size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos)
    return invalid_file(format("'auth' of {} is not base 64 of USER:PASSWORD", quote(key)));
  out.username = pair->substr(0, colon);
  out.password = pair->substr(colon + 1);
  while (out.password.ends_with('\0')) out.password.pop_back();  // as docker does
  return {};
}

/// They become lines of requests.
bool has_control(std::string_view text) {
  for (char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  return false;
}

Result<> check(std::string_view key, const Credentials& credentials) {
  for (const std::string* text : {&credentials.username, &credentials.password,
                                  &credentials.identity_token, &credentials.registry_token})
    if (has_control(*text))
      return invalid_file(format("the entry {} has a control character", quote(key)));
  return {};
}

}  // namespace

std::string normal_key(std::string_view key) {
  const std::size_t scheme = key.find("://");
  if (scheme != std::string_view::npos) {
    key.remove_prefix(scheme + 3);
    key = key.substr(0, key.find('/'));
  }
  while (key.ends_with('/')) key.remove_suffix(1);
  for (std::string_view version : {"/v1", "/v2"})
    if (key.ends_with(version) && key.find('/') == key.size() - version.size())
      key.remove_suffix(version.size());
  if (key == "index.docker.io" || key == "registry-1.docker.io") return "docker.io";
  return std::string(key);
}

Result<AuthFile> AuthFile::parse(std::string_view text) {
  AuthFile file;
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return file;  // podman makes such
  Result<json> document = spec::parse_json(text);
  if (!document) return invalid_file(document.error().message);
  if (!document->is_object()) return invalid_file("not a JSON object");
  for (const char* name : {"auths", "credHelpers"}) {
    const auto at = document->find(name);
    if (at != document->end() && at->is_null())
      document->erase(name);
    else if (at != document->end() && !at->is_object())
      return invalid_file(format("'{}' is not an object", name));
  }
  file.document_ = std::move(*document);
  return file;
}

Result<std::optional<Credentials>> AuthFile::find(std::string_view domain,
                                                  std::string_view repository) const {
  std::string key;
  const json* entry = longest_match(section(document_, "auths"), domain, repository, &key);
  if (entry == nullptr || !entry->is_object()) return std::nullopt;
  Credentials found;
  found.username = text_of(*entry, "username");
  found.password = text_of(*entry, "password");
  if (const std::string pair = text_of(*entry, "auth"); !pair.empty())
    TRY(decode_pair(key, pair, found));
  found.identity_token = text_of(*entry, "identitytoken");
  found.registry_token = text_of(*entry, "registrytoken");
  TRY(check(key, found));
  if (found == Credentials{}) return std::nullopt;  // the mark of a helper
  return found;
}

std::string AuthFile::helper(std::string_view domain, std::string_view repository) const {
  const json* found = longest_match(section(document_, "credHelpers"), domain, repository);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

std::string AuthFile::store() const { return text_of(document_, "credsStore"); }

void AuthFile::set(std::string_view domain, std::string_view fallback_key,
                   const Credentials& credentials, bool marker) {
  std::string key(fallback_key);
  json& auths = document_["auths"];
  if (!auths.is_object()) auths = json::object();
  if (const std::vector<std::string> own = keys_of(auths, domain); !own.empty()) {
    key = own.back();  // docker's URL comes after podman's name
    for (const std::string& spelling : own) auths.erase(spelling);
  }
  json entry = json::object();
  if (!marker) {
    entry["auth"] =
        spec::base64_encode(format("{}:{}", credentials.username, credentials.password));
    if (!credentials.identity_token.empty()) entry["identitytoken"] = credentials.identity_token;
  }
  auths[key] = std::move(entry);
}

bool AuthFile::erase(std::string_view domain) {
  const auto auths = document_.find("auths");
  if (auths == document_.end() || !auths->is_object()) return false;
  const std::vector<std::string> keys = keys_of(*auths, domain);
  for (const std::string& key : keys) auths->erase(key);
  return !keys.empty();
}

std::string AuthFile::print() const { return document_.dump(1, '\t') + "\n"; }

}  // namespace caisson::image
