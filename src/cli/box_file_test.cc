#include "cli/box_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cli/box_options.h"

namespace caisson::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr CommandText kText = {"run", "", "", ""};

struct Outcome {
  BoxOptions options;
  std::optional<int> status;
  std::string out;
  std::string err;
};

Outcome read(std::vector<std::string> words) {
  std::vector<char*> args;
  for (std::string& word : words) args.push_back(word.data());
  Outcome outcome;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  outcome.status = parse_box(kText, args, outcome.options);
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.err = testing::internal::GetCapturedStderr();
  return outcome;
}

/// A directory with box.yaml in it.
class BoxFile : public testing::Test {
 protected:
  BoxFile() {
    std::string pattern = testing::TempDir() + "box_file_XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ + "/box.yaml";
  }
  ~BoxFile() override { std::filesystem::remove_all(directory_); }

  Outcome run(const std::string& text, std::vector<std::string> words) {
    std::ofstream(path_) << text;
    return read(std::move(words));
  }
  BoxSpec spec(const std::string& text, std::vector<std::string> words) {
    Outcome outcome = run(text, std::move(words));
    EXPECT_FALSE(outcome.status) << outcome.err;
    return outcome.options.spec;
  }

  std::string directory_;
  std::string path_;
};

TEST_F(BoxFile, SaysEverything) {
  const BoxSpec box = spec("source: 'host:'\ncommand: [sleep, 5]\ntty: true\n", {"-f", path_});
  EXPECT_EQ(box.source, "host:");
  EXPECT_THAT(box.command, ElementsAre("sleep", "5"));
  EXPECT_TRUE(box.tty);
}

TEST_F(BoxFile, OptionsComeOnTopWhereverTheyStand) {
  const std::string text =
      "source: alpine\ncommand: [a]\nname: file\nenv: {A: 1, B: 2}\nlabels: {x: 1}\n"
      "limits: {memory_bytes: 1g, pids: 7}\nread_only_root: true\ngroups: [audio]\n"
      "mounts: ['/a:/m', '/b:/n']\nprotect: [/p]\n";
  const BoxSpec box =
      spec(text, {"--name",   "line", "-e",    "B=3",       "-e",  "C=4",         "-l",
                  "y=2",      "-m",   "64m",   "--file",    path_, "--writable",  "-v",
                  "/c:/m:ro", "-v",   "/d:/o", "--protect", "/q",  "--group-add", "video"});
  EXPECT_EQ(box.name, "line");
  EXPECT_THAT(box.env, ElementsAre(Pair("A", "1"), Pair("B", "3"), Pair("C", "4")));
  EXPECT_THAT(box.labels, ElementsAre(Pair("x", "1"), Pair("y", "2")));
  EXPECT_EQ(box.limits.memory_bytes, 64u << 20);
  EXPECT_EQ(box.limits.pids, 7u);
  EXPECT_EQ(box.read_only_root, false);
  EXPECT_THAT(box.groups, ElementsAre("audio", "video"));
  EXPECT_THAT(box.protect, ElementsAre("/p", "/q"));
  ASSERT_EQ(box.mounts.size(), 3u);
  EXPECT_EQ(box.mounts[0].source, "/b");
  EXPECT_EQ(box.mounts[1].source, "/c");
  EXPECT_EQ(box.mounts[2].target, "/o");
}

TEST_F(BoxFile, SourceAndCommandOfTheLineReplaceTheFiles) {
  const std::string text = "source: alpine\ncommand: [a, b]\n";
  BoxSpec box = spec(text, {"-f", path_, "debian"});
  EXPECT_EQ(box.source, "debian");
  EXPECT_THAT(box.command, ElementsAre("a", "b"));
  box = spec(text, {"-f", path_, "host:", "--", "c"});
  EXPECT_EQ(box.source, "host:");
  EXPECT_THAT(box.command, ElementsAre("c"));
}

TEST_F(BoxFile, RelativePathsCountFromTheFile) {
  const BoxSpec box = spec(
      "source: dir:root\ncommand: [x]\n"
      "mounts: ['./src:/s', '../up/:/u', 'vol:/v', {type: bind, source: a/./b, target: /c}]\n"
      "access: {read: [., /r], write: [w]}\n",
      {"-f", path_});
  EXPECT_EQ(box.source, "dir:" + directory_ + "/root");
  ASSERT_EQ(box.mounts.size(), 4u);
  EXPECT_EQ(box.mounts[0].source, directory_ + "/src");
  EXPECT_EQ(box.mounts[1].source,
            std::filesystem::path(directory_).parent_path().string() + "/up/");
  EXPECT_EQ(box.mounts[2].source, "vol");
  EXPECT_EQ(box.mounts[3].source, directory_ + "/a/b");
  EXPECT_THAT(box.access.read, ElementsAre(directory_, "/r"));
  EXPECT_THAT(box.access.write, ElementsAre(directory_ + "/w"));
}

TEST_F(BoxFile, FaultsNameTheFile) {
  EXPECT_EQ(run("a: 1\na: 2\n", {"-f", path_}).err,
            "caisson: read box file '" + path_ + "': line 2, column 1: key 'a' is given twice\n");
  EXPECT_THAT(run("memory: 1\n", {"-f", path_}).err, HasSubstr("unknown field 'memory'"));
  EXPECT_THAT(run("{}", {"-f", path_}).err, HasSubstr("SOURCE is missing"));
  EXPECT_THAT(run("source: 'host:'\n", {"-f", path_}).err, HasSubstr("COMMAND is missing"));
  EXPECT_THAT(read({"--json", "-f", "/does/not/exist"}).out,
              HasSubstr(R"("reason":"box_file_unreadable")"));
  EXPECT_THAT(run("a: [", {"-f", path_, "--json"}).out, HasSubstr(R"("reason":"yaml_invalid")"));
  EXPECT_THAT(read({"-f", "/does/not/exist", "--help"}).err, "");
  EXPECT_THAT(read({"-f", "/does/not/exist", "--nope"}).err, HasSubstr("--nope"));
}

TEST(AbsolutePath, IsText) {
  EXPECT_EQ(absolute_path("a", "/d"), "/d/a");
  EXPECT_EQ(absolute_path("./a/../b/", "/d"), "/d/b/");
  EXPECT_EQ(absolute_path("../..", "/d"), "/");
  EXPECT_EQ(absolute_path("..", "/d/e"), "/d");
  EXPECT_EQ(absolute_path(".", "/d"), "/d");
  EXPECT_EQ(absolute_path("/x/../y", "/d"), "/x/../y");
  EXPECT_EQ(absolute_path("", "/d"), "");
}

}  // namespace
}  // namespace caisson::cli
