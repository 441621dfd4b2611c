#include "fetch/unpack.h"

#include <sys/xattr.h>

#include <thread>

#include "fetch/unpack_test_support.h"

namespace caisson::fetch {

namespace {

#define ASSERT_OK(expr)                                                                \
  do {                                                                                 \
    const auto& result_ = (expr);                                                      \
    ASSERT_TRUE(result_) << result_.error().reason << ": " << result_.error().message; \
  } while (false)

using Unpack = LayerTest;

TEST_F(Unpack, FilesDirectoriesAndLinks) {
  Tar tar;
  tar.dir("./", 0750).dir("./a/", 02711).file("a/f", "hello", 04755);
  tar.add({.name = "/a/g",
           .content = {},
           .link = {},
           .mode = 0600,
           .mtime = "77",
           .pax = {{"mtime", "12.5"}}});
  tar.symlink("a/s", "/etc/passwd").link("h", "./a/f").link("hs", "a/s");
  const Result<image::LayerReady> ready = unpack(tar);
  ASSERT_OK(ready);
  EXPECT_GE(ready->disk_bytes, 3 * 4096u);
  EXPECT_EQ(content("a/f"), "hello");
  EXPECT_EQ(stat_of("").st_mode & 07777, 0750u);
  EXPECT_EQ(stat_of("a").st_mode & 07777, 02711u);
  EXPECT_EQ(stat_of("a").st_mtim.tv_sec, 1000);
  EXPECT_EQ(stat_of("a/f").st_mode & 07777, 04755u);
  EXPECT_EQ(stat_of("a/f").st_ino, stat_of("h").st_ino);
  EXPECT_EQ(stat_of("a/g").st_mtim.tv_sec, 12);
  EXPECT_EQ(stat_of("a/g").st_mtim.tv_nsec, 500'000'000);
  EXPECT_TRUE(S_ISLNK(stat_of("a/s").st_mode));
  EXPECT_EQ(stat_of("a/s").st_ino, stat_of("hs").st_ino);
  EXPECT_FALSE(waited_);
}

TEST_F(Unpack, NamesAreBytes) {
  const std::string nfd = "nfd-e\xcc\x81", latin1 = "latin1-\xe9";
  Tar tar;
  tar.add({.name = "x", .content = "1", .link = {}, .pax = {{"path", nfd}}});
  tar.add({.name = "y", .content = "2", .link = {}, .pax = {{"path", latin1}}});
  tar.file(latin1 + "2", "3").file(std::string(120, 'l') + "/" + std::string(200, 'm'), "4");
  ASSERT_OK(unpack(tar));
  EXPECT_EQ(content(nfd), "1");
  EXPECT_EQ(content(latin1), "2");
  EXPECT_EQ(content(latin1 + "2"), "3");
  EXPECT_EQ(content(std::string(120, 'l') + "/" + std::string(200, 'm')), "4");
}

TEST_F(Unpack, OwnersAndExtendedAttributes) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const std::string caps("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  Tar tar;
  tar.add({.name = "f",
           .content = "x",
           .link = {},
           .mode = 06755,
           .uid = "1000",
           .gid = "33",
           .pax = {{"SCHILY.xattr.user.note", "n"},
                   {"SCHILY.xattr.user.overlay.opaque", "y"},
                   {"SCHILY.xattr.user.containers.override_stat", "0:0:0777"},
                   {"SCHILY.xattr.trusted.overlay.opaque", "y"},
                   {"SCHILY.xattr.security.capability", caps}}});
  tar.add({.name = "d",
           .type = '5',
           .content = {},
           .link = {},
           .mode = 01777,
           .uid = "5",
           .gid = "6",
           .pax = {{"SCHILY.xattr.user.note", "d"}, {"SCHILY.xattr.user.overlay.opaque", "y"}}});
  tar.add(
      {.name = "s", .type = '2', .content = {}, .link = "f", .uid = "7", .gid = "8", .pax = {}});
  tar.add({.name = "big", .content = {}, .link = {}, .pax = {{"uid", "4000000000"}}});
  ASSERT_OK(unpack(tar));
  const struct stat st = stat_of("f");
  EXPECT_EQ(st.st_uid, 1000u);
  EXPECT_EQ(st.st_gid, 33u);
  EXPECT_EQ(st.st_mode & 07777, 06755u);
  EXPECT_EQ(xattr("f", "user.note"), "n");
  EXPECT_EQ(xattr("f", "security.capability"), caps);
  for (const char* name : {"user.overlay.opaque", "trusted.overlay.opaque", kOverrideXattr})
    EXPECT_EQ(xattr("f", name), "(none)");
  EXPECT_EQ(stat_of("d").st_mode & 07777, 01777u);
  EXPECT_EQ(stat_of("d").st_gid, 6u);
  EXPECT_EQ(xattr("d", "user.note"), "d");
  EXPECT_EQ(xattr("d", "user.overlay.opaque"), "(none)");
  EXPECT_EQ(stat_of("s").st_uid, 7u);
  EXPECT_EQ(stat_of("big").st_uid, 4000000000u);
}

TEST_F(Unpack, OwnersAndDevicesAreRecordedWhereTheyCannotBeSet) {
  Tar tar;
  tar.add({.name = "f",
           .content = "x",
           .link = {},
           .mode = 0644,
           .uid = "1000",
           .gid = "33",
           .pax = {}});
  tar.add({.name = "null",
           .type = '3',
           .content = {},
           .link = {},
           .mode = 0666,
           .major = 1,
           .minor = 3,
           .pax = {}});
  UnpackJob unprivileged = job(tar.bytes(), tar.bytes());
  unprivileged.nobody = false;
  unprivileged.one_id = true;
  ASSERT_OK(unpack(std::move(unprivileged)));
  EXPECT_EQ(xattr("f", kOverrideXattr), "1000:33:0644");
  EXPECT_EQ(xattr("null", kOverrideXattr), "0:0:0666:char-1-3");
  EXPECT_TRUE(S_ISREG(stat_of("null").st_mode));
}

TEST_F(Unpack, DevicesAndFifos) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  Tar tar;
  tar.add({.name = "null",
           .type = '3',
           .content = {},
           .link = {},
           .mode = 0666,
           .major = 1,
           .minor = 3,
           .pax = {}});
  tar.add({.name = "loop",
           .type = '4',
           .content = {},
           .link = {},
           .mode = 0660,
           .gid = "6",
           .major = 7,
           .minor = 300,
           .pax = {}});
  tar.add({.name = "fifo", .type = '6', .content = {}, .link = {}, .mode = 0620, .pax = {}});
  tar.add({.name = "zero", .type = '3', .content = {}, .link = {}, .mode = 0666, .pax = {}});
  ASSERT_OK(unpack(tar));
  EXPECT_TRUE(S_ISCHR(stat_of("null").st_mode));
  EXPECT_EQ(stat_of("null").st_mode & 07777, 0666u);
  EXPECT_EQ(stat_of("loop").st_gid, 6u);
  EXPECT_TRUE(S_ISBLK(stat_of("loop").st_mode));
  EXPECT_TRUE(S_ISFIFO(stat_of("fifo").st_mode));
  EXPECT_TRUE(is_whiteout("zero"));
}

TEST_F(Unpack, WhiteoutsWhateverTheOrder) {
  ASSERT_OK(unpack(Tar().file("gone", "0").file("d/old", "0").file("e/old", "0")));
  Tar tar;
  tar.file(".wh.gone", "")
      .file(".wh.kept", "")
      .file("kept", "1")
      .file("kept2", "1")
      .file(".wh.kept2", "");
  tar.dir("d").file(".wh.d", "").file("d/new", "1");
  tar.file(".wh.e", "").file("e/new", "1");
  tar.file("o/first", "1").file("o/.wh..wh..opq", "").file("o/second", "1");
  tar.file(".wh..wh.aufs", "").file(".wh..wh.plnk/x", "");
  ASSERT_OK(unpack(tar));
  EXPECT_TRUE(is_whiteout("gone"));
  EXPECT_EQ(content("kept"), "1");
  EXPECT_EQ(content("kept2"), "1");
  for (const char* name : {"d", "e", "o"}) EXPECT_EQ(xattr(name, kOpaqueXattr), "y") << name;
  EXPECT_EQ(content("d/new"), "1");
  EXPECT_EQ(content("o/first"), "1");
  EXPECT_EQ(content("o/second"), "1");
  EXPECT_FALSE(exists(".wh..wh.aufs"));
  EXPECT_FALSE(exists(".wh..wh.plnk"));
}

TEST_F(Unpack, AnOpaqueRootHidesEveryNameBelow) {
  ASSERT_OK(unpack(Tar().file("a", "0").file("d/x", "0").file("e/x", "0")));
  ASSERT_OK(unpack(Tar().file("b", "0").file(".wh.e", "")));
  ASSERT_OK(unpack(Tar().file(".wh..wh..opq", "").file("d/y", "1").file("n", "1")));
  EXPECT_TRUE(is_whiteout("a"));
  EXPECT_TRUE(is_whiteout("b"));
  EXPECT_FALSE(exists("e"));
  EXPECT_EQ(xattr("d", kOpaqueXattr), "y");
  EXPECT_EQ(content("n"), "1");
}

TEST_F(Unpack, ImplicitDirectoriesAreAsBelow) {
  Tar lower;
  lower.dir("./", 0711).dir("usr", 0750).dir("usr/share", 02770).file("opt", "file");
  lower.dir("x", 0700).dir("x/y", 0700);
  ASSERT_OK(unpack(lower));
  ASSERT_OK(unpack(Tar().file("other", "")));
  EXPECT_TRUE(waited_);
  EXPECT_EQ(stat_of("").st_mode & 07777, 0711u);
  ASSERT_OK(unpack(Tar()
                       .file("usr/share/doc/f", "")
                       .file("opt/f", "")
                       .file("x/.wh..wh..opq", "")
                       .file("x/y/f", "")));
  EXPECT_EQ(stat_of("").st_mode & 07777, 0711u);
  EXPECT_EQ(stat_of("").st_mtim.tv_sec, 1000);
  EXPECT_EQ(stat_of("usr").st_mode & 07777, 0750u);
  EXPECT_EQ(stat_of("usr/share").st_mode & 07777, 02770u);
  EXPECT_EQ(stat_of("usr/share").st_mtim.tv_sec, 1000);
  EXPECT_EQ(stat_of("usr/share/doc").st_mode & 07777, 0755u);
  EXPECT_EQ(stat_of("usr/share/doc").st_mtim.tv_sec, 0);
  EXPECT_EQ(stat_of("opt").st_mode & 07777, 0755u);
  EXPECT_EQ(stat_of("x").st_mode & 07777, 0700u);
  EXPECT_EQ(stat_of("x/y").st_mode & 07777, 0755u);
}

TEST_F(Unpack, HardLinksToLowerLayersAreCopies) {
  Tar lower;
  lower.add({.name = "bin/tool",
             .content = "tool",
             .link = {},
             .mode = 04711,
             .pax = {{"SCHILY.xattr.user.a", "b"}}});
  lower.symlink("bin/s", "tool").file("removed", "r");
  ASSERT_OK(unpack(lower));
  ASSERT_OK(unpack(Tar().file("between", "").file(".wh.removed", "")));
  Tar tar;
  tar.link("copy1", "bin/tool")
      .link("copy2", "bin/tool")
      .link("s2", "bin/s")
      .link("late", "later")
      .file("later", "L");
  ASSERT_OK(unpack(tar));
  EXPECT_EQ(content("copy1"), "tool");
  EXPECT_EQ(stat_of("copy1").st_mode & 07777, 04711u);
  EXPECT_EQ(stat_of("copy1").st_mtim.tv_sec, 1000);
  EXPECT_EQ(xattr("copy1", "user.a"), "b");
  EXPECT_EQ(stat_of("copy1").st_ino, stat_of("copy2").st_ino);
  EXPECT_TRUE(S_ISLNK(stat_of("s2").st_mode));
  EXPECT_EQ(stat_of("late").st_ino, stat_of("later").st_ino);
  EXPECT_EQ(unpack(Tar().link("l", "removed")).error().reason, "layer_invalid");
}

TEST_F(Unpack, TheLastMemberWins) {
  Tar tar;
  tar.dir("a", 0700).file("a/f", "1").file("a", "file").file("b", "1").file("b", "22");
  tar.symlink("c", "/tmp")
      .file("c/f", "in")
      .dir("d", 0700)
      .dir("d", 0711)
      .symlink("e", "d")
      .dir("e", 0750);
  ASSERT_OK(unpack(tar));
  EXPECT_EQ(content("a"), "file");
  EXPECT_EQ(content("b"), "22");
  EXPECT_TRUE(S_ISDIR(stat_of("c").st_mode));
  EXPECT_EQ(content("c/f"), "in");
  EXPECT_EQ(stat_of("d").st_mode & 07777, 0711u);
  EXPECT_TRUE(S_ISDIR(stat_of("e").st_mode));
}

TEST_F(Unpack, SparseFilesKeepTheirHoles) {
  Tar tar;
  const std::string data(4096, 'x');
  tar.add({.name = "GNUSparseFile.0/s",
           .content = data,
           .link = {},
           .pax = {{"GNU.sparse.major", "0"},
                   {"GNU.sparse.minor", "1"},
                   {"GNU.sparse.name", "s"},
                   {"GNU.sparse.size", "104857600"},
                   {"GNU.sparse.numblocks", "1"},
                   {"GNU.sparse.map", "52428800,4096"}}});
  ASSERT_OK(unpack(tar));
  EXPECT_EQ(stat_of("s").st_size, 104857600);
  EXPECT_LE(stat_of("s").st_blocks, 64);
  Fd fd = std::move(*open_fd(top() + "/s", O_RDONLY));
  char c = 0;
  EXPECT_EQ(::pread(fd.get(), &c, 1, 52428800), 1);
  EXPECT_EQ(c, 'x');
}

TEST_F(Unpack, EmptyLayersAndTrailingBytes) {
  ASSERT_OK(unpack(Tar()));
  ASSERT_OK(unpack(job("", "")));
  const std::string padded = Tar().file("f", "x").bytes() + std::string(20480, '\0') + "tail";
  ASSERT_OK(unpack(job(padded, padded)));
  EXPECT_EQ(content("f"), "x");
}

TEST_F(Unpack, ManyDirectoriesGoThroughTheLedgersFile) {
  Tar tar;
  for (int i = 0; i < 6000; ++i) {
    const std::string name = "directory-with-a-rather-long-name/" + std::to_string(i);
    tar.dir(name, i % 2 ? 0700 : 0755);
  }
  ASSERT_OK(unpack(tar));
  EXPECT_EQ(stat_of("directory-with-a-rather-long-name/0").st_mtim.tv_sec, 1000);
  EXPECT_EQ(stat_of("directory-with-a-rather-long-name/5999").st_mtim.tv_sec, 1000);
}

TEST_F(Unpack, ABlobThatGrows) {
  std::string tar = Tar().file("f", std::string(3'000'000, 'z')).bytes();
  UnpackJob growing = job(tar, tar);
  Pipe pipe = std::move(*make_pipe());
  growing.feed = std::move(pipe.read);
  ASSERT_EQ(::truncate((dir_ / "blob").c_str(), 0), 0);
  std::thread writer([&] {
    Fd out = std::move(*open_fd(dir_ / "blob", O_WRONLY));
    for (std::uint64_t at = 0; at < tar.size();) {
      const std::size_t n = std::min<std::size_t>(700'000, tar.size() - at);
      ASSERT_EQ(::pwrite(out.get(), tar.data() + at, n, static_cast<off_t>(at)),
                static_cast<ssize_t>(n));
      at += n;
      ASSERT_EQ(::write(pipe.write.get(), &at, sizeof at), 8);
    }
    pipe.write.reset();
  });
  const Result<image::LayerReady> ready = unpack(std::move(growing));
  writer.join();
  ASSERT_OK(ready);
  EXPECT_EQ(stat_of("f").st_size, 3'000'000);
}

TEST_F(Unpack, ADownloadThatIsGivenUp) {
  const std::string tar = Tar().file("f", "x").bytes();
  UnpackJob cut = job(tar, tar);
  Pipe pipe = std::move(*make_pipe());
  cut.feed = std::move(pipe.read);
  pipe.write.reset();
  EXPECT_EQ(unpack(std::move(cut)).error().reason, "download_incomplete");
}

TEST_F(Unpack, ComparesWithWhatIsThere) {
  Tar tar;
  tar.dir("d", 0755).file("d/f", "content").symlink("d/s", "f").file(".wh.w", "");
  ASSERT_OK(unpack(tar));
  const auto verify = [&] {
    --count_;  // the same chain id once more
    UnpackJob again = job(tar.bytes(), tar.bytes());
    again.compare = true;
    const Result<image::LayerReady> ready = unpack(std::move(again));
    std::filesystem::remove_all(dir_ / "staging/" + hex(count_));
    ++count_;
    return ready ? ready->problem : ready.error().message;
  };
  EXPECT_EQ(verify(), "");
  const std::string f = top() + "/d/f";
  const auto restore = [&] {
    const timespec times[2] = {{1000, 0}, {1000, 0}};
    ::utimensat(AT_FDCWD, f.c_str(), times, 0);
  };
  ASSERT_EQ(::chmod(f.c_str(), 0600), 0);
  EXPECT_EQ(verify(), "'d/f' has mode 600 instead of 644");
  ASSERT_EQ(::chmod(f.c_str(), 0644), 0);
  ASSERT_TRUE(write_all(open_fd(f, O_WRONLY)->get(), "Content", f));
  EXPECT_EQ(verify(), "'d/f' has another modification time");
  restore();
  EXPECT_EQ(verify(), "'d/f' has other content");
  ASSERT_EQ(::unlink(f.c_str()), 0);
  const timespec times[2] = {{1000, 0}, {1000, 0}};
  ::utimensat(AT_FDCWD, (top() + "/d").c_str(), times, 0);
  EXPECT_EQ(verify(), "'d/f' is missing");
}

}  // namespace
}  // namespace caisson::fetch
