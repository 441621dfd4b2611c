#include "vm/accelerator.h"

#include <fcntl.h>

namespace caisson::vm {
namespace {

constexpr const char* kFile = "accelerator";

std::string line_of(const std::string& what, Accelerator accelerator) {
  return format("{} {}\n", what, accelerator == Accelerator::kKvm ? "kvm" : "tcg");
}

}  // namespace

bool kvm_is_there() { return open_fd("/dev/kvm", O_RDWR).has_value(); }

std::optional<Accelerator> known_accelerator(const std::string& cache, const std::string& what) {
  const std::string text = read_file(cache + "/" + kFile, 4096).value_or("");
  for (const Accelerator one : {Accelerator::kKvm, Accelerator::kTcg})
    if (text == line_of(what, one)) return one;
  return std::nullopt;
}

void remember_accelerator(const std::string& cache, const std::string& what,
                          Accelerator accelerator) {
  const Result<Fd> directory = open_fd(cache, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (directory)
    static_cast<void>(replace_file(directory->get(), kFile, line_of(what, accelerator), 0600));
}

}  // namespace caisson::vm
