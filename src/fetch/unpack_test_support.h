// For tests only: tars made byte by byte, and a layer unpacked in this process.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/unit_test_support.h"
#include "fetch/attributes.h"
#include "fetch/sha256.h"
#include "fetch/unpack.h"
#include "spec/image_ref.h"

namespace caisson::fetch {

inline std::string digest_of(std::string_view bytes) {
  Sha256 hash = std::move(*Sha256::create());
  hash.update(bytes.data(), bytes.size());
  return *hash.finish();
}

/// A ustar archive, with pax records where asked for.
class Tar final {
 public:
  struct Entry {
    std::string name;
    char type = '0';
    std::string content, link;
    unsigned mode = 0644;
    std::string uid = "0", gid = "0", mtime = "1000";  ///< decimal
    unsigned major = 0, minor = 0;
    std::vector<std::pair<std::string, std::string>> pax;
  };
  Tar& add(const Entry& entry) {
    std::string records;
    for (const auto& [key, value] : entry.pax) records += record(key, value);
    if (entry.name.size() > 99) records += record("path", entry.name);
    if (entry.link.size() > 99) records += record("linkpath", entry.link);
    if (!records.empty())
      block({.name = "pax", .type = 'x', .content = records, .link = {}, .pax = {}});
    block(entry);
    return *this;
  }
  Tar& dir(const std::string& name, unsigned mode = 0755) {
    return add({.name = name, .type = '5', .content = {}, .link = {}, .mode = mode, .pax = {}});
  }
  Tar& file(const std::string& name, const std::string& content, unsigned mode = 0644) {
    return add(
        {.name = name, .type = '0', .content = content, .link = {}, .mode = mode, .pax = {}});
  }
  Tar& symlink(const std::string& name, const std::string& target) {
    return add({.name = name, .type = '2', .content = {}, .link = target, .mode = 0777, .pax = {}});
  }
  Tar& link(const std::string& name, const std::string& target) {
    return add({.name = name, .type = '1', .content = {}, .link = target, .pax = {}});
  }
  std::string bytes() const { return bytes_ + std::string(1024, '\0'); }

 private:
  static std::string record(const std::string& key, const std::string& value) {
    const std::string body = " " + key + "=" + value + "\n";
    std::size_t size = body.size() + 1;
    while (std::to_string(size).size() + body.size() != size) ++size;
    return std::to_string(size) + body;
  }
  static void number(char* field, std::size_t size, unsigned long value) {
    for (std::size_t i = size - 1; i-- > 0; value >>= 3)
      field[i] = static_cast<char>('0' + (value & 7));
  }
  void block(const Entry& entry) {
    char head[512] = {};
    std::strncpy(head, entry.name.c_str(), 100);
    number(head + 100, 8, entry.mode);
    number(head + 108, 8, std::stoul(entry.uid));
    number(head + 116, 8, std::stoul(entry.gid));
    number(head + 124, 12, entry.content.size());
    number(head + 136, 12, std::stoul(entry.mtime));
    std::memset(head + 148, ' ', 8);
    head[156] = entry.type;
    std::strncpy(head + 157, entry.link.c_str(), 100);
    std::memcpy(head + 257,
                "ustar\0"
                "00",
                8);
    number(head + 329, 8, entry.major);
    number(head + 337, 8, entry.minor);
    unsigned sum = 0;
    for (const char c : head) sum += static_cast<unsigned char>(c);
    std::snprintf(head + 148, 8, "%06o", sum);
    bytes_.append(head, sizeof head);
    bytes_ += entry.content;
    bytes_.append((512 - entry.content.size() % 512) % 512, '\0');
  }
  std::string bytes_;
};

/// A home of layers: each is unpacked over those before it, unsealed, in this process.
class LayerTest : public testing::Test {
 protected:
  LayerTest() {
    ::umask(0);
    for (const char* name : {"staging", "layers"}) ::mkdir((dir_ / name).c_str(), 0755);
  }

  std::string tree(std::size_t n) const { return dir_ / ("layers/" + hex(n)); }
  std::string top() const { return tree(count_ - 1); }

  UnpackJob job(const std::string& blob, const std::string& tar,
                spec::Compression compression = spec::Compression::kNone) {
    UnpackJob job;
    job.digest = digest_of(blob);
    job.diff_id = digest_of(tar);
    job.chain_id = "sha256:" + hex(count_);
    job.size = blob.size();
    job.compression = compression;
    for (std::size_t n = count_; n-- > 0;) job.parents.push_back("sha256:" + hex(n));
    job.nobody = ::geteuid() == 0;
    job.unsafe_unsealed = true;
    EXPECT_TRUE(replace_file(AT_FDCWD, dir_ / "blob", blob, 0644));
    job.blob = std::move(*open_fd(dir_ / "blob", O_RDONLY));
    job.staging = std::move(*open_fd(dir_ / "staging", O_RDONLY | O_DIRECTORY));
    job.layers_dir = std::move(*open_fd(dir_ / "layers", O_RDONLY | O_DIRECTORY));
    ::mkdir((dir_ / "staging/" + hex(count_)).c_str(), 0755);
    job.own = std::move(*open_fd(dir_ / "staging/" + hex(count_), O_RDONLY | O_DIRECTORY));
    return job;
  }

  /// Unpacks, and takes the tree into layers/.
  Result<image::LayerReady> unpack(UnpackJob job) {
    UnpackHooks hooks;
    hooks.wait_for_parents = [this]() -> Result<> {
      waited_ = true;
      return {};
    };
    Result<image::LayerReady> ready = unpack_layer(job, hooks);
    if (ready && !job.compare) {
      EXPECT_EQ(::rename((dir_ / "staging/" + hex(count_)).c_str(), tree(count_).c_str()), 0);
      ++count_;
    }
    return ready;
  }
  Result<image::LayerReady> unpack(const Tar& tar) { return unpack(job(tar.bytes(), tar.bytes())); }

  std::string content(const std::string& name) const {
    Result<std::string> text = read_file(top() + "/" + name);
    return text ? *text : "(" + text.error().message + ")";
  }
  struct stat stat_of(const std::string& name) const {
    struct stat st{};
    if (::lstat((top() + "/" + name).c_str(), &st) < 0) st.st_mode = 0;
    return st;
  }
  bool exists(const std::string& name) const { return stat_of(name).st_mode != 0; }
  bool is_whiteout(const std::string& name) const {
    const struct stat st = stat_of(name);
    return S_ISCHR(st.st_mode) && st.st_rdev == 0;
  }
  std::string xattr(const std::string& name, const char* key) const {
    char value[256];
    const ssize_t n = ::lgetxattr((top() + "/" + name).c_str(), key, value, sizeof value);
    return n < 0 ? "(none)" : std::string(value, static_cast<std::size_t>(n));
  }

  static std::string hex(std::size_t n) {
    std::string digits = std::to_string(n);
    return std::string(64 - digits.size(), '0') + digits;
  }

  TestDirectory dir_;
  std::size_t count_ = 0;
  bool waited_ = false;
};

}  // namespace caisson::fetch
