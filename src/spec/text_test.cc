#include "spec/text.h"

#include <gtest/gtest.h>

#include "caisson/spec.h"
#include "spec/path.h"
#include "spec/signal.h"

namespace caisson::spec {
namespace {

TEST(Quote, KeepsAMessageOnOnePrintableLine) {
  EXPECT_EQ(quote("plain"), "'plain'");
  EXPECT_EQ(quote("a\nb\x1b[0m"), "'a\\x0ab\\x1b[0m'");
  EXPECT_EQ(quote("gr\xc3\xbc\xc3\x9f"), "'gr\xc3\xbc\xc3\x9f'");
  EXPECT_EQ(quote("\xc2\x9b"), "'\\xc2\\x9b'");  // CSI as one character
  EXPECT_EQ(quote("\xff\xc3"), "'\\xff\\xc3'");
  EXPECT_EQ(quote(std::string("a\0b", 3)), "'a\\x00b'");
  EXPECT_LT(quote(std::string(100'000, '\xe4')).size(), 300u);
}

TEST(Utf8, IsStrict) {
  for (const char* good : {"", "abc", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x90\x8b",
                           "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(is_utf8(good)) << quote(good);
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xc3(", "\xff"})
    EXPECT_FALSE(is_utf8(bad)) << quote(bad);
}

TEST(Base64, KnownVectorsOfRfc4648) {
  const std::pair<std::string_view, std::string_view> vectors[] = {{"", ""},
                                                                   {"f", "Zg=="},
                                                                   {"fo", "Zm8="},
                                                                   {"foo", "Zm9v"},
                                                                   {"foob", "Zm9vYg=="},
                                                                   {"fooba", "Zm9vYmE="},
                                                                   {"foobar", "Zm9vYmFy"},
                                                                   {"\xff\xfe\xfd", "//79"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(base64_encode(bytes), text);
    EXPECT_EQ(base64_decode(text), bytes);
  }
}

TEST(Base64, RefusesOtherSpellings) {
  for (const char* bad :
       {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zm9v ", "Z===", "====", "Zg==Zg==", "Zm_v", "=Zg="})
    EXPECT_FALSE(base64_decode(bad)) << bad;
}

TEST(DidYouMean, FindsTheNearestWithinAThird) {
  const std::vector<std::string> words = {"memory", "pids", "cpus", "cpu-time"};
  EXPECT_EQ(did_you_mean("memroy", words), "memory");  // a transposition is one edit
  EXPECT_EQ(did_you_mean("mmory", words), "memory");
  EXPECT_EQ(did_you_mean("cpu", words), "cpus");
  EXPECT_EQ(did_you_mean("pids", words), "pids");
  EXPECT_EQ(did_you_mean("cpu_time", words), "cpu-time");
  EXPECT_EQ(did_you_mean("disk", words), "");
  EXPECT_EQ(did_you_mean("", words), "");
  EXPECT_EQ(did_you_mean("me", words), "");
  EXPECT_EQ(did_you_mean(std::string(100'000, 'm'), words), "");
  EXPECT_EQ(did_you_mean("memory", {}), "");
}

TEST(Path, IsOnlyText) {
  EXPECT_TRUE(is_canonical("/"));
  EXPECT_TRUE(is_canonical("/a/..b/c."));
  for (const char* bad : {"", "a", "//", "/a/", "/a//b", "/./a", "/a/.", "/..", "/a/../b"})
    EXPECT_FALSE(is_canonical(bad)) << bad;
  EXPECT_EQ(tidy_path("//a/./b/"), "/a/b");
  EXPECT_EQ(tidy_path("/a/../b"), "/a/../b");
  EXPECT_EQ(tidy_path("./"), ".");
  EXPECT_EQ(tidy_path("///"), "/");
  EXPECT_EQ(resolve_textually("/home/me", "../you/./x"), "/home/you/x");
  EXPECT_EQ(resolve_textually("/", "../.."), "/");
  EXPECT_TRUE(is_within("/dev/shm", "/dev"));
  EXPECT_TRUE(is_within("/dev", "/dev"));
  EXPECT_FALSE(is_within("/devices", "/dev"));
}

TEST(Signal, EveryNumberHasANameThatReadsBack) {
  for (int number = 1; number <= 64; ++number) {
    const Result<int> parsed = parse_signal(signal_name(number));
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(*parsed, number);
  }
  EXPECT_EQ(signal_name(15), "SIGTERM");
  EXPECT_EQ(signal_name(37), "SIGRTMIN+3");
  EXPECT_EQ(signal_name(0), "0");
  EXPECT_EQ(signal_name(-7), "-7");
  EXPECT_EQ(signal_name(65), "65");
}

TEST(Signal, AcceptsTheUsualSpellings) {
  const std::pair<const char*, int> cases[] = {
      {"TERM", 15},       {"SIGTERM", 15}, {"15", 15},      {"sigkill", 9}, {"hup", 1},
      {"64", 64},         {"IOT", 6},      {"CLD", 17},     {"POLL", 29},   {"RTMIN", 34},
      {"SIGRTMIN+1", 35}, {"RTMAX", 64},   {"RTMAX-30", 34}};
  for (const auto& [text, number] : cases) EXPECT_EQ(parse_signal(text).value(), number) << text;
}

TEST(Signal, RefusesTheRest) {
  for (const char* bad :
       {"", "SIG", "0", "65", "-1", "+15", "15 ", " TERM", "TERMS", "SIGSIGTERM", "RTMIN+31",
        "RTMIN-1", "RTMAX+1", "RTMIN+", "0x0f", "1e1", "99999999999999999999"}) {
    const Result<int> result = parse_signal(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().reason, "signal_invalid");
    EXPECT_EQ(result.error().code, Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace caisson::spec
