#include "fetch/sha256.h"

namespace caisson::fetch {
namespace {
Error failed() {
  return make_error(Code::kInternal, "hash_failed", "compute SHA-256: OpenSSL failed");
}
}  // namespace

Result<Sha256> Sha256::create() {
  std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  if (!context || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) return failed();
  return Sha256(std::move(context));
}

Result<std::string> Sha256::finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (ok_ != 1 || EVP_DigestFinal_ex(context_.get(), digest, &size) != 1) return failed();
  std::string text = "sha256:";
  for (unsigned i = 0; i < size; ++i) {
    text += "0123456789abcdef"[digest[i] >> 4];
    text += "0123456789abcdef"[digest[i] & 15];
  }
  return text;
}

}  // namespace caisson::fetch
