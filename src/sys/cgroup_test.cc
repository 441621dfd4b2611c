// Real control groups. Runs where this process may make them (root, or a delegated v2 group).
#include "sys/cgroup.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/ulid.h"

namespace caisson::sys {
namespace {

using namespace std::chrono_literals;

class CgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    auto layout = detect_cgroups();
    ASSERT_TRUE(layout) << layout.error().message;
    layout_ = std::move(*layout);
    for (Controller c : {Controller::kMemory, Controller::kPids, Controller::kFreezer})
      if (!layout_.usable(c)) GTEST_SKIP() << "missing: " << layout_.why_not(c);
    id_ = "test-" + make_ulid().value();
  }
  void TearDown() override {
    if (id_.empty()) return;
    if (auto group = Cgroup::open(layout_, id_)) {
      EXPECT_TRUE(group->kill_all());
      EXPECT_TRUE(group->remove());
    }
    for (pid_t child : children_) ::waitpid(child, nullptr, 0);
  }

  Cgroup make(const CgroupLimits& limits = {}) {
    auto group = Cgroup::create(layout_, id_, limits);
    if (!group) throw std::runtime_error(group.error().message);
    return std::move(*group);
  }

  /// Runs `body` in a child inside the group.
  template <class F>
  pid_t spawn(Cgroup& group, F body) {
    const auto fds = group.join_fds().value();
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (join_cgroups(fds.data(), fds.size()) != 0) ::_exit(99);
      ::_exit(body());
    }
    return pid;
  }
  pid_t spawn_sleeper(Cgroup& group) {
    const pid_t pid = spawn(group, [] { return ::pause(); });
    children_.push_back(pid);
    return pid;
  }
  static int wait_status(pid_t pid) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    return status;
  }
  static void wait_for_pids(const Cgroup& group, std::size_t count) {
    Backoff backoff(5s);
    while (group.pids().size() != count && backoff.wait()) continue;
    ASSERT_EQ(group.pids().size(), count);
  }

  CgroupLayout layout_;
  std::string id_;
  std::vector<pid_t> children_;
};

TEST_F(CgroupTest, CreateOpenRemoveLeavesNothing) {
  Cgroup group = make({.memory_bytes = 64u << 20, .pids = 100, .cpu_weight = {}, .cpus = {}});
  EXPECT_TRUE(group.has(Controller::kMemory));
  const auto paths = group.paths();
  ASSERT_FALSE(paths.empty());
  auto twice = Cgroup::create(layout_, id_, {});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().reason, "cgroup_exists");
  EXPECT_EQ(twice.error().code, Code::kAlreadyExists);
  EXPECT_TRUE(Cgroup::open(layout_, id_));
  EXPECT_TRUE(group.remove());
  EXPECT_TRUE(group.remove()) << "idempotent";
  for (const std::string& path : paths) EXPECT_NE(::access(path.c_str(), F_OK), 0) << path;
  auto gone = Cgroup::open(layout_, id_);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().reason, "cgroup_not_found");
}

TEST_F(CgroupTest, FailureUndoesEverything) {
  CgroupLayout broken = layout_;
  broken.hierarchies.push_back({.version = 1,
                                .mount = "/proc",
                                .own = {},
                                .read_only = false,
                                .controllers = {Controller::kCpu},
                                .base = "/proc/sys",
                                .unusable = {}});
  auto group = Cgroup::create(broken, id_, {});
  ASSERT_FALSE(group);
  EXPECT_EQ(Cgroup::open(layout_, id_).error().reason, "cgroup_not_found");
  EXPECT_EQ(Cgroup::create(layout_, "../x", {}).error().reason, "invalid_box_id");
}

