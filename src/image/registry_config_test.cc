#include "image/registry_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/unit_test_support.h"

namespace caisson::image {
namespace {

namespace fs = std::filesystem;

CredentialStore no_credentials() {
  return CredentialStore([](const char*) { return std::string(); });
}

RegistryConfig config(std::string_view text) {
  Result<RegistryConfig> parsed = parse_registry_config(text);
  EXPECT_TRUE(parsed) << parsed.error().message;
  parsed->ca_directories.clear();
  return std::move(*parsed);
}

std::vector<std::string> places(std::string_view reference, const RegistryConfig& with) {
  std::vector<std::string> result;
  const auto ref = spec::parse_image_ref(reference).value();
  const auto found = endpoints(ref, with, no_credentials());
  EXPECT_TRUE(found);
  if (!found) return result;
  for (const Endpoint& e : *found)
    result.push_back(format("{}{}/{}",
                            e.plain_http    ? "http:"
                            : e.skip_verify ? "https-unchecked:"
                                            : "https:",
                            e.host, e.repository));
  return result;
}
using Places = std::vector<std::string>;

Error refused(std::string_view text) {
  const auto parsed = parse_registry_config(text);
  EXPECT_FALSE(parsed) << text;
  return parsed ? Error{} : parsed.error();
}

TEST(Endpoints, DefaultsAreThoseOfDocker) {
  const RegistryConfig none = config("{}");
  EXPECT_EQ(places("alpine", none), (Places{"https:registry-1.docker.io/library/alpine"}));
  EXPECT_EQ(places("h.example/a", none), (Places{"https:h.example/a"}));
  EXPECT_EQ(places("127.0.0.1:5000/a", none),
            (Places{"https:127.0.0.1:5000/a", "http:127.0.0.1:5000/a"}));
}

TEST(Endpoints, MirrorsComeFirst) {
  const RegistryConfig with = config(R"({"registries":{
    "docker.io":{"mirrors":["127.0.0.1:5000","m.example/hub"]},
    "m.example":{"insecure":true}, "127.0.0.1:5000":{"plain_http":true}}})");
  EXPECT_EQ(
      places("alpine", with),
      (Places{"http:127.0.0.1:5000/library/alpine", "https-unchecked:m.example/hub/library/alpine",
              "http:m.example/hub/library/alpine", "https:registry-1.docker.io/library/alpine"}));
  EXPECT_EQ(places("m.example/x", with),
            (Places{"https-unchecked:m.example/x", "http:m.example/x"}));
}

TEST(Endpoints, CertificatesAndCredentials) {
  const TestDirectory made;
  const std::string& directory = made.path();
  const std::string pem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
  fs::create_directories(directory + "/certs.d/localhost:5000");
  std::ofstream(directory + "/certs.d/localhost:5000/ca.crt") << pem;
  std::ofstream(directory + "/own.pem") << pem;
  std::ofstream(directory + "/none.pem") << "x";
  std::ofstream(directory + "/auth.json") << R"({"auths":{"h.example":{"auth":"dTE6cDE="}}})";
  const CredentialStore store([&](const char* name) {
    return std::string(name) == "REGISTRY_AUTH_FILE" ? directory + "/auth.json" : std::string();
  });
  RegistryConfig with = config(format(
      R"({{"registries":{{"h.example":{{"ca":"{0}/own.pem"}},"n.example":{{"ca":"{0}/none.pem"}},)"
      R"("l.example":{{"ca":"{0}/missing.pem"}}}}}})",
      directory));
  with.ca_directories = {directory + "/certs.d"};
  const auto ask = [&](const char* text) {
    return endpoints(spec::parse_image_ref(text).value(), with, store);
  };
  const auto own = ask("h.example/a").value();
  ASSERT_EQ(own.size(), 1u);
  EXPECT_EQ(own[0].ca, pem);
  EXPECT_EQ(own[0].username, "u1");
  const auto local = ask("localhost:5000/a").value();
  ASSERT_EQ(local.size(), 1u) << "who has a CA does not mean plain HTTP";
  EXPECT_EQ(local[0].ca, pem);
  EXPECT_EQ(local[0].username, "");
  EXPECT_EQ(ask("n.example/a").error().reason, "registry_config_invalid");
  EXPECT_EQ(ask("l.example/a").error().code, Code::kNotFound);
}

