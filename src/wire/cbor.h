// CBOR documents of the control frames.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace caisson::wire {

std::string encode_cbor(const nlohmann::json& document);

/// Decodes one complete CBOR map. Hostile input is bounded: the caller caps its length, nesting is
/// capped at 16, and no exception leaves.
Result<nlohmann::json> decode_cbor(std::string_view bytes);

}  // namespace caisson::wire
