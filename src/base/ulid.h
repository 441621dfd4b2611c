// ULIDs: sortable random identifiers (https://github.com/ulid/spec), in lower case.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace caisson {

/// 26 characters of Crockford's base 32: 48 bits of milliseconds, 80 random bits.
Result<std::string> make_ulid();
bool is_ulid(std::string_view text);

}  // namespace caisson
