// Descriptors and files as the command line uses them.
#pragma once

#include <string>
#include <string_view>

#include "caisson/result.h"

namespace caisson::cli {

constexpr int kStatusFailed = 125;        ///< Caisson itself failed, as docker's
constexpr int kStatusBoxFailed = 1;       ///< one of the boxes named on the command line failed
constexpr int kStatusOutputClosed = 141;  ///< 128 + SIGPIPE: nobody reads our output any more

/// Opens /dev/null on those of 0, 1, 2 that are closed, so that no file opened later becomes
/// "standard output" by accident.
void reserve_standard_descriptors();

/// An Error of the CLI's own. `where` stays this function: the CLI prints only the message.
Error cli_error(Code code, std::string_view reason, std::string message, std::string hint = {});
/// The same from errno, which is captured first.
Error cli_sys_error(std::string_view action, std::string_view object,
                    std::string_view reason = "system_call_failed");

/// One write(2): fewer bytes than given, or none, when a signal came. A non-blocking descriptor
/// is waited for.
Result<std::size_t> write_some(int fd, std::string_view bytes);

/// Writes everything, whatever signals come.
Result<> write_all(int fd, std::string_view bytes);

/// Writes to stdout and returns the exit status that results: 0, or the failure's.
int print(std::string_view text);

/// The whole file, at most 16 MiB. `reason` is that of an error of the system.
Result<std::string> read_file(const std::string& path, std::string_view reason);
/// The same of a descriptor; `name` is for messages.
Result<std::string> read_descriptor(int fd, const std::string& name, std::string_view reason);

}  // namespace caisson::cli
