// Image sources: what stands before the first colon, and what after it.
#include <algorithm>
#include <array>

#include "caisson/spec.h"
#include "spec/image_ref.h"
#include "spec/text.h"

namespace caisson::spec {
namespace {

constexpr std::string_view kKnown =
    "known sources: host:, dir:PATH, REFERENCE or docker://REFERENCE, oci:DIR[:TAG], "
    "oci-archive:FILE[:TAG], docker-archive:FILE[:REFERENCE]";

struct Scheme {
  std::string_view prefix;
  SourceType type;
};
constexpr std::array<Scheme, 6> kSchemes = {{{"host:", SourceType::kHost},
                                             {"dir:", SourceType::kDirectory},
                                             {"docker://", SourceType::kRegistry},
                                             {"oci:", SourceType::kOciDirectory},
                                             {"oci-archive:", SourceType::kOciArchive},
                                             {"docker-archive:", SourceType::kDockerArchive}}};

Error unknown(std::string_view text, std::string_view cause, std::string hint) {
  if (hint.empty()) hint = kKnown;
  return invalid("source_unknown", format("parse image source {}: {}", quote(text), cause),
                 std::move(hint));
}

/// The scheme that `word:` or `word://` was meant to be, or empty.
std::string near_scheme(std::string_view word) {
  std::vector<std::string> words;
  for (const Scheme& scheme : kSchemes)
    words.emplace_back(scheme.prefix.substr(0, scheme.prefix.find(':')));
  const std::string near = did_you_mean(lower(word), words);
  for (const Scheme& scheme : kSchemes)
    if (!near.empty() && scheme.prefix.substr(0, scheme.prefix.find(':')) == near)
      return std::string(scheme.prefix);
  return {};
}

std::string meant(std::string_view near) {
  return near.empty() ? std::string() : format("did you mean '{}'?", near);
}

/// org.opencontainers.image.ref.name (image-spec, annotations.md): its alphabet.
bool is_ref_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return is_alnum(c) || std::string_view("-._:@/+").find(c) != std::string_view::npos;
  });
}

/// PATH[:NAME]. A name may hold colons, so a path may not: as in skopeo.
Result<ImageSource> path_source(SourceType type, std::string_view text, std::string_view rest) {
  ImageSource source;
  source.type = type;
  const std::size_t colon =
      type == SourceType::kDirectory ? std::string_view::npos : rest.find(':');
  source.path = rest.substr(0, colon);
  if (source.path.empty()) return unknown(text, "the path is missing", {});
  if (colon == std::string_view::npos) return source;
  source.name = rest.substr(colon + 1);
  if (type == SourceType::kDockerArchive) {
    TRY(parse_image_ref(source.name));
  } else if (!is_ref_name(source.name)) {
    return invalid("reference_invalid", format("parse image source {}: {} is not a tag",
                                               quote(text), quote(source.name)));
  }
  return source;
}

Result<ImageSource> registry_source(std::string_view reference) {
  ImageSource source;
  source.type = SourceType::kRegistry;
  source.ref = TRY(parse_image_ref(reference));
  return source;
}

/// `host:5000/x` is a registry; `host:x` is taken for `host:` with something after it.
bool is_port_and_path(std::string_view rest) {
  const std::size_t slash = rest.find('/');
  return slash != std::string_view::npos && slash > 0 &&
         std::ranges::all_of(rest.substr(0, slash), is_digit);
}

/// Text without a known scheme: a reference, or a slip.
Result<ImageSource> bare_source(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view word = text.substr(0, colon);
  const bool slashes = colon != std::string_view::npos && text.substr(colon).starts_with("://");
  if (slashes) {
    const bool web = lower(word) == "http" || lower(word) == "https";
    return unknown(text, format("no such kind as {}", quote(format("{}://", word))),
                   web ? "write docker://HOST/NAME; docs/registries.md tells how to use plain http"
                       : meant(near_scheme(word)));
  }
  for (const Scheme& scheme : kSchemes)  // `host` without its colon
    if (format("{}:", text) == scheme.prefix)
      return unknown(
          text, "a colon is missing",
          format("did you mean '{}'? An image of that name is docker://{}", scheme.prefix, text));
  Result<ImageSource> source = registry_source(text);
  if (source) return source;
  if (text.starts_with('/') || text.starts_with('.') || text.starts_with('~'))
    return unknown(text, "a path needs to be said what it is",
                   format("did you mean 'dir:{0}' (a root file system) or 'oci:{0}' (an image)?",
                          text.size() < 100 ? text : "PATH"));
  const std::string near = colon == std::string_view::npos ? "" : near_scheme(word);
  if (!near.empty()) return unknown(text, format("no such kind as {}", quote(word)), meant(near));
  return source;
}

}  // namespace

Result<ImageSource> parse_source(std::string_view text) {
  if (text.empty()) return unknown(text, "no source is given", {});
  if (text.find('\0') != std::string_view::npos)
    return invalid("nul_byte", format("parse image source {}: holds a NUL byte", quote(text)));
  if (text == "host:") return ImageSource{};
  if (text.starts_with("host:") && !is_port_and_path(text.substr(5)))
    return unknown(
        text, "nothing may follow 'host:'",
        format("an image of that name is docker://{}", text.size() < 100 ? text : "NAME"));
  for (const Scheme& scheme : kSchemes) {
    if (scheme.type == SourceType::kHost || !text.starts_with(scheme.prefix)) continue;
    const std::string_view rest = text.substr(scheme.prefix.size());
    if (scheme.type == SourceType::kRegistry) return registry_source(rest);
    return path_source(scheme.type, text, rest);
  }
  return bare_source(text);
}

}  // namespace caisson::spec
