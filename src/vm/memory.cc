#include "vm/memory.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <vector>

#include "base/scope_exit.h"
#include "vm/disk.h"

namespace caisson::vm {
namespace {

constexpr std::uint64_t kPage = 4096;
/// pagemap: in memory, in swap, and not of a file.
constexpr std::uint64_t kPresent = 1ull << 63, kSwapped = 1ull << 62, kOfFile = 1ull << 61;

Error write_error(const char* name) {
  Error error = sys_error("copy", name);
  if (error.sys_errno == ENOSPC || error.sys_errno == EDQUOT) {
    error.code = Code::kResourceExhausted;
    error.reason = "disk_full";
  }
  return error;
}

Result<> copy_range(int from, int to, off_t at, off_t end, const char* name) {
  off_t in = at, out = at;
  while (in < end) {
    const ssize_t n = ::copy_file_range(from, &in, to, &out, static_cast<std::size_t>(end - in), 0);
    if (n > 0) continue;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EXDEV && errno != EOPNOTSUPP && errno != EINVAL) return write_error(name);
    char buffer[64u << 10];  // from one kind of file system to another
    const ssize_t size = ::pread(
        from, buffer, std::min<std::size_t>(sizeof buffer, static_cast<std::size_t>(end - in)), in);
    if (size == 0) return {};  // it is shorter than it was said to be
    if (size < 0) return sys_error("read", name);
    if (::pwrite(to, buffer, static_cast<std::size_t>(size), out) != size) return write_error(name);
    in += size;
    out += size;
  }
  return {};
}

struct Mapping {
  std::uint64_t begin = 0, end = 0, offset = 0;
};

struct Line {
  Mapping mapping;
  std::string file;  ///< device and inode, which need not be those of stat(2)
};

/// Of /proc/PID/maps, proc(5).
Result<std::vector<Line>> lines_of(const std::string& process) {
  const std::string text = TRY(read_file(format("/proc/{}/maps", process)));
  std::vector<Line> found;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    Mapping mapping;
    char device[16] = {};
    unsigned long inode = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %*s %lx %15s %lu", &mapping.begin, &mapping.end,
                    &mapping.offset, device, &inode) == 5)
      found.push_back({mapping, format("{} {}", device, inode)});
  }
  return found;
}

/// Where the process has mapped the file: as the kernel names it where we map it ourselves.
Result<std::vector<Mapping>> mappings_of(pid_t process, int file) {
  void* ours = ::mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, file, 0);
  if (ours == MAP_FAILED) return sys_error("map", kMemory);
  const ScopeExit unmap([&] { ::munmap(ours, kPage); });
  std::string name;
  for (const Line& line : TRY(lines_of("self")))
    if (line.mapping.begin == reinterpret_cast<std::uintptr_t>(ours)) name = line.file;
  std::vector<Mapping> found;
  for (const Line& line : TRY(lines_of(std::to_string(process))))
    if (line.file == name) found.push_back(line.mapping);
  return found;
}

/// Of one mapping: what the process has for itself alone.
Result<> copy_own_pages(int memory, int pagemap, const Mapping& mapping, int to) {
  constexpr std::size_t kEntries = 4096;
  std::vector<std::uint64_t> entries(kEntries);
  std::vector<char> buffer(1u << 20);
  for (std::uint64_t at = mapping.begin; at < mapping.end;) {
    const std::uint64_t pages = std::min<std::uint64_t>(kEntries, (mapping.end - at) / kPage);
    if (::pread(pagemap, entries.data(), pages * 8, static_cast<off_t>(at / kPage * 8)) !=
        static_cast<ssize_t>(pages * 8))
      return sys_error("read", "pagemap");
    const auto own = [&](std::uint64_t i) {
      return (entries[i] & (kPresent | kSwapped)) != 0 && (entries[i] & kOfFile) == 0;
    };
    for (std::uint64_t i = 0; i < pages;) {
      std::uint64_t count = 0;
      while (i + count < pages && own(i + count) && count * kPage < buffer.size()) ++count;
      if (count == 0) {
        ++i;
        continue;
      }
      const std::uint64_t from = at + i * kPage, size = count * kPage;
      if (::pread(memory, buffer.data(), size, static_cast<off_t>(from)) !=
          static_cast<ssize_t>(size))
        return sys_error("read", kMemory);
      const std::uint64_t place = mapping.offset + (from - mapping.begin);
      if (::pwrite(to, buffer.data(), size, static_cast<off_t>(place)) !=
          static_cast<ssize_t>(size))
        return write_error(kMemory);
      i += count;
    }
    at += pages * kPage;
  }
  return {};
}

}  // namespace

Result<> copy_file(int from, int to, std::uint64_t bytes, const char* name) {
  if (::ioctl(to, FICLONE, from) == 0) return {};
  if (::ftruncate(to, static_cast<off_t>(bytes)) < 0) return write_error(name);
  for (off_t at = 0; at < static_cast<off_t>(bytes);) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};
    if (data < 0) return sys_error("read", name);
    const off_t hole = std::min(::lseek(from, data, SEEK_HOLE), static_cast<off_t>(bytes));
    TRY(copy_range(from, to, data, hole, name));
    at = hole;
  }
  return {};
}

Result<> save_memory(pid_t qemu, int from, std::uint64_t bytes, int to) {
  TRY(copy_file(from, to, bytes, kMemory));
  const std::vector<Mapping> mappings = TRY(mappings_of(qemu, from));
  if (mappings.empty())
    return make_error(Code::kInternal, "qemu_failed", "save memory: QEMU does not have it");
  const Fd memory = TRY(open_fd(format("/proc/{}/mem", qemu), O_RDONLY));
  const Fd pagemap = TRY(open_fd(format("/proc/{}/pagemap", qemu), O_RDONLY));
  for (const Mapping& mapping : mappings)
    TRY(copy_own_pages(memory.get(), pagemap.get(), mapping, to));
  return {};
}

}  // namespace caisson::vm