TEST_F(CgroupTest, MissingControllerIsAnErrorOnlyWhenAsked) {
  std::erase_if(layout_.hierarchies,
                [](const CgroupHierarchy& h) { return h.controllers.has(Controller::kMemory); });
  if (layout_.hierarchies.empty()) GTEST_SKIP() << "missing: a second hierarchy (pure v2 host)";
  auto limited = Cgroup::create(
      layout_, id_, {.memory_bytes = 1u << 20, .pids = {}, .cpu_weight = {}, .cpus = {}});
  ASSERT_FALSE(limited);
  EXPECT_EQ(limited.error().reason, "limit_unsupported");
  Cgroup group = make();
  EXPECT_FALSE(group.has(Controller::kMemory));
  EXPECT_EQ(group.usage().peak_memory_bytes, std::nullopt);
  EXPECT_EQ(group.oom_kills(), std::nullopt);
}

TEST_F(CgroupTest, MemoryLimitKillsAndIsCounted) {
  Cgroup group = make({.memory_bytes = 32u << 20, .pids = {}, .cpu_weight = {}, .cpus = {}});
  const int status = wait_status(spawn(group, [] {
    constexpr std::size_t kSize = 128u << 20;
    void* block =
        ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    auto* bytes = static_cast<volatile char*>(block);
    for (std::size_t i = 0; i < kSize; i += 4096) bytes[i] = 1;
    return 0;
  }));
  ASSERT_TRUE(WIFSIGNALED(status)) << "exit status " << WEXITSTATUS(status);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(group.oom_kills(), 1u);
  const Usage usage = group.usage();
  EXPECT_EQ(usage.oom_kills, 1u);
  EXPECT_GT(usage.peak_memory_bytes.value_or(0), 30u << 20);
  EXPECT_LE(usage.peak_memory_bytes.value_or(0), 32u << 20);
}

TEST_F(CgroupTest, PidsLimitIsCounted) {
  Cgroup group = make({.memory_bytes = {}, .pids = 3, .cpu_weight = {}, .cpus = {}});
  EXPECT_EQ(group.pid_limit_hits(), 0u);
  const int status = wait_status(spawn(group, [] {
    for (int made = 0;; ++made) {
      const pid_t pid = ::fork();
      if (pid == 0) ::pause();
      if (pid < 0) return errno == EAGAIN ? made : 98;
    }
  }));
  EXPECT_EQ(WEXITSTATUS(status), 2);
  EXPECT_GE(group.pid_limit_hits().value_or(0), 1u);
  EXPECT_EQ(group.usage().max_pids.value_or(3), 3u);
}

