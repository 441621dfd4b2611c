// References: the grammar of distribution's package `reference` (regexp.go, normalize.go).
#include "spec/image_ref.h"

#include <algorithm>

#include "spec/text.h"

namespace caisson::spec {
namespace {

constexpr std::string_view kDefaultDomain = "docker.io";
constexpr std::string_view kOldDefaultDomain = "index.docker.io";
constexpr std::string_view kOfficial = "library/";
constexpr std::size_t kLongestName = 255;
constexpr std::size_t kLongestTag = 128;
constexpr std::size_t kHexDigits = 64;

Error bad_reference(std::string_view text, std::string_view cause, std::string hint = {}) {
  return invalid("reference_invalid", format("parse image reference {}: {}", quote(text), cause),
                 std::move(hint));
}

bool is_lower_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z'); }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }
bool has_upper(std::string_view text) { return std::ranges::any_of(text, is_upper); }

bool is_domain_component(std::string_view part) {
  return !part.empty() && is_alnum(part.front()) && is_alnum(part.back()) &&
         std::ranges::all_of(part, [](char c) { return is_alnum(c) || c == '-'; });
}

/// "[fe80::1]": what is between the brackets is left to the resolver, as distribution does.
bool is_bracketed(std::string_view host) {
  return host.size() > 2 && host.front() == '[' && host.back() == ']' &&
         std::ranges::all_of(host.substr(1, host.size() - 2), [](char c) {
           return is_hex(c) || (c >= 'A' && c <= 'F') || c == ':';
         });
}

bool is_port(std::string_view text) {
  const std::optional<std::uint64_t> port = to_unsigned(text);
  return port && text.size() <= 5 && *port >= 1 && *port <= 65'535;
}

bool is_domain(std::string_view domain) {
  std::string_view host = domain;
  const std::size_t end = domain.starts_with('[') ? domain.find(']') : 0;
  if (end == std::string_view::npos) return false;
  const std::size_t colon = domain.find(':', end);
  if (colon != std::string_view::npos) {
    if (!is_port(domain.substr(colon + 1))) return false;
    host = domain.substr(0, colon);
  }
  if (host.starts_with('[')) return is_bracketed(host);
  return std::ranges::all_of(split(host, '.'), is_domain_component);
}

/// [a-z0-9]+ joined by one of: '.', '_', '__', any number of '-'.
bool is_path_component(std::string_view part) {
  if (part.empty() || !is_lower_alnum(part.front()) || !is_lower_alnum(part.back())) return false;
  for (std::size_t i = 0; i < part.size();) {
    std::size_t end = i;
    while (end < part.size() && !is_lower_alnum(part[end])) ++end;
    const std::string_view separator = part.substr(i, end - i);
    const bool dashes = separator.find_first_not_of('-') == std::string_view::npos;
    if (!dashes && separator != "." && separator != "_" && separator != "__") return false;
    i = end + 1;
  }
  return true;
}

bool is_tag(std::string_view tag) {
  return !tag.empty() && tag.size() <= kLongestTag && (is_alnum(tag.front()) || tag[0] == '_') &&
         std::ranges::all_of(
             tag, [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

struct Parts {
  std::string_view domain, path, tag, digest;
  bool has_tag = false, has_digest = false;
};

/// What is before the first '/' is a registry when it looks like a host.
bool looks_like_domain(std::string_view first) {
  return first.find_first_of(".:[") != std::string_view::npos || first == "localhost" ||
         has_upper(first);
}

Parts take_apart(std::string_view text) {
  Parts parts;
  if (const std::size_t at = text.find('@'); at != std::string_view::npos) {
    parts.digest = text.substr(at + 1);
    parts.has_digest = true;
    text = text.substr(0, at);
  }
  parts.domain = kDefaultDomain;
  const std::size_t slash = text.find('/');
  if (slash != std::string_view::npos && looks_like_domain(text.substr(0, slash))) {
    parts.domain = text.substr(0, slash);
    text = text.substr(slash + 1);
  }
  const std::size_t last = text.rfind('/');
  const std::size_t colon = text.find(':', last == std::string_view::npos ? 0 : last);
  parts.path = text.substr(0, colon);
  if (colon != std::string_view::npos) {
    parts.tag = text.substr(colon + 1);
    parts.has_tag = true;
  }
  return parts;
}

Result<> check_path(std::string_view text, std::string_view path) {
  if (path.empty()) return bad_reference(text, "the repository's name is missing");
  if (has_upper(path))
    return bad_reference(text, "the repository's name has upper-case letters",
                         format("did you mean '{}'?", lower(path)));
  if (!std::ranges::all_of(split(path, '/'), is_path_component))
    return bad_reference(text, "the repository's name is malformed",
                         "lower-case letters and digits, joined by '.', '_', '__' or '-', in parts "
                         "joined by '/'");
  return {};
}

Result<> check_parts(std::string_view text, const Parts& parts) {
  if (!is_domain(parts.domain)) {
    // `Some/name` is a registry named Some to distribution; people mean a repository.
    const bool plain = parts.domain.find_first_of(".:[") == std::string_view::npos;
    return bad_reference(text, format("{} is not a registry's host[:port]", quote(parts.domain)),
                         plain ? "repository names are lower-case" : "");
  }
  if (parts.domain.size() > kLongestName) return bad_reference(text, "the registry is too long");
  TRY(check_path(text, parts.path));
  if (parts.has_tag && !is_tag(parts.tag))
    return bad_reference(text, format("{} is not a tag", quote(parts.tag)),
                         "up to 128 letters, digits, '_', '.' and '-', not first '.' or '-'");
  if (parts.has_digest && !is_digest(parts.digest))
    return bad_reference(text, format("{} is not a digest", quote(parts.digest)),
                         "sha256: and 64 lower-case hexadecimal digits");
  return {};
}

}  // namespace

bool is_digest(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  return text.starts_with(kPrefix) && text.size() == kPrefix.size() + kHexDigits &&
         std::ranges::all_of(text.substr(kPrefix.size()), is_hex);
}

std::string_view hex_of(std::string_view digest) { return digest.substr(digest.find(':') + 1); }

Result<ImageRef> parse_image_ref(std::string_view text) {
  if (text.empty()) return bad_reference(text, "it is empty");
  if (text.size() == kHexDigits && std::ranges::all_of(text, is_hex))
    return bad_reference(text, "64 hexadecimal digits are an image's id and no name",
                         format("write sha256:{} where an id is meant", text));
  const Parts parts = take_apart(text);
  TRY(check_parts(text, parts));
  ImageRef ref{std::string(parts.domain), std::string(parts.path), std::string(parts.tag),
               std::string(parts.digest)};
  if (ref.domain == kOldDefaultDomain) ref.domain = kDefaultDomain;
  if (ref.domain == kDefaultDomain && ref.repository.find('/') == std::string::npos)
    ref.repository.insert(0, kOfficial);
  if (ref.repository.size() > kLongestName)
    return bad_reference(text, "the repository's name is longer than 255 characters");
  if (!parts.has_tag && !parts.has_digest) ref.tag = "latest";
  return ref;
}

std::string canonical(const ImageRef& ref) {
  const std::string name = format("{}/{}", ref.domain, ref.repository);
  if (!ref.digest.empty()) return format("{}@{}", name, ref.digest);
  return format("{}:{}", name, ref.tag);
}

std::string familiar(const ImageRef& ref) {
  std::string text = canonical(ref);
  if (ref.domain != kDefaultDomain) return text;
  std::string_view rest = std::string_view(text).substr(kDefaultDomain.size() + 1);
  if (rest.starts_with(kOfficial)) {
    std::string_view name = rest.substr(kOfficial.size());
    if (name.substr(0, name.find('@')).find('/') == std::string_view::npos) rest = name;
  }
  // What is left must be read as it was: `localhost/x` of docker.io would be another registry.
  const Result<ImageRef> again = parse_image_ref(rest);
  return again && again->domain == ref.domain && again->repository == ref.repository
             ? std::string(rest)
             : text;
}

}  // namespace caisson::spec