TEST(RegistryConfig, Refuses) {
  EXPECT_EQ(refused(R"({"registires":{}})").hint, "did you mean 'registries'?");
  EXPECT_EQ(refused(R"({"registries":{"a.b":{"mirors":[]}}})").hint, "did you mean 'mirrors'?");
  EXPECT_EQ(refused(R"({"registries":{"a.b":{"mirors":[]}}})").message,
            "unknown field 'mirors' in registries.a.b");
  for (const char* bad : {"[]", R"({"registries":[]})", R"({"registries":{"a.b":1}})",
                          R"({"registries":{"a.b":{"insecure":"yes"}}})",
                          R"({"registries":{"a.b":{"mirrors":"x"}}})"})
    EXPECT_EQ(refused(bad).reason, "field_invalid") << bad;
  for (const char* bad :
       {R"({"registries":{"a b":{}}})", R"({"registries":{"name":{}}})",
        R"({"registries":{"a.b/c":{}}})", R"({"registries":{"a.b":{"mirrors":["http://x.y"]}}})",
        R"({"registries":{"a.b":{"mirrors":["x.y/A"]}}})",
        R"({"registries":{"a.b":{"mirrors":[""]}}})", R"({"registries":{"a.b":{"ca":"rel.pem"}}})",
        R"({"registries":{"docker.io":{},"index.docker.io":{}}})"})
    EXPECT_EQ(refused(bad).reason, "registry_config_invalid") << bad;
  EXPECT_EQ(refused("{").reason, "json_invalid");
}

TEST(RegistryConfig, TheFirstFileCounts) {
  const TestDirectory made;
  const std::string& directory = made.path();
  std::map<std::string, std::string> set = {{"HOME", directory}};
  const auto load = [&] {
    return load_registry_config([&](const char* n) { return set.contains(n) ? set[n] : ""; });
  };
  const auto write = [&](const std::string& path, const char* host) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << R"({"registries":{")" << host << R"(":{"insecure":true}}})";
  };
  write(directory + "/.config/caisson/registries.json", "home.example");
  EXPECT_TRUE(load()->registries.contains("home.example"));
  set["XDG_CONFIG_HOME"] = directory + "/xdg";
  write(directory + "/xdg/caisson/registries.json", "xdg.example");
  EXPECT_TRUE(load()->registries.contains("xdg.example"));
  set["CAISSON_REGISTRIES"] = directory + "/own.json";
  EXPECT_EQ(load().error().code, Code::kNotFound) << "a file that was named has to be there";
  std::ofstream(directory + "/own.json") << "{\"x\":1}";
  EXPECT_NE(load().error().message.find("own.json"), std::string::npos);
}

TEST(ParseRegistry, WhatLoginMeans) {
  const std::pair<const char*, const char*> table[] = {{"", "docker.io"},
                                                       {"docker.io", "docker.io"},
                                                       {"https://index.docker.io/v1/", "docker.io"},
                                                       {"h.example:5000", "h.example:5000"},
                                                       {"https://h.example/", "h.example"},
                                                       {"localhost", "localhost"}};
  for (const auto& [text, domain] : table) EXPECT_EQ(parse_registry(text).value(), domain);
  for (const char* bad : {"name", "a b", "h.example/x", "/"})
    EXPECT_EQ(parse_registry(bad).error().reason, "reference_invalid") << bad;
}

TEST(Loopback, IsThisMachine) {
  for (const char* here :
       {"localhost", "LOCALHOST:5000", "127.0.0.1", "127.1.2.3:5000", "[::1]:5000"})
    EXPECT_TRUE(is_loopback(here)) << here;
  for (const char* there : {"127.0.0.1.example", "localhost.example", "128.0.0.1", "127.0.0",
                            "127.0.0.256", "[::2]", "example"})
    EXPECT_FALSE(is_loopback(there)) << there;
}

}  // namespace
}  // namespace caisson::image
