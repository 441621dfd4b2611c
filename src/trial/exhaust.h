// Attempts to use more than a limit allows. Each returns what it got beyond it, or nothing.
#pragma once

#include <cstdint>
#include <string>

namespace caisson::trial {

std::string exceed_open_files(std::uint64_t most);
/// In the working directory.
std::string exceed_file_size(std::uint64_t most_bytes);
/// In /tmp, which must be a tmpfs of the box's own.
std::string exceed_tmpfs(std::uint64_t most_bytes);
std::string exceed_pids(std::uint64_t most);
/// Computes for 0.4 s.
std::string exceed_cpus(std::uint64_t percent);
/// In a process of its own, which is meant to be killed.
std::string exceed_memory(std::uint64_t most_bytes);

}  // namespace caisson::trial
