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

// Adds the long options that a command's help shows.
void add_long_options(const Command& command, std::set<std::string>& names) {
  auto help =
      call(command.run, command.run == debug_command ? std::vector<std::string>{"plan", "--help"}
                                                     : std::vector<std::string>{"--help"});
  EXPECT_EQ(help.status, 0) << command.name;
  EXPECT_THAT(help.out, HasSubstr("Usage: caisson ")) << command.name;
  EXPECT_THAT(help.out, HasSubstr("Example:\n  ")) << command.name;
  const std::size_t options = help.out.find("\nOptions:");
  if (options == std::string::npos) return;  // help and image list commands
  std::istringstream words(help.out.substr(options));
  for (std::string word; words >> word && word != "Example:";) {
    if (word.ends_with(',')) word.pop_back();
    if (word.starts_with("--")) names.insert(word);
  }
}

std::set<std::string> long_options() {
  std::set<std::string> names;
  for (const Command& command : commands()) add_long_options(command, names);
  for (const Command& command : image_commands()) add_long_options(command, names);
  for (const Command& command : profile_commands()) add_long_options(command, names);
  for (const Command& command : volume_commands()) add_long_options(command, names);
  for (const Command& command : vm_commands()) add_long_options(command, names);
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
  for (const auto& list : {commands(), image_commands(), profile_commands()}) {
    for (const Command& command : list) {
      for (const std::string* text : {&bash, &zsh, &fish, &man}) {
        EXPECT_THAT(*text, HasSubstr(command.name));
      }
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

TEST(Commands, ImageHasCommandsOfItsOwn) {
  const std::string overview = call(image_command, {"--help"}).out;
  for (const Command& command : image_commands()) {
    EXPECT_THAT(overview, HasSubstr("\n  " + std::string(command.name) + " "));
    const std::string name(command.name);
    EXPECT_EQ(call(image_command, {name, "--help"}).out, call(command.run, {"--help"}).out);
  }
  EXPECT_EQ(call(image_command, {}).status, 125);
  EXPECT_EQ(
      call(image_command, {"tga", "a", "b"}).err,
      "caisson: parse arguments of 'image': no subcommand 'tga' (hint: did you mean 'tag'?)\n");
}

TEST(Commands, ProfilesAreShown) {
  const std::string table = call(profile_command, {"ls"}).out;
  const std::string lines = call(profile_command, {"ls", "--json"}).out;
  for (const char* name : {"minimal", "standard", "full"}) {
    EXPECT_THAT(table, HasSubstr("\n" + std::string(name) + " "));
    const std::string object = call(profile_command, {"show", name, "--json"}).out;
    EXPECT_THAT(object, HasSubstr("\"name\":\"" + std::string(name) + "\""));
    EXPECT_THAT(lines, HasSubstr(object));
  }
  const std::string shown = call(profile_command, {"show", "standard"}).out;
  for (const char* part : {"--cap-add", "CAP_CHOWN", ".git/hooks/", "limits.pids", "1.0 GiB"})
    EXPECT_THAT(shown, HasSubstr(part));
  EXPECT_THAT(call(profile_command, {"show", "standart"}).err,
              HasSubstr("did you mean 'standard'?"));
  EXPECT_EQ(call(profile_command, {"show"}).status, 125);
  EXPECT_EQ(call(profile_command, {"show", "full", "full"}).status, 125);
  EXPECT_EQ(call(profile_command, {"ls", "full"}).status, 125);
}

TEST(Commands, AMissingImageIsAnError) {
  for (auto command : {pull_command, rmi_command, image_inspect_command, image_history_command,
                       image_tag_command, image_save_command, image_disk_command}) {
    auto outcome = call(command, {});
    EXPECT_EQ(outcome.status, 125);
    EXPECT_THAT(outcome.err, HasSubstr(" is missing (hint: caisson "));
  }
}

TEST(Commands, FaultyImageArguments) {
  EXPECT_THAT(call(image_tag_command, {"a"}).err, HasSubstr("NAME is missing"));
  EXPECT_THAT(call(image_tag_command, {"a", "b", "c"}).err, HasSubstr("'c' is one too many"));
  EXPECT_THAT(call(prune_command, {"--low", "1g"}).err, HasSubstr("--low needs --high"));
  EXPECT_THAT(call(prune_command, {"--low", "2g", "--high", "1g"}).err, HasSubstr("more than"));
  EXPECT_THAT(call(images_command, {"--filter", "size=1"}).err, HasSubstr("not reference=GLOB"));
  EXPECT_THAT(call(login_command, {"--password-stdin"}).err, HasSubstr("needs -u USER"));
  EXPECT_THAT(call(image_load_command, {"--json", "-i", "/does/not/exist"}).out,
              HasSubstr(R"({"error":{"code":"NOT_FOUND")"));
}

TEST(Commands, FaultyVolumeArguments) {
  EXPECT_THAT(call(volume_command, {"create", ""}).err, HasSubstr("NAME is empty"));
  EXPECT_THAT(call(volume_command, {"create", "a", "b"}).err, HasSubstr("'b' is one too many"));
  EXPECT_THAT(call(volume_command, {"create", "--size", "x"}).err, HasSubstr("'x'"));
  EXPECT_THAT(call(volume_command, {"ls", "a"}).err, HasSubstr("'a' says nothing here"));
  EXPECT_THAT(call(volume_command, {"prune", "a"}).err, HasSubstr("'a' says nothing here"));
  for (const char* word : {"rm", "inspect"})
    EXPECT_THAT(call(volume_command, {word}).err, HasSubstr("NAME is missing"));
  for (const char* word : {"ls", "prune"})
    EXPECT_THAT(call(vm_command, {word, "a"}).err, HasSubstr("'a' says nothing here"));
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
