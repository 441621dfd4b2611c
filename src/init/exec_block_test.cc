#include "init/exec_block.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstring>
#include <set>

#include "init/exec_layout.h"

namespace caisson::init {
namespace {

/// A block as the child sees it, with every offset checked against its size.
class Mapped final {
 public:
  explicit Mapped(const ProcessImage& image) {
    const Fd block = make_exec_block(image).value();
    struct stat info{};
    EXPECT_EQ(::fstat(block.get(), &info), 0);
    size_ = static_cast<std::size_t>(info.st_size);
    memory_ = static_cast<const char*>(
        ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, block.get(), 0));
    EXPECT_NE(memory_, MAP_FAILED);
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  ~Mapped() { ::munmap(const_cast<char*>(memory_), size_); }

  const ExecHeader& header() const { return *reinterpret_cast<const ExecHeader*>(memory_); }
  std::size_t size() const { return size_; }
  std::string text(std::uint64_t offset) const {
    EXPECT_LT(offset, size_);
    EXPECT_NE(std::memchr(memory_ + offset, 0, size_ - offset), nullptr);
    return memory_ + offset;
  }
  std::vector<std::string> texts(std::uint64_t offset) const {
    std::vector<std::string> list;
    for (;; offset += sizeof(std::uint64_t)) {
      const auto word = array<std::uint64_t>(offset, 1)[0];
      if (word == 0) return list;
      list.push_back(text(word));
    }
  }
  template <class T>
  std::vector<T> array(std::uint64_t offset, std::uint64_t count) const {
    EXPECT_EQ(offset % alignof(T), 0u);
    EXPECT_LE(offset + count * sizeof(T), size_);
    const T* first = reinterpret_cast<const T*>(memory_ + offset);
    return {first, first + count};
  }

 private:
  const char* memory_ = nullptr;
  std::size_t size_ = 0;
};

std::vector<std::string> words_of(const ProcessImage& image) {
  std::vector<std::string> words = {kFirstWord};
  words.insert(words.end(), image.candidates.begin(), image.candidates.end());
  words.emplace_back();
  words.insert(words.end(), image.argv.begin(), image.argv.end());
  return words;
}

TEST(ExecBlock, HoldsEverything) {
  ProcessImage image;
  image.argv = {"sh", "", "a b\nc", "\xff\xfe"};
  image.env = {"A=1", "EMPTY="};
  image.candidates = {"/bin/sh", "/usr/bin/sh"};
  image.workdir = "/work dir";
  image.uid = 1000;
  image.gid = 65535;
  image.groups = {1, 2, 3};
  image.capabilities = 0x1ffffffffff;
  image.bounding = 5;
  image.no_new_privileges = false;
  image.terminal = true;
  image.limits = {{RLIMIT_CORE, 0, 0}, {RLIMIT_NOFILE, 1024, RLIM_INFINITY}};
  const Mapped block(image);
  const ExecHeader& header = block.header();
  EXPECT_EQ(header.size, block.size());
  EXPECT_EQ(block.texts(header.words), words_of(image));
  EXPECT_EQ(block.texts(header.env), image.env);
  EXPECT_EQ(block.text(header.workdir), image.workdir);
  EXPECT_EQ(block.array<std::uint32_t>(header.groups, header.group_count), image.groups);
  const auto limits = block.array<LimitEntry>(header.limits, header.limit_count);
  ASSERT_EQ(limits.size(), 2u);
  EXPECT_EQ(limits[1].resource, static_cast<std::uint64_t>(RLIMIT_NOFILE));
  EXPECT_EQ(limits[1].soft, 1024u);
  EXPECT_EQ(limits[1].hard, RLIM_INFINITY);
  EXPECT_EQ(header.uid, 1000u);
  EXPECT_EQ(header.gid, 65535u);
  EXPECT_EQ(header.capabilities, image.capabilities);
  EXPECT_EQ(header.bounding, 5u);
  EXPECT_TRUE(header.set_groups);
  EXPECT_FALSE(header.no_new_privileges);
  EXPECT_TRUE(header.terminal);
}

TEST(ExecBlock, EmptyOne) {
  const Mapped block(ProcessImage{});
  EXPECT_EQ(block.texts(block.header().words), words_of({}));
  EXPECT_TRUE(block.texts(block.header().env).empty());
  EXPECT_EQ(block.text(block.header().workdir), "");
  EXPECT_EQ(block.header().group_count, 0u);
  EXPECT_EQ(block.header().limit_count, 0u);
}

TEST(ExecBlock, AlignedWhateverTheTextsLengths) {
  for (std::size_t length = 0; length < 17; ++length) {
    ProcessImage image;
    image.argv = {std::string(length, 'x')};
    image.workdir = std::string(length * 3, 'y');
    image.groups = {7};
    image.limits = {{RLIMIT_CORE, 1, 2}};
    const Mapped block(image);
    EXPECT_EQ(block.texts(block.header().words), words_of(image));
    EXPECT_EQ(block.array<std::uint32_t>(block.header().groups, 1)[0], 7u);
    EXPECT_EQ(block.array<LimitEntry>(block.header().limits, 1)[0].hard, 2u);
  }
}

TEST(ExecBlock, ManyArguments) {
  ProcessImage image;
  for (int i = 0; i < 20'000; ++i) image.argv.push_back(std::to_string(i));
  const Mapped block(image);
  EXPECT_EQ(block.texts(block.header().words), words_of(image));
}

TEST(ExecBlock, EveryStepHasItsOwnName) {
  std::set<std::string_view> names;
  for (std::uint32_t step = 1; step <= static_cast<std::uint32_t>(ExecStep::kExec); ++step)
    names.insert(to_string(static_cast<ExecStep>(step)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(ExecStep::kExec));
  EXPECT_FALSE(names.contains("unknown step"));
}

}  // namespace
}  // namespace caisson::init