TEST_F(CgroupTest, CpuTimeIsMeasuredAndFreezingStopsIt) {
  Cgroup group = make();
  if (!group.has(Controller::kCpuacct))
    GTEST_SKIP() << "missing: " << layout_.why_not(Controller::kCpuacct);
  children_.push_back(spawn(group, [] {
    for (;;) __asm__ volatile("");  // busy, and not optimised away
    return 0;
  }));
  const auto used = [&] { return group.usage().cpu_user.value_or(0ns); };
  Backoff backoff(5s);
  while (used() < 20ms && backoff.wait()) continue;
  ASSERT_GE(used(), 20ms);
  ASSERT_TRUE(group.freeze());
  const auto before = used();
  ::usleep(50'000);
  EXPECT_LE(used() - before, 1ms);
  ASSERT_TRUE(group.thaw());
  Backoff again(5s);
  while (used() < before + 20ms && again.wait()) continue;
  EXPECT_GE(used(), before + 20ms);
}

TEST_F(CgroupTest, KillAllReachesAForkBombWithItsSubgroups) {
  Cgroup group = make({.memory_bytes = {}, .pids = 60, .cpu_weight = {}, .cpus = {}});
  for (const std::string& path : group.paths()) {
    ASSERT_EQ(::mkdir((path + "/a").c_str(), 0755), 0);
    ASSERT_EQ(::mkdir((path + "/a/b").c_str(), 0755), 0);
  }
  children_.push_back(spawn(group, [] {
    ::signal(SIGTERM, SIG_IGN);
    for (;;)
      if (::fork() < 0) ::usleep(1000);
    return 0;
  }));
  Backoff backoff(5s);
  while (group.pids().size() < 60 && backoff.wait()) continue;
  const auto killed = group.kill_all();
  ASSERT_TRUE(killed) << killed.error().message;
  EXPECT_TRUE(group.pids().empty());
  const auto removed = group.remove();
  EXPECT_TRUE(removed) << removed.error().message;
}

TEST_F(CgroupTest, KillAllEndsAFrozenBox) {
  Cgroup group = make();
  spawn_sleeper(group);
  wait_for_pids(group, 1);
  ASSERT_TRUE(group.freeze());
  ASSERT_TRUE(group.kill_all());
  EXPECT_TRUE(group.pids().empty());
}

TEST_F(CgroupTest, PidsAreListedInSubgroups) {
  Cgroup group = make();
  const pid_t pid = spawn_sleeper(group);
  wait_for_pids(group, 1);
  for (const std::string& path : group.paths()) {
    const std::string sub = path + "/sub";
    ASSERT_EQ(::mkdir(sub.c_str(), 0755), 0);
    auto procs = open_fd(sub + "/cgroup.procs", O_WRONLY);
    ASSERT_TRUE(procs);
    // A v2 group that hands on controllers could not hold both; ours never does.
    ASSERT_TRUE(write_all(procs->get(), std::to_string(pid), sub));
  }
  EXPECT_EQ(group.pids(), std::vector<int>{pid});
}

TEST_F(CgroupTest, UpdateRaisesAndLowers) {
  Cgroup group = make({.memory_bytes = 32u << 20, .pids = 10, .cpu_weight = {}, .cpus = {}});
  const auto change = [&](std::uint64_t bytes) {
    auto result = group.update({.memory_bytes = bytes, .pids = 20, .cpu_weight = {}, .cpus = {}});
    EXPECT_TRUE(result) << result.error().message;
  };
  change(64u << 20);
  change(16u << 20);
  EXPECT_EQ(
      group.update({.memory_bytes = {}, .pids = 0, .cpu_weight = {}, .cpus = {}}).error().reason,
      "limit_invalid");
  if (!group.has(Controller::kCpu)) return;
  auto cpu = group.update({.memory_bytes = {}, .pids = {}, .cpu_weight = 50, .cpus = 0.5});
  EXPECT_TRUE(cpu) << cpu.error().message;
  cpu = group.update({.memory_bytes = {}, .pids = {}, .cpu_weight = 200, .cpus = 0.002});
  EXPECT_TRUE(cpu) << cpu.error().message;
}

TEST_F(CgroupTest, RemoveSaysThatProcessesLive) {
  Cgroup group = make();
  spawn_sleeper(group);
  wait_for_pids(group, 1);
  const auto removed = group.remove();
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().reason, "cgroup_busy");
}

// The core of v2 works also where its controllers are on v1: freezing, killing, CPU time.
TEST_F(CgroupTest, V2CoreAlone) {
  auto mountinfo = read_file("/proc/self/mountinfo");
  ASSERT_TRUE(mountinfo);
  const auto mount = find_cgroup2_mount(*mountinfo);
  if (!mount || ::access((*mount + "/cgroup.procs").c_str(), W_OK) != 0)
    GTEST_SKIP() << "missing: a writable cgroup2 mount";
  layout_.hierarchies = {{.version = 2,
                          .mount = *mount,
                          .own = {},
                          .read_only = false,
                          .controllers = {Controller::kCpuacct, Controller::kFreezer},
                          .base = *mount,
                          .unusable = {}}};
  Cgroup group = make();
  EXPECT_GE(group.clone_fd(), 0);
  EXPECT_TRUE(group.join_fds(Cgroup::Join::kByClone)->empty());
  spawn_sleeper(group);
  wait_for_pids(group, 1);
  ASSERT_TRUE(group.freeze());
  ASSERT_TRUE(group.thaw());
  ASSERT_TRUE(group.kill_all());
  EXPECT_TRUE(group.usage().cpu_user.has_value());
  EXPECT_EQ(group.usage().peak_memory_bytes, std::nullopt);
  ASSERT_TRUE(group.remove());
}

}  // namespace
}  // namespace caisson::sys
