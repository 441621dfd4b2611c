#include "fetch/child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

namespace caisson::fetch {
namespace {

using testing::HasSubstr;

TEST(Child, says_what_it_says_and_ends) {
  Result<Child> child = Child::start(
      "source", [](Fd socket) { return ::write(socket.get(), "word", 4) == 4 ? 0 : 1; });
  ASSERT_TRUE(child);
  std::vector<Fd> fds;
  EXPECT_EQ(*child->receive(fds), "word");
  EXPECT_EQ(*child->receive(fds), std::nullopt);
  EXPECT_TRUE(child->send("nobody hears this, which its end will tell"));
  EXPECT_TRUE(child->finish());
}

TEST(Child, a_death_names_the_role_and_the_signal) {
  Result<Child> child = Child::start("unpacker", [](Fd) { return ::raise(SIGTERM); });
  ASSERT_TRUE(child);
  const Result<> finished = child->finish();
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().reason, "fetch_died");
  EXPECT_THAT(finished.error().message, HasSubstr("unpacker was ended by signal 15"));
}

TEST(Child, one_that_pretends_to_end_is_killed) {
  Result<Child> child = Child::start("source", [](Fd socket) {
    socket.reset();
    for (;;) ::pause();
    return 0;
  });
  ASSERT_TRUE(child);
  std::vector<Fd> fds;
  EXPECT_EQ(*child->receive(fds), std::nullopt);
  const Result<> finished = child->finish(50);
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().reason, "fetch_died");
}

TEST(Child, one_that_does_not_listen_is_not_waited_for) {
  Result<Child> child = Child::start("source", [](Fd) {
    for (;;) ::pause();
    return 0;
  });
  ASSERT_TRUE(child);
  Result<> sent;
  for (int i = 0; i < 100'000 && sent; ++i) sent = child->send(std::string(512, 'x'));
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().reason, "protocol_error");
}

}  // namespace
}  // namespace caisson::fetch
