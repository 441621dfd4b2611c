// Paths as text: nothing here looks at a file system.
#pragma once

#include <string>
#include <string_view>

namespace caisson::spec {

bool is_absolute(std::string_view path);
/// Whether a component is `..`.
bool has_parent_component(std::string_view path);
/// Absolute, and spelled in the one way: no empty, `.` or `..` component, no slash at the end.
bool is_canonical(std::string_view path);
/// Whether `path` is `directory` or lies below it; both canonical.
bool is_within(std::string_view path, std::string_view directory);

/// Without empty and `.` components. `..` stays: what it means depends on symbolic links.
std::string tidy_path(std::string_view path);
/// `relative` taken from the absolute `base`, with `..` removing the component before it.
std::string resolve_textually(std::string_view base, std::string_view relative);

}  // namespace caisson::spec
