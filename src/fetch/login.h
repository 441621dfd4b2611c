// Trying credentials: the source of a login.
#pragma once

#include "base/fd.h"
#include "image/fetch_protocol.h"

namespace caisson::fetch {

/// In a fresh fork: gives up what is not needed, asks the registry, and returns the exit status.
/// What went wrong is an Error on `supervisor`.
int run_login(const image::LoginRequest& request, Fd supervisor, bool root);

}  // namespace caisson::fetch
