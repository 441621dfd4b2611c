#include "vm/memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/unit_test_support.h"

namespace caisson::vm {
namespace {

constexpr std::size_t kBytes = 8u << 20;

char byte_at(int fd, off_t at) {
  char byte = '?';
  EXPECT_EQ(::pread(fd, &byte, 1, at), 1);
  return byte;
}

/// A process that maps the file, writes to two pages, and says so.
pid_t start_writer(int file, int flags) {
  Pipe ready = make_pipe().value();
  const pid_t child = ::fork();
  if (child == 0) {
    char* memory =
        static_cast<char*>(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, flags, file, 0));
    memory[5 << 20] = 'b';
    memory[kBytes - 1] = 'c';
    [[maybe_unused]] const ssize_t n = ::write(ready.write.get(), "x", 1);
    for (;;) ::pause();
  }
  ready.write.reset();
  char byte = 0;
  EXPECT_EQ(::read(ready.read.get(), &byte, 1), 1);
  return child;
}

class MemoryTest : public testing::TestWithParam<int> {};

TEST_P(MemoryTest, IsWhatTheProcessSees) {
  const TestDirectory directory;
  const Fd from(::open((directory / "from").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const Fd to(::open((directory / "to").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(from.get(), kBytes), 0);
  ASSERT_EQ(::pwrite(from.get(), "a", 1, 4096), 1);
  const pid_t child = start_writer(from.get(), GetParam());
  const Result<> saved = save_memory(child, from.get(), kBytes, to.get());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ASSERT_TRUE(saved) << saved.error().message;
  EXPECT_EQ(byte_at(to.get(), 4096), 'a');
  EXPECT_EQ(byte_at(to.get(), 5 << 20), 'b');
  EXPECT_EQ(byte_at(to.get(), kBytes - 1), 'c');
  EXPECT_EQ(byte_at(from.get(), 5 << 20), GetParam() == MAP_SHARED ? 'b' : '\0');
  struct stat info{};
  ASSERT_EQ(::fstat(to.get(), &info), 0);
  EXPECT_EQ(info.st_size, static_cast<off_t>(kBytes));
  EXPECT_LT(info.st_blocks * 512, 1 << 20) << "holes stay";
}

INSTANTIATE_TEST_SUITE_P(Mappings, MemoryTest, testing::Values(MAP_PRIVATE, MAP_SHARED));

TEST(NoMemoryTest, AProcessWithoutItIsAnError) {
  const TestDirectory directory;
  const Fd from(::open((directory / "from").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const Fd to(::open((directory / "to").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(from.get(), kBytes), 0);
  EXPECT_FALSE(save_memory(::getppid(), from.get(), kBytes, to.get()));
}

}  // namespace
}  // namespace caisson::vm
