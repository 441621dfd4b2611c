// The state database's place and shape; docs/formats/state.md is the document.
#pragma once

#include <string>

#include "store/sqlite.h"

namespace caisson::store {

/// The version this program writes; kept in the file's user_version.
int schema_version();

/// `<home>/db/state.db`, made (directory 0700, file 0600) and brought to schema_version() when
/// needed. Any number of processes may do so at once.
Result<Database> open_state(const std::string& home);

}  // namespace caisson::store
