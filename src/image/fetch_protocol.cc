#include "image/fetch_protocol.h"

#include <concepts>
#include <nlohmann/json.hpp>

#include "spec/image_ref.h"
#include "spec/json.h"
#include "spec/json_reader.h"

namespace caisson::image {
namespace {

using nlohmann::json;

constexpr std::size_t kMostValues = 20'000;  // of one message

// The fields of every document, once for both directions: `io` writes or reads them.
template <class Io>
void fields(Io& io, Endpoint& v) {
  io("host", v.host);
  io("repository", v.repository);
  io("plain_http", v.plain_http);
  io("skip_verify", v.skip_verify);
  io("ca", v.ca);
  io("username", v.username);
  io("password", v.password);
  io("identity_token", v.identity_token);
  io("registry_token", v.registry_token);
}
template <class Io>
void fields(Io& io, PullRequest& v) {
  io("id", v.id);
  io("kind", v.kind);
  io("reference", v.reference);
  io("name", v.name);
  io("tag", v.tag);
  io("digest", v.digest);
  io("all_images", v.all_images);
  io("os", v.os);
  io("architecture", v.architecture);
  io("variant", v.variant);
  io("platform_asked", v.platform_asked);
  io("endpoints", v.endpoints);
  io("http_proxy", v.http_proxy);
  io("https_proxy", v.https_proxy);
  io("no_proxy", v.no_proxy);
  io("parallel", v.parallel);
}
template <class Io>
void fields(Io& io, VerifyLayer& v) {
  io("digest", v.digest);
  io("diff_id", v.diff_id);
  io("chain_id", v.chain_id);
  io("media_type", v.media_type);
  io("size", v.size);
  io("parents", v.parents);
}
template <class Io>
void fields(Io& io, VerifyRequest& v) {
  io("id", v.id);
  io("layers", v.layers);
}
template <class Io>
void fields(Io& io, UnpackRequest& v) {
  io("layer", v.layer);
  io("below", v.below);
  io("unpack", v.unpack);
  io("index", v.index);
  io("count", v.count);
}
template <class Io>
void fields(Io& io, LoginRequest& v) {
  io("endpoint", v.endpoint);
  io("http_proxy", v.http_proxy);
  io("https_proxy", v.https_proxy);
  io("no_proxy", v.no_proxy);
}
template <class Io>
void fields(Io& io, PullEvent& v) {
  io("kind", v.kind);
  io("state", v.state);
  io("layer", v.layer);
  io("layers", v.layers);
  io("digest", v.digest);
  io("current", v.current);
  io("total", v.total);
  io("text", v.text);
}
template <class Io>
void fields(Io& io, LayerReady& v) {
  io("digest", v.digest);
  io("diff_id", v.diff_id);
  io("chain_id", v.chain_id);
  io("size", v.size);
  io("disk_bytes", v.disk_bytes);
  io("unpacked", v.unpacked);
  io("problem", v.problem);
}
template <class Io>
void fields(Io& io, ImageReady& v) {
  io("manifest_digest", v.manifest_digest);
  io("config_digest", v.config_digest);
  io("index_digests", v.index_digests);
  io("names", v.names);
}
template <class Io>
void fields(Io& io, Error& v) {
  io("code", v.code);
  io("errno", v.sys_errno);
  io("reason", v.reason);
  io("message", v.message);
  io("hint", v.hint);
}
template <class Io>
void fields(Io&, FetchDone&) {}

// What a message is called.
constexpr std::string_view tag(const PullRequest&) { return "pull"; }
constexpr std::string_view tag(const VerifyRequest&) { return "verify"; }
constexpr std::string_view tag(const LoginRequest&) { return "login"; }
constexpr std::string_view tag(const UnpackRequest&) { return "unpack"; }
constexpr std::string_view tag(const PullEvent&) { return "event"; }
constexpr std::string_view tag(const LayerReady&) { return "layer_ready"; }
constexpr std::string_view tag(const ImageReady&) { return "image_ready"; }
constexpr std::string_view tag(const Error&) { return "error"; }
constexpr std::string_view tag(const FetchDone&) { return "done"; }

constexpr int last_of(SourceKind) { return static_cast<int>(SourceKind::kDockerArchive); }
constexpr int last_of(PullEvent::Kind) { return static_cast<int>(PullEvent::Kind::kRetry); }
constexpr int last_of(PullEvent::State) { return static_cast<int>(PullEvent::State::kCached); }
constexpr int last_of(Code) { return static_cast<int>(Code::kUnauthenticated); }

struct Writer {
  json object = json::object();

