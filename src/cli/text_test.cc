#include "cli/text.h"

#include <gtest/gtest.h>

namespace caisson::cli {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

TEST(Escape, LeavesOrdinaryTextAlone) {
  EXPECT_EQ(escape("mount 'größe' 日本 😀"), "mount 'größe' 日本 😀");
}

TEST(Escape, MakesControlCharactersVisible) {
  EXPECT_EQ(escape("a\x1b[31mb\r\n\x7f"), "a\\x1b[31mb\\x0d\\x0a\\x7f");
  EXPECT_EQ(escape("\xc2\x9b"), "\\xc2\\x9b") << "C1 CSI";
  EXPECT_EQ(escape("\xe2\x80\xae"), "\\xe2\\x80\\xae") << "right-to-left override";
  EXPECT_EQ(escape(std::string_view("\0", 1)), "\\x00");
}

TEST(Escape, MakesBytesThatAreNotUtf8Visible) {
  EXPECT_EQ(escape("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(escape("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
  EXPECT_EQ(escape("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "surrogate";
  EXPECT_EQ(escape("x\xe2\x82"), "x\\xe2\\x82") << "cut off";
}

TEST(Counted, OneIsNoPlural) {
  EXPECT_EQ(counted(1, "layer"), "1 layer");
  EXPECT_EQ(counted(0, "layer"), "0 layers");
}

TEST(HarmlessJson, EscapesInsideOfStringsOnly) {
  EXPECT_EQ(harmless_json("{\n  \"a\": \"ö\x7f\xc2\x9b\xe2\x80\xae\"\n}"),
            "{\n  \"a\": \"ö\\u007f\\u009b\\u202e\"\n}");
}

TEST(TerminalText, KeepsLinesAndTabs) {
  TerminalText text;
  EXPECT_EQ(text.add("one\r\n\ttwo\rö\x1b[0m\n"), "one\r\n\ttwo\\x0dö\\x1b[0m\n");
  EXPECT_EQ(text.end(), "");
}

TEST(TerminalText, JoinsWhatWasCut) {
  TerminalText text;
  EXPECT_EQ(text.add("a\xe2\x82"), "a");
  EXPECT_EQ(text.add("\xac\r"), "\xe2\x82\xac");
  EXPECT_EQ(text.add("\n\xc2"), "\r\n");
  EXPECT_EQ(text.add("\x9b"), "\\xc2\\x9b");
  EXPECT_EQ(text.add("\xf0\x9f"), "");
  EXPECT_EQ(text.end(), "\\xf0\\x9f");
}

TEST(Utf8, TellsTextFromBytes) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("\x1b[0m \xf0\x9f\x98\x80"));
  EXPECT_FALSE(is_utf8("\xf5\x80\x80\x80"));
  EXPECT_FALSE(is_utf8("\xf0\x80\x80\x80"));
  EXPECT_FALSE(is_utf8("\x80"));
}

TEST(Base64, PadsAsRfc4648) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("\xff\xfe\xfd\xfc"), "//79/A==");
}

TEST(RelativeTime, UsesTheLargestUnit) {
  EXPECT_EQ(relative_time(0, 0), "less than a second ago");
  EXPECT_EQ(relative_time(kSecond, 0), "1 second ago");
  EXPECT_EQ(relative_time(59 * kSecond, 0), "59 seconds ago");
  EXPECT_EQ(relative_time(60 * kSecond, 0), "1 minute ago");
  EXPECT_EQ(relative_time(3 * 60 * kSecond + 1, 0), "3 minutes ago");
  EXPECT_EQ(relative_time(7200 * kSecond, 0), "2 hours ago");
  EXPECT_EQ(relative_time(86400 * kSecond, 0), "1 day ago");
  EXPECT_EQ(relative_time(800 * 86400 * kSecond, 0), "2 years ago");
}

TEST(RelativeTime, TakesTheFutureForNow) {
  EXPECT_EQ(relative_time(0, 5 * kSecond), "less than a second ago");
}

TEST(Human, SizesAndDurations) {
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(1023), "1023 B");
  EXPECT_EQ(human_size(1536), "1.5 KiB");
  EXPECT_EQ(human_size(64u << 20), "64.0 MiB");
  EXPECT_EQ(human_duration(310'000'000), "310ms");
  EXPECT_EQ(human_duration(1'250'000'000), "1.25s");
}

TEST(Shorten, CountsCharactersNotBytes) {
  EXPECT_EQ(shorten("sleep", 5), "sleep");
  EXPECT_EQ(shorten("sleeper", 5), "slee…");
  EXPECT_EQ(shorten("äöüäöü", 4), "äöü…");
}

TEST(Table, AlignsColumnsAndEscapesCells) {
  Table table({"ID", "NAME"});
  table.add({"1234", "a\nb"});
  table.add({"ä", ""});
  EXPECT_EQ(table.text(), "ID     NAME\n1234   a\\x0ab\nä      \n");
}

}  // namespace
}  // namespace caisson::cli
