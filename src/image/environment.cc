#include "image/environment.h"

#include <stdlib.h>

namespace caisson::image {
namespace {

std::string first_of(const Environment& environment, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (std::string value = environment(name); !value.empty()) return value;
  return {};
}

}  // namespace

std::string process_variable(const char* name) {
  const char* value = ::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody here changes it
  return value == nullptr ? "" : value;
}

Proxies proxies(const Environment& environment) {
  return {first_of(environment, {"http_proxy", "all_proxy", "ALL_PROXY"}),
          first_of(environment, {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}),
          first_of(environment, {"no_proxy", "NO_PROXY"})};
}

}  // namespace caisson::image