  template <class T>
  static json value(T& v) {
    if constexpr (std::is_enum_v<T>) {
      return static_cast<int>(v);
    } else if constexpr (std::same_as<T, std::string>) {
      return spec::encode_text(v);
    } else if constexpr (std::is_arithmetic_v<T>) {
      return v;
    } else {
      Writer writer;
      fields(writer, v);
      return std::move(writer.object);
    }
  }
  template <class T>
  void operator()(const char* name, T& v) {
    object[name] = value(v);
  }
  template <class T>
  void operator()(const char* name, std::vector<T>& list) {
    json& array = object[name] = json::array();
    for (T& v : list) array.push_back(value(v));
  }
};

/// Reads an object of which every field is known and there: both ends are of one version.
class Reader final {
 public:
  explicit Reader(const json& object) : object_(object) {
    if (!object.is_object()) refuse("", "an object");
  }

  template <class T>
  void operator()(const char* name, T& out) {
    if (const json* found = take(name)) read(*found, name, out);
  }
  Result<> finish() {
    if (!fault_ && object_.size() != taken_) refuse("", "no further field");
    if (fault_) return *fault_;
    return {};
  }

 private:
  const json* take(const char* name) {
    if (fault_) return nullptr;
    const auto at = object_.find(name);
    if (at == object_.end()) {
      refuse(name, "a value");
      return nullptr;
    }
    ++taken_;
    return &*at;
  }
  template <class T>
  void read(const json& value, const char* name, T& out) {
    if constexpr (std::same_as<T, std::string> || std::same_as<T, bool>) {
      if (Result<> done = spec::read_value(value, out, {nullptr, name, {}}); !done)
        fault_ = done.error();
    } else if constexpr (std::is_enum_v<T>) {
      int number = 0;
      read(value, name, number);
      if (!fault_ && (number < 0 || number > last_of(T{}))) refuse(name, "a known number");
      if (!fault_) out = static_cast<T>(number);
    } else if constexpr (std::is_arithmetic_v<T>) {
      if (!value.is_number_integer()) return refuse(name, "an integer");
      const auto number =
          value.get<std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>();
      if (!std::in_range<T>(number) || (std::is_unsigned_v<T> && !value.is_number_unsigned()))
        return refuse(name, "a number in range");
      out = static_cast<T>(number);
    } else {
      Reader reader(value);
      fields(reader, out);
      if (Result<> done = reader.finish(); !done) fault_ = done.error();
    }
  }
  template <class T>
  void read(const json& value, const char* name, std::vector<T>& out) {
    if (!value.is_array()) return refuse(name, "an array");
    out.clear();
    for (const json& element : value) read(element, name, out.emplace_back());
  }
  void refuse(std::string_view name, std::string_view wanted) {
    fault_ =
        make_error(Code::kInvalidArgument, "protocol_error",
                   format("read message of caisson-fetch: field '{}': expected {}", name, wanted));
  }

