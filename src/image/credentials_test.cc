#include "image/credentials.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/unit_test_support.h"
#include "image/credential_helper.h"

namespace caisson::image {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class CredentialsTest : public testing::Test {
 protected:
  CredentialStore store() const {
    return CredentialStore([this](const char* name) {
      const auto at = variables_.find(name);
      return at == variables_.end() ? std::string() : at->second;
    });
  }
  std::string write(const std::string& name, const std::string& text, bool program = false) {
    const fs::path path = fs::path(directory_) / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
    ::chmod(path.c_str(), program ? 0755 : 0644);
    return path;
  }
  json read(const std::string& name) const {
    return json::parse(std::ifstream(directory_ + "/" + name));
  }
  /// A helper that keeps one secret in a file, in the way of docker's.
  void write_helper() {
    write("docker-credential-test", R"(#!/bin/sh
kept=$(dirname "$0")/kept
read -r server
echo "$1 $server" >> "$(dirname "$0")/calls"
case $1 in
  get) if [ -f "$kept" ]; then cat "$kept"; else
         echo "credentials not found in native keychain"; exit 1; fi ;;
  store) echo "$server" > "$kept" ;;
  erase) rm "$kept" ;;
esac
)",
          true);
  }

  const TestDirectory made_;
  const std::string directory_ = made_.path();
  std::map<std::string, std::string> variables_ = {{"HOME", directory_},
                                                   {"PATH", directory_ + ":/usr/bin:/bin"}};
};

TEST_F(CredentialsTest, NothingIsNoError) {
  EXPECT_FALSE(store().find("docker.io", "library/a").value());
  EXPECT_FALSE(store().erase("docker.io").value());
}

TEST_F(CredentialsTest, FilesInTheirOrder) {
  write(".docker/config.json", R"({"auths":{"h.example":{"auth":"dTA6cDA="}}})");
  EXPECT_EQ(store().find("h.example", "a").value()->username, "u0");
  write("run/containers/auth.json", R"({"auths":{"h.example":{"auth":"dTE6cDE="}}})");
  variables_["XDG_RUNTIME_DIR"] = directory_ + "/run";
  EXPECT_EQ(store().find("h.example", "a").value()->username, "u1");
  variables_["REGISTRY_AUTH_FILE"] =
      write("own.json", R"({"auths":{"h.example":{"auth":"dTI6cDI="}}})");
  EXPECT_EQ(store().find("h.example", "a").value()->username, "u2");
  write("own.json", "{");
  const auto broken = store().find("h.example", "a");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().reason, "auth_file_invalid");
  EXPECT_NE(broken.error().message.find("own.json"), std::string::npos);
}

