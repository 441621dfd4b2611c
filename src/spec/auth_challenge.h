// WWW-Authenticate: what a registry wants to be told (RFC 9110, section 11.6.1). Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace caisson::spec {

struct Challenge {
  std::string scheme;                             ///< lower case: "basic", "bearer"
  std::map<std::string, std::string> parameters;  ///< names lower case; "realm", "service", "scope"
  friend bool operator==(const Challenge&, const Challenge&) = default;
};

/// The challenges of one or several joined header values, in order. What cannot be understood ends
/// the reading; what came before it counts. Of a parameter given twice the first counts. At most
/// 16 challenges of 32 parameters each, of 16 KiB together.
std::vector<Challenge> parse_challenges(std::string_view text);

}  // namespace caisson::spec
