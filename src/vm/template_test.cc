#include "vm/template.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/unit_test_support.h"
#include "sys/seccomp.h"
#include "sys/socket.h"
#include "vm/opens.h"

namespace caisson::vm {
namespace {

constexpr std::uint64_t kBytes = 1u << 20;

Machine machine() {
  Machine machine;
  machine.qemu = "/bin/sh";  // any program
  machine.memory_mib = 256;
  return machine;
}

TEST(TemplateNameTest, TellsWhatMemoryComesFrom) {
  Assets assets;
  assets.digest = "a";
  const std::string name = *template_name(machine(), assets);
  EXPECT_TRUE(name.ends_with("-1x256"));
  EXPECT_EQ(*template_name(machine(), assets), name);
  Machine other = machine();
  other.tsc_khz = 5;  // measured anew each time
  other.box = other.base = other.agent = other.kernel = 7;
  EXPECT_EQ(*template_name(other, assets), name);
  other.cpus = 2;
  EXPECT_NE(*template_name(other, assets), name);
  EXPECT_EQ(template_name(other, assets)->substr(0, 16), name.substr(0, 16));
  assets.digest = "b";
  EXPECT_NE(template_name(machine(), assets)->substr(0, 16), name.substr(0, 16));
}

class TemplatesTest : public testing::Test {
 protected:
  void make(const std::string& name) {
    const Result<Fd> folder = begin_template(directory_.get(), name);
    ASSERT_TRUE(folder) << folder.error().message;
    const Result<Saved> saved = make_saved(folder->get(), kBytes);
    ASSERT_TRUE(saved) << saved.error().message;
    ASSERT_TRUE(write_all(saved->state.get(), "state", ""));
    ASSERT_TRUE(finish_template(directory_.get(), name));
  }
  bool is_there(const std::string& name) {
    return find_template(directory_.get(), name, kBytes).has_value();
  }

  TestDirectory home_;
  Fd directory_ = *open_templates(home_.path());
};

TEST_F(TemplatesTest, IsThereWhenItIsWhole) {
  EXPECT_FALSE(is_there("0123456789abcdef-1x1"));
  const Result<Fd> folder = begin_template(directory_.get(), "0123456789abcdef-1x1");
  ASSERT_TRUE(folder && make_saved(folder->get(), kBytes));
  EXPECT_FALSE(is_there("0123456789abcdef-1x1"));
  make("0123456789abcdef-1x1");
  EXPECT_TRUE(is_there("0123456789abcdef-1x1"));
  EXPECT_FALSE(find_template(directory_.get(), "0123456789abcdef-1x1", kBytes + 1));
  remove_template(directory_.get(), "0123456789abcdef-1x1");
  EXPECT_FALSE(is_there("0123456789abcdef-1x1"));
}

TEST_F(TemplatesTest, ThoseOfOtherGuestsGo) {
  make("0123456789abcdef-1x1");
  make("0123456789abcdef-2x1");
  EXPECT_TRUE(is_there("0123456789abcdef-1x1"));
  make("f123456789abcdef-1x1");
  EXPECT_FALSE(is_there("0123456789abcdef-1x1"));
  EXPECT_FALSE(is_there("0123456789abcdef-2x1"));
}

TEST_F(TemplatesTest, ThoseWithABoxThatAreNotUsedGo) {
  const std::string size = "0123456789abcdef-1x1";
  const auto with_box = [&](int number) { return box_template_name(size, std::to_string(number)); };
  make(size);
  make(with_box(0));
  for (int i = 1; i < 8; ++i) make(with_box(i));
  EXPECT_TRUE(is_there(with_box(0)));  // and used now
  make(with_box(8));
  EXPECT_TRUE(is_there(size));
  EXPECT_TRUE(is_there(with_box(0)));
  EXPECT_FALSE(is_there(with_box(1)));
  EXPECT_TRUE(is_there(with_box(8)));
}

TEST_F(TemplatesTest, AreMadeByOneAtATime) {
  const Result<Fd> one = lock_templates(directory_.get(), 0);
  ASSERT_TRUE(one);
  EXPECT_EQ(lock_templates(directory_.get(), 0).error().reason, "template_busy");
}

TEST_F(TemplatesTest, CannotBeChangedByWhoGoesOnFromIt) {
  make("0123456789abcdef-1x1");
  const std::optional<Saved> saved =
      find_template(directory_.get(), "0123456789abcdef-1x1", kBytes);
  ASSERT_TRUE(saved);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, saved->memory.get(), 0),
            MAP_FAILED);
  EXPECT_LT(::pwrite(saved->memory.get(), "x", 1, 0), 0);
}

/// In a process of its own, as QEMU does it: 0 when the path is the file, and can only be read.
int try_to_open(int parent) {
  const Result<std::string> filter = opens_filter(true, false);
  if (!filter || ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return 1;
  const Fd listener(sys::install_seccomp_listener(filter->data(), filter->size() / 8));
  if (!listener || sys::send_with_fds(parent, "x", {listener.get()}) != 1) return 2;
  const Fd memory(::open(kMemoryPath, O_RDWR | O_CLOEXEC));
  if (!memory) return 3;
  if (memory.get() != kMemoryFd) return 8;
  constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (::fallocate(kMemoryFd, kPunch, 0, 4096) != 0) return 9;  // which did nothing
  if (::pwrite(memory.get(), "x", 1, 0) >= 0) return 4;
  void* mapped = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory.get(), 0);
  if (mapped == MAP_FAILED) return 5;
  static_cast<char*>(mapped)[0] = 'y';
  const Fd other(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!other) return 6;
  return ::open("/no/such/file", O_RDWR | O_CLOEXEC) < 0 && errno == ENOENT ? 0 : 7;
}

TEST(OpensTest, TheMemoryIsWhatWeSay) {
  const TestDirectory directory;
  const std::string path = directory.path() + "/memory";
  const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(file.get(), 4096), 0);
  const Fd read_only(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  sys::SocketPair pair = *sys::make_socket_pair(SOCK_STREAM);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(try_to_open(pair.theirs.get()));
  char byte = 0;
  sys::Received got = sys::receive_with_fds(pair.ours.get(), &byte, 1);
  ASSERT_EQ(got.fds.size(), 1u);
  std::thread answers([&] {
    pollfd polled{got.fds[0].get(), POLLIN, 0};
    while (answer_open(polled.fd, read_only.get())) ::poll(&polled, 1, -1);
  });
  int status = -1;
  ::waitpid(child, &status, 0);
  answers.join();
  EXPECT_EQ(status, 0) << WEXITSTATUS(status);
  char first = 1;
  EXPECT_EQ(::pread(file.get(), &first, 1, 0), 1);
  EXPECT_EQ(first, 0);
}

}  // namespace
}  // namespace caisson::vm
