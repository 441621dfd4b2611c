// Any text as reference, source, platform: no crash, one-line errors, and canonical forms are read
// back as the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "spec/image_ref.h"

namespace {

using namespace caisson::spec;

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

void check_reference(const ImageRef& ref) {
  require(!ref.domain.empty() && !ref.repository.empty());
  require(!ref.tag.empty() || !ref.digest.empty());
  require(ref.repository.find("..") == std::string::npos);
  for (const std::string& text : {canonical(ref), familiar(ref)}) {
    const auto again = parse_image_ref(text);
    require(again.has_value() && canonical(*again) == canonical(ref));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto ref = parse_image_ref(text);
  if (parsed(ref)) check_reference(*ref);
  const auto source = parse_source(text);
  if (parsed(source)) {
    if (source->type == SourceType::kRegistry) check_reference(source->ref);
    require(source->path.find('\0') == std::string::npos);
  }
  const auto platform = parse_platform(text);
  if (parsed(platform)) {
    const auto again = parse_platform(to_string(*platform));
    require(again.has_value() && *again == *platform && fits(*platform, *again));
  }
  return 0;
}