  const json& object_;
  std::size_t taken_ = 0;
  std::optional<Error> fault_;
};

template <class Variant>
std::string encode_tagged(const Variant& message) {
  return std::visit(
      [](auto copy) {
        json object = Writer::value(copy);
        object["type"] = tag(copy);
        object["version"] = kFetchVersion;
        return object.dump();
      },
      message);
}

template <class T, class Variant>
Result<Variant> decode_as(const json& object) {
  T value;
  Reader reader(object);
  fields(reader, value);
  TRY(reader.finish());
  return Variant(std::move(value));
}

/// The alternative of the variant whose tag it is.
template <class Variant, std::size_t I = 0>
Result<Variant> decode_tagged(const json& object, std::string_view name) {
  if constexpr (I == std::variant_size_v<Variant>) {
    return make_error(Code::kInvalidArgument, "protocol_error",
                      format("read message of caisson-fetch: '{}' is unknown", name));
  } else {
    using T = std::variant_alternative_t<I, Variant>;
    if (name == tag(T{})) return decode_as<T, Variant>(object);
    return decode_tagged<Variant, I + 1>(object, name);
  }
}

template <class Variant>
Result<Variant> decode(std::string_view text) {
  if (text.size() > kMaxMessage)
    return make_error(Code::kInvalidArgument, "protocol_error",
                      "read message of caisson-fetch: it is too long");
  json object = TRY(spec::parse_json(text, kMostValues));
  int version = 0;
  std::string name;
  TRY(spec::read_value(object.is_object() ? object.value("version", json()) : json(), version,
                       {nullptr, "version", {}}));
  TRY(spec::read_value(object.value("type", json()), name, {nullptr, "type", {}}));
  if (version != kFetchVersion)
    return make_error(
        Code::kFailedPrecondition, "protocol_error",
        format("read message of caisson-fetch: version {} is not {}", version, kFetchVersion),
        "caisson and caisson-fetch must be of one version");
  object.erase("version");
  object.erase("type");
  return decode_tagged<Variant>(object, name);
}

Result<> check_digest(std::string_view digest) {
  if (spec::is_digest(digest)) return {};
  return make_error(Code::kInvalidArgument, "protocol_error",
                    "read message of caisson-fetch: a digest is none");
}
Result<> check(const LayerReady& ready) {
  TRY(check_digest(ready.digest));
  TRY(check_digest(ready.diff_id));
  return check_digest(ready.chain_id);
}
Result<> check(const ImageReady& ready) {
  constexpr std::size_t kMostIndexes = 8, kMostNames = 1000;  // a pull follows three indexes
  if (ready.index_digests.size() > kMostIndexes || ready.names.size() > kMostNames)
    return make_error(Code::kInvalidArgument, "protocol_error",
                      "read message of caisson-fetch: an image has too many indexes or names");
  TRY(check_digest(ready.manifest_digest));
  for (const std::string& digest : ready.index_digests) TRY(check_digest(digest));
  return check_digest(ready.config_digest);
}
Result<> check(const VerifyLayer& layer) {
  TRY(check(LayerReady{layer.digest, layer.diff_id, layer.chain_id}));
  for (const std::string& parent : layer.parents) TRY(check_digest(parent));
  return {};
}
Result<> check(const VerifyRequest& request) {
  for (const VerifyLayer& layer : request.layers) TRY(check(layer));
  return {};
}
Result<> check(const UnpackRequest& request) {
  for (const std::string& digest : request.below) TRY(check_digest(digest));
  return check(request.layer);
}
template <class T>
Result<> check(const T&) {
  return {};
}

template <class Variant>
Result<Variant> decode_checked(std::string_view text) {
  Variant message = TRY(decode<Variant>(text));
  TRY(std::visit([](const auto& value) -> Result<> { return check(value); }, message));
  return message;
}

}  // namespace

std::string encode(const FetchRequest& request) { return encode_tagged(request); }
std::string encode(const FetchMessage& message) { return encode_tagged(message); }

Result<FetchRequest> decode_fetch_request(std::string_view text) {
  return decode_checked<FetchRequest>(text);
}
Result<FetchMessage> decode_fetch_message(std::string_view text) {
  return decode_checked<FetchMessage>(text);
}

}  // namespace caisson::image