TEST_F(CredentialsTest, StoresAndForgets) {
  write("real.json", R"({"later":1})");
  fs::create_directory(directory_ + "/cfg");
  fs::create_symlink("../real.json", directory_ + "/cfg/config.json");
  variables_["DOCKER_CONFIG"] = directory_ + "/cfg";
  ASSERT_TRUE(store().store("docker.io", {"u", "p", "", ""}));
  EXPECT_TRUE(fs::is_symlink(directory_ + "/cfg/config.json"));
  EXPECT_EQ(read("real.json"),
            json({{"later", 1}, {"auths", {{"https://index.docker.io/v1/", {{"auth", "dTpw"}}}}}}));
  struct stat info{};
  ASSERT_EQ(::stat((directory_ + "/real.json").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(store().find("docker.io", "library/a").value()->password, "p");
  EXPECT_TRUE(store().erase("docker.io").value());
  EXPECT_FALSE(store().erase("docker.io").value());
  EXPECT_EQ(store().store("h", {"u:x", "p", "", ""}).error().reason, "credentials_invalid");
}

TEST_F(CredentialsTest, MakesTheFileAndItsDirectory) {
  ASSERT_TRUE(store().store("h.example", {"u", "p", "", ""}));
  EXPECT_TRUE(read(".docker/config.json")["auths"].contains("h.example"));
  variables_["REGISTRY_AUTH_FILE"] = directory_ + "/new/auth.json";
  ASSERT_TRUE(store().store("docker.io", {"u", "p", "", ""}));
  EXPECT_TRUE(read("new/auth.json")["auths"].contains("docker.io"));
}

TEST_F(CredentialsTest, AHelperHasThem) {
  write_helper();
  write(".docker/config.json", R"({"credsStore":"test"})");
  EXPECT_FALSE(store().find("h.example", "a").value());
  const auto stored = store().store("docker.io", {"u", "p\"w", "", ""});
  ASSERT_TRUE(stored) << stored.error().message;
  EXPECT_EQ(read("kept")["ServerURL"], "https://index.docker.io/v1/");
  EXPECT_EQ(store().find("docker.io", "library/a").value(), (Credentials{"u", "p\"w", "", ""}));
  EXPECT_EQ(read(".docker/config.json")["auths"]["https://index.docker.io/v1/"], json::object());
  EXPECT_TRUE(store().erase("docker.io").value());
  EXPECT_FALSE(fs::exists(directory_ + "/kept"));
  EXPECT_FALSE(store().erase("docker.io").value());
}

TEST_F(CredentialsTest, HelpersThatFail) {
  const auto refused = [&](const std::string& script) {
    write("docker-credential-bad", "#!/bin/sh\n" + script, true);
    write(".docker/config.json", R"({"credHelpers":{"h.example":"bad"}})");
    const auto found = store().find("h.example", "a");
    EXPECT_FALSE(found) << script;
    if (found) return Error{};
    EXPECT_EQ(found.error().reason, "credential_helper_failed");
    EXPECT_EQ(found.error().message.find('\n'), std::string::npos);
    return found.error();
  };
  EXPECT_NE(refused("echo first >&2; echo 'the ring is locked' >&2; exit 1")
                .message.find("exit status 1: 'the ring is locked'"),
            std::string::npos);
  EXPECT_NE(refused("echo 'no bus'; exit 2").message.find("'no bus'"), std::string::npos);
  EXPECT_EQ(refused("echo '{\"Username\":\"u\",\"Secret\":\"s3cr3t'").message.find("s3cr3t"),
            std::string::npos);
  refused("kill -9 $$");
  refused("echo '[]'");
  refused("echo '{\"Username\":\"u\"}'");
  refused("echo '{\"Username\":\"u\",\"Secret\":\"a\\nb\"}'");
  refused("head -c 1000000 /dev/zero");
}

TEST_F(CredentialsTest, HelpersThatHang) {
  write("docker-credential-slow", "#!/bin/sh\nexec sleep 100\n", true);
  CredentialHelper helper = CredentialHelper::find("slow", directory_).value();
  helper.timeout = std::chrono::milliseconds(50);
  EXPECT_EQ(helper.get("x").error().code, Code::kDeadlineExceeded);
  write("docker-credential-agent",
        "#!/bin/sh\nsleep 2 &\necho '{\"Username\":\"<token>\",\"Secret\":\"s\"}'\n", true);
  const auto start = std::chrono::steady_clock::now();
  const auto found = CredentialHelper::find("agent", directory_).value().get("x");
  EXPECT_EQ(found.value()->identity_token, "s");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1500));
}

TEST_F(CredentialsTest, HelpersThatAreNone) {
  for (const char* bad : {"", "../x", "a/b", ".x", "a b", "a\n"})
    EXPECT_EQ(CredentialHelper::find(bad, directory_).error().reason, "credential_helper_invalid");
  EXPECT_EQ(CredentialHelper::find("none", directory_).error().reason, "credential_helper_missing");
  EXPECT_EQ(CredentialHelper::find("none", "").error().reason, "credential_helper_missing");
}

TEST(ProxyVariables, AsCurlReadsThem) {
  const auto of = [](std::map<std::string, std::string> set) {
    return proxies(
        [set](const char* name) { return set.contains(name) ? set.at(name) : std::string(); });
  };
  EXPECT_EQ(of({{"HTTP_PROXY", "x"}}).http, "");
  EXPECT_EQ(of({{"http_proxy", "x"}}).http, "x");
  EXPECT_EQ(of({{"HTTPS_PROXY", "x"}, {"ALL_PROXY", "y"}}).https, "x");
  EXPECT_EQ(of({{"ALL_PROXY", "y"}}).https, "y");
  EXPECT_EQ(of({{"NO_PROXY", "a,b"}}).none, "a,b");
}

}  // namespace
}  // namespace caisson::image
