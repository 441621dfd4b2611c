#include "wire/cbor.h"

#include <nlohmann/json.hpp>

namespace caisson::wire {
namespace {

using nlohmann::json;

/// Builds a document and refuses deep nesting: the library's reader recurses once per level, so a
/// frame of array openers would otherwise exhaust the stack.
class BoundedSax final : public nlohmann::detail::json_sax_dom_parser<json> {
  using Base = nlohmann::detail::json_sax_dom_parser<json>;

 public:
  explicit BoundedSax(json& document) : Base(document, false) {}
  bool start_object(std::size_t size) { return enter(size) && Base::start_object(size); }
  bool start_array(std::size_t size) { return enter(size) && Base::start_array(size); }
  bool end_object() { return --depth_, Base::end_object(); }
  bool end_array() { return --depth_, Base::end_array(); }

 private:
  bool enter(std::size_t size) {
    constexpr std::size_t kUnknownSize = static_cast<std::size_t>(-1);
    return ++depth_ <= 16 && (size == kUnknownSize || size <= (1u << 20));
  }
  int depth_ = 0;
};

}  // namespace

std::string encode_cbor(const json& document) {
  std::string out;
  json::to_cbor(document, out);
  return out;
}

Result<json> decode_cbor(std::string_view bytes) {
  json document;
  BoundedSax sax(document);
  bool good = false;
  try {
    good = json::sax_parse(bytes.begin(), bytes.end(), &sax, json::input_format_t::cbor);
  } catch (const std::exception&) {
    good = false;
  }
  if (!good || !document.is_object())
    return make_error(Code::kInvalidArgument, "protocol_error",
                      "decode message: not a CBOR map, or nested too deep");
  return document;
}

}  // namespace caisson::wire
