// Compiled system-call filters, kept in files that are named by what they were compiled from.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "caisson/result.h"

namespace caisson::init {

/// The program for `key`, which must name everything that `compile()` depends on. Read from
/// `cache_dir` when a whole and trustworthy file is there, else compiled and left there. A cache
/// that cannot be read or written only costs time; an empty `cache_dir` means none.
Result<std::string> compiled_policy(const std::string& cache_dir, std::string_view key,
                                    const std::function<Result<std::string>()>& compile);

/// The name of the file for `key`.
std::string seccomp_cache_name(std::string_view key);

}  // namespace caisson::init
