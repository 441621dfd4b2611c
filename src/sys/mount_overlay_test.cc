#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>

#include "base/unit_test_support.h"
#include "sys/mount.h"

namespace caisson::sys {
namespace {

constexpr unsigned kMost = 499;  // with the upper directory the kernel's OVL_MAX_STACK

/// Layers with names as long as a digest, each with a directory of its own; as root only.
class OverlayTest : public testing::Test {
 protected:
  using Make = decltype(&make_overlay);

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount";
  }

  /// `problem`: the reason why an overlay of so many is not made, or what is wrong with it.
  void expect(unsigned count, Make make, const std::string& problem) {
    EXPECT_EQ(run_in_child([&] {
                ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
                ASSERT_TRUE(make_private());
                EXPECT_EQ(use(count, make), problem);
              }),
              0)
        << count << " layers";
  }

 private:
  std::string use(unsigned count, Make make) {
    // An overlay cannot be made on every machine's /tmp.
    const Fd top = open_fd(test_.path(), O_PATH | O_DIRECTORY).value();
    const Fd memory = make_mount("tmpfs", {{"mode", "755"}}, {}).value();
    if (!attach(memory.get(), top.get(), test_.path())) return "no tmpfs";
    for (const char* name : {"upper", "work", "place"}) ::mkdir((test_ / name).c_str(), 0755);
    std::vector<std::string> lowers;
    for (unsigned i = 0; i < count; ++i) {
      lowers.push_back(test_ / format("{:064x}", i));
      ::mkdir(lowers.back().c_str(), 0755);
      ::mkdir(format("{}/d{}", lowers.back(), i).c_str(), 0755);
    }
    const Fd place = open_fd(test_ / "place", O_PATH | O_DIRECTORY).value();
    const Result<Fd> root =
        make(lowers, {{"upperdir", test_ / "upper"}, {"workdir", test_ / "work"}}, {}, place.get());
    if (!root) return root.error().reason;
    for (unsigned i = 0; i < count; ++i)
      if (::faccessat(root->get(), format("d{}", i).c_str(), F_OK, 0) != 0)
        return format("layer {} does not show", i);
    if (std::filesystem::exists(test_ / "place/d0")) return "something is left on the place";
    const bool written = ::mkdirat(root->get(), "made", 0755) == 0;
    return written && std::filesystem::exists(test_ / "upper/made") ? "" : "cannot be written to";
  }

  TestDirectory test_;
};

TEST_F(OverlayTest, ShowsEveryLayer) {
  for (const unsigned count : {1u, 142u, kMost}) expect(count, make_overlay, "");
}

TEST_F(OverlayTest, OlderKernelsTakeWhatFitsIntoOnePage) {
  for (const unsigned count : {1u, 142u, 200u}) expect(count, make_overlay_by_page, "");
}

TEST_F(OverlayTest, MoreThanAPageHoldsAreAnError) {
  expect(kMost, make_overlay_by_page, "too_many_layers");
}

}  // namespace
}  // namespace caisson::sys
