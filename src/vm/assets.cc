#include "vm/assets.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "backend/qemu.h"
#include "spec/json.h"

namespace caisson::vm {
namespace {

using nlohmann::json;

constexpr const char* kHowToMake =
    "make it with ./dev guest, or set CAISSON_GUEST to the directory that has it";

Error missing(const std::string& path, int err) {
  Error error = errno_error(err, "open guest", path);
  error.code = Code::kFailedPrecondition;
  error.reason = "guest_missing";
  error.hint = kHowToMake;
  return error;
}

Error invalid(const std::string& path, std::string_view cause) {
  return make_error(Code::kFailedPrecondition, "guest_invalid",
                    format("read guest '{}': {}", path, cause), kHowToMake);
}

/// The size tells a file that was cut off or exchanged from the one that the manifest is of; the
/// whole digest would cost a tenth of a start.
Result<Fd> open_file(const std::string& directory, const json& files, const char* name) {
  const std::string path = directory + "/" + name;
  Result<Fd> file = open_fd(path, O_RDONLY);
  if (!file) return missing(path, file.error().sys_errno);
  struct stat info{};
  if (::fstat(file->get(), &info) < 0) return sys_error("stat", path);
  const auto entry = files.find(name);
  if (entry == files.end() || !entry->is_object() ||
      entry->value("size", json()) != json(info.st_size))
    return invalid(path, "it is not what the manifest says");
  return file;
}

/// QEMU boots an ELF file that has a PVH note, and a bzImage.
Result<Fd> open_kernel(const std::string& path) {
  Fd kernel = TRY(open_fd(path, O_RDONLY));
  char head[0x206] = {};
  const bool elf =
      ::pread(kernel.get(), head, sizeof head, 0) == sizeof head && std::memcmp(head,
                                                                                "\x7f"
                                                                                "ELF",
                                                                                4) == 0;
  if (!elf && std::memcmp(head + 0x202, "HdrS", 4) != 0)
    return make_error(Code::kInvalidArgument, "kernel_invalid",
                      format("open kernel '{}': it is neither an ELF file nor a bzImage", path));
  return kernel;
}

}  // namespace

Result<Assets> open_assets(const std::string& directory, const std::string& kernel) {
  if (directory.empty())
    return make_error(Code::kFailedPrecondition, "guest_missing",
                      "open guest: there is no kernel for microVMs here", kHowToMake);
  const std::string path = directory + "/manifest.json";
  Result<std::string> text = read_file(path, 1 << 20);
  if (!text) return missing(path, text.error().sys_errno);
  const Result<json> manifest = spec::parse_json(*text);
  if (!manifest) return invalid(path, manifest.error().message);
  const json empty = json::object();
  const auto member = [&](const char* name) -> const json& {
    const auto found = manifest->find(name);
    return found == manifest->end() ? empty : *found;
  };
  if (member("format") != json(1) || !member("files").is_object())
    return invalid(path, "not a manifest of format 1");
  Assets assets;
  assets.initramfs = TRY(open_file(directory, member("files"), "initramfs"));
  assets.kernel = kernel.empty() ? TRY(open_file(directory, member("files"), "vmlinux"))
                                 : TRY(open_kernel(kernel));
  assets.digest = member("files").dump();
  if (!kernel.empty()) {
    struct stat info{};
    if (::fstat(assets.kernel.get(), &info) < 0) return sys_error("stat", kernel);
    assets.digest += format(" {}:{} {} {}.{}", info.st_dev, info.st_ino, info.st_size,
                            info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  }
  return assets;
}

Result<std::string> find_qemu() {
  for (const char* path : backend::kQemuPaths)
    if (::access(path, X_OK) == 0) return std::string(path);
  return make_error(Code::kFailedPrecondition, "qemu_missing",
                    "start guest: there is no qemu-system-x86_64 here",
                    "install qemu-system-x86, or use --isolation container");
}

}  // namespace caisson::vm
