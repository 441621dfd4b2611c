#include "cli/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Settings {
  std::vector<std::string> env;
  bool interactive = false;
  bool tty = false;
};

constexpr Option<Settings> kTable[] = {
    {{"-e,--env", "K=V", "a variable"},
     [](Settings& s, std::string_view v) { return s.env.emplace_back(v), Result<>(); }},
    {{"-i,--interactive", "", "input"}, set_true<&Settings::interactive>},
    {{"-t,--tty", "", "terminal"}, set_true<&Settings::tty>},
};

struct Outcome {
  Settings settings;
  Result<Parsed> parsed;
};

Outcome read(std::vector<std::string> words, Order order = Order::kOptionsFirst) {
  std::vector<char*> args;
  for (std::string& word : words) args.push_back(word.data());
  Outcome outcome;
  outcome.parsed = read_options(
      texts<Settings>(kTable), order, args,
      [&](std::size_t i, std::string_view v) { return kTable[i].set(outcome.settings, v); });
  return outcome;
}

TEST(ReadOptions, EverySpellingOfAValue) {
  auto outcome = read({"-e", "A=1", "-eB=2", "--env", "C=3", "--env=D=4", "-e=E=5", "--env="});
  ASSERT_TRUE(outcome.parsed);
  EXPECT_THAT(outcome.settings.env, ElementsAre("A=1", "B=2", "C=3", "D=4", "E=5", ""));
  EXPECT_THAT(outcome.parsed->arguments, IsEmpty());
}

TEST(ReadOptions, AValueMayLookLikeAnOption) {
  EXPECT_THAT(read({"-e", "-i"}).settings.env, ElementsAre("-i"));
  EXPECT_THAT(read({"-e", "--"}).settings.env, ElementsAre("--"));
  EXPECT_THAT(read({"-e", ""}).settings.env, ElementsAre(""));
}

TEST(ReadOptions, FlagsCombine) {
  auto outcome = read({"-iteA=1"});
  EXPECT_TRUE(outcome.settings.interactive && outcome.settings.tty);
  EXPECT_THAT(outcome.settings.env, ElementsAre("A=1"));
}

TEST(ReadOptions, AfterSourceEverythingBelongsToTheCommand) {
  auto outcome = read({"-i", "host:", "-t", "--env", "--help", "--", "x"});
  ASSERT_TRUE(outcome.parsed);
  EXPECT_FALSE(outcome.settings.tty || outcome.parsed->help);
  EXPECT_THAT(outcome.parsed->arguments, ElementsAre("host:", "-t", "--env", "--help", "--", "x"));
}

TEST(ReadOptions, DoubleDashEndsOptions) {
  EXPECT_THAT(read({"-i", "--", "-t", "x"}).parsed->arguments, ElementsAre("-t", "x"));
  EXPECT_THAT(read({"a", "--", "-t"}, Order::kAnywhere).parsed->arguments, ElementsAre("a", "-t"));
}

TEST(ReadOptions, ElsewhereOptionsMayFollowArguments) {
  auto outcome = read({"box", "-t", "-"}, Order::kAnywhere);
  EXPECT_TRUE(outcome.settings.tty);
  EXPECT_THAT(outcome.parsed->arguments, ElementsAre("box", "-"));
}

TEST(ReadOptions, HelpStopsReading) {
  EXPECT_TRUE(read({"--help", "--nonsense"}).parsed->help);
  EXPECT_TRUE(read({"-ih"}).parsed->help);
}

TEST(ReadOptions, UnknownOptionsGetASuggestion) {
  auto outcome = read({"--interactve"});
  ASSERT_FALSE(outcome.parsed);
  EXPECT_EQ(outcome.parsed.error().reason, "option_unknown");
  EXPECT_EQ(outcome.parsed.error().message, "read option '--interactve': no such option");
  EXPECT_EQ(outcome.parsed.error().hint, "did you mean '--interactive'?");
  EXPECT_EQ(read({"-z"}).parsed.error().reason, "option_unknown");
  EXPECT_EQ(read({"-iz"}).parsed.error().message, "read option '-z': no such option");
}

TEST(ReadOptions, ValuesMissingOrTooMany) {
  EXPECT_EQ(read({"--env"}).parsed.error().reason, "option_value_missing");
  EXPECT_EQ(read({"-ie"}).parsed.error().reason, "option_value_missing");
  EXPECT_EQ(read({"--tty=yes"}).parsed.error().reason, "option_value_unexpected");
}

TEST(DropSeparator, OnlyDirectlyAfterTheSource) {
  std::vector<std::string> words = {"host:", "--", "--", "x"};
  drop_separator(words);
  EXPECT_THAT(words, ElementsAre("host:", "--", "x"));
  words = {"host:", "x", "--"};
  drop_separator(words);
  EXPECT_THAT(words, ElementsAre("host:", "x", "--"));
}

TEST(HelpText, ShowsUsageOptionsAndExample) {
  const std::string text = help_text(
      {"run", "[OPTIONS] SOURCE", "Runs.", "  caisson run host: x\n"}, texts<Settings>(kTable));
  EXPECT_THAT(text, HasSubstr("Usage: caisson run [OPTIONS] SOURCE\n\nRuns.\n"));
  EXPECT_THAT(text, HasSubstr("  -e, --env K=V      a variable\n"));
  EXPECT_THAT(text, HasSubstr("  -h, --help         print this text\n"));
  EXPECT_THAT(text, HasSubstr("Example:\n  caisson run host: x\n"));
}

bool json_asked(std::vector<std::string> words, Order order = Order::kOptionsFirst) {
  std::vector<char*> args;
  for (std::string& word : words) args.push_back(word.data());
  return asks_for_json(texts<Settings>(kTable), order, args);
}

TEST(AsksForJson, WhereverItStandsAmongTheOptions) {
  EXPECT_TRUE(json_asked({"--json", "--wrong", "host:", "true"}));
  EXPECT_TRUE(json_asked({"--wrong", "--json", "host:", "true"}));
  EXPECT_TRUE(json_asked({"--wrong", "1g", "-it", "-e", "A", "--json", "host:", "true"}));
  EXPECT_TRUE(json_asked({"box", "--wrong", "--json"}, Order::kAnywhere));
}

TEST(AsksForJson, NotInTheCommandNorAsAValue) {
  EXPECT_FALSE(json_asked({"--wrong=1", "host:", "tool", "--json"}));
  EXPECT_FALSE(json_asked({"-t", "host:", "--json"}));
  EXPECT_FALSE(json_asked({"--wrong", "--", "--json"}));
  EXPECT_FALSE(json_asked({"-e", "--json", "host:", "true"}));
  EXPECT_FALSE(json_asked({}));
}

}  // namespace
}  // namespace caisson::cli
