// What the audit log is told by clients; a box's shim tells the rest.
#pragma once

#include <string>
#include <string_view>

#include "engine/home.h"

namespace caisson::engine {

void tell_created(const Runtime::Impl& runtime, const std::string& box, const BoxSpec& spec,
                  const std::string& image, const std::string& forked_from = {});
void tell_failed(const Runtime::Impl& runtime, const std::string& box, const std::string& cause);
/// Of a box that is lost: others' shims tell it.
void tell_ended(const Runtime::Impl& runtime, const std::string& box, const ExitInfo& exit);
void tell_removed(const Runtime::Impl& runtime, const std::string& box);
void tell_snapshot(const Runtime::Impl& runtime, std::string_view event, const std::string& box,
                   const std::string& name);
void tell_volume(const Runtime::Impl& runtime, std::string_view event, std::string_view name);
/// `way`: "in", "out", "made" or "removed"; `bytes` is an error when it failed.
void tell_files(const Runtime::Impl& runtime, const std::string& box, std::string_view way,
                std::string_view path, const Result<std::uint64_t>& bytes);
void tell_pulled(const Runtime::Impl& runtime, const std::string& image, const std::string& source);

}  // namespace caisson::engine
