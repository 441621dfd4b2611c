#include "cli/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace caisson::cli {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int status = 0;
  std::string out;
  std::string err;
};

Outcome call(int (*command)(Args), std::vector<std::string> words) {
  std::vector<char*> args;
  for (std::string& word : words) args.push_back(word.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.status = command(args);
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.err = testing::internal::GetCapturedStderr();
  return outcome;
}

std::string file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(std::string(CAISSON_SOURCE_DIR) + "/" + path).rdbuf();
  return text.str();
}

std::string without_backslashes(std::string text) {
  std::erase(text, '\\');
  return text;
}

// The long options that the help of every command shows.
std::set<std::string> long_options() {
  std::set<std::string> names;
  for (const Command& command : commands()) {
    auto help =
        call(command.run, command.run == debug_command ? std::vector<std::string>{"plan", "--help"}
                                                       : std::vector<std::string>{"--help"});
    EXPECT_EQ(help.status, 0) << command.name;
    EXPECT_THAT(help.out, HasSubstr("Usage: caisson ")) << command.name;
    EXPECT_THAT(help.out, HasSubstr("Example:\n  ")) << command.name;
    std::istringstream words(help.out.substr(help.out.find("\nOptions:")));
    for (std::string word; words >> word && word != "Example:";) {
      if (word.ends_with(',')) word.pop_back();
      if (word.starts_with("--")) names.insert(word);
    }
  }
  return names;
}

TEST(Commands, CompletionsAndManPageKnowEveryOption) {
  const std::string bash = file("packaging/completions/caisson.bash");
  const std::string zsh = file("packaging/completions/_caisson");
  const std::string fish = file("packaging/completions/caisson.fish");
  const std::string man = without_backslashes(file("packaging/caisson.1"));
  for (const std::string& option : long_options()) {
    EXPECT_THAT(bash, HasSubstr(option));
    EXPECT_THAT(zsh, HasSubstr(option));
    EXPECT_THAT(fish, HasSubstr("-l " + option.substr(2)));
    EXPECT_THAT(man, HasSubstr(option));
  }
  for (const Command& command : commands()) {
    for (const std::string* text : {&bash, &zsh, &fish, &man}) {
      EXPECT_THAT(*text, HasSubstr(command.name));
    }
  }
}

TEST(Commands, CompletionPrintsTheInstalledFiles) {
  EXPECT_EQ(call(completion_command, {"bash"}).out, file("packaging/completions/caisson.bash"));
  EXPECT_EQ(call(completion_command, {"zsh"}).out, file("packaging/completions/_caisson"));
  EXPECT_EQ(call(completion_command, {"fish"}).out, file("packaging/completions/caisson.fish"));
  EXPECT_EQ(call(completion_command, {"csh"}).status, 125);
}

TEST(Commands, HelpShowsThemAll) {
  const std::string overview = call(help_command, {}).out;
  for (const Command& command : commands()) {
    EXPECT_THAT(overview, HasSubstr("\n  " + std::string(command.name) + " "));
  }
  EXPECT_EQ(call(help_command, {"rm"}).out, call(rm_command, {"--help"}).out);
  EXPECT_EQ(call(help_command, {"debug", "plan"}).out, call(debug_command, {"plan", "--help"}).out);
}

TEST(Commands, AWrongWordGetsASuggestion) {
  EXPECT_EQ(call(help_command, {"inspekt"}).err,
            "caisson: run command 'inspekt': no such command (hint: did you mean 'inspect'?)\n");
  EXPECT_EQ(call(help_command, {"inspekt"}).status, 125);
}

TEST(Commands, AMissingBoxIsAnError) {
  for (auto command :
       {stop_command, kill_command, rm_command, wait_command, inspect_command, start_command}) {
    auto outcome = call(command, {});
    EXPECT_EQ(outcome.status, 125);
    EXPECT_THAT(outcome.err, HasSubstr("BOX is missing (hint: caisson "));
  }
}

}  // namespace
}  // namespace caisson::cli
