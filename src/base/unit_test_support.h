// For tests only: a directory that vanishes, and checks in a process of their own.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

namespace caisson {

class TestDirectory final {
 public:
  TestDirectory() {
    char pattern[] = "/tmp/caisson-test-XXXXXX";
    if (::mkdtemp(pattern) != nullptr) path_ = pattern;
  }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;
  ~TestDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Forks, runs `checks` in the child (EXPECT_ and ASSERT_ work, and print), and returns the wait
/// status: 0 when all held. What `checks` does to its process ends with it.
template <class F>
int run_in_child(F checks) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    checks();
    std::fflush(nullptr);
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = -1;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace caisson
