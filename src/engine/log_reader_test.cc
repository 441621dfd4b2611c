#include "engine/log_reader.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/unit_test_support.h"

namespace caisson::engine {
namespace {

std::string record(char stream, std::string_view data) {
  std::string bytes(16, '\0');
  bytes[0] = stream;
  for (unsigned i = 0; i < 4; ++i) bytes[4 + i] = static_cast<char>(data.size() >> (8 * i));
  return bytes.append(data);
}

std::string text_of(const std::vector<Output>& records) {
  std::string text;
  for (const Output& output : records)
    text += (output.stream == Stream::kStderr ? "E:" : "O:") + output.data + ";";
  return text;
}

TEST(LogReader, RecordsInOrder) {
  EXPECT_EQ(text_of(parse_log("")), "");
  EXPECT_EQ(text_of(parse_log(record(1, "a") + record(2, "b") + record(1, "") + record(1, "c"))),
            "O:a;E:b;O:;O:c;");
  EXPECT_EQ(parse_log(record(1, std::string(100'000, '\0')))[0].data.size(), 100'000u);
}

TEST(LogReader, AnIncompleteLastRecordIsIgnored) {
  const std::string first = record(1, "kept"), second = record(2, "cut short");
  for (std::size_t length = 0; length < second.size(); ++length)
    EXPECT_EQ(text_of(parse_log(first + second.substr(0, length))), "O:kept;") << length;
  EXPECT_EQ(text_of(parse_log(first + second)), "O:kept;E:cut short;");
}

TEST(LogReader, ALengthThatLies) {
  std::string bytes = record(1, "data");
  for (std::size_t i = 4; i < 8; ++i) bytes[i] = '\xff';
  EXPECT_EQ(text_of(parse_log(bytes)), "");
  EXPECT_EQ(text_of(parse_log(std::string(15, '\xff'))), "");
}

TEST(LogReader, ReadsTheFileOfABox) {
  const TestDirectory box;
  EXPECT_TRUE(read_log(box.path()).value().empty()) << "a box that said nothing";
  std::filesystem::create_directories(box / "logs");
  std::ofstream(box / "logs/output.log") << record(1, "hello");
  EXPECT_EQ(text_of(read_log(box.path()).value()), "O:hello;");
}

}  // namespace
}  // namespace caisson::engine
