// SHA-256 as OpenSSL computes it (with the processor's own instructions).
#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <memory>
#include <string>

#include "base/error.h"

namespace caisson::fetch {

class Sha256 final {
 public:
  static Result<Sha256> create();
  void update(const void* data, std::size_t size) {
    ok_ &= EVP_DigestUpdate(context_.get(), data, size);
  }
  /// "sha256:<hex>" of everything so far; nothing may be added afterwards.
  Result<std::string> finish();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  explicit Sha256(std::unique_ptr<EVP_MD_CTX, Free> context) : context_(std::move(context)) {}
  std::unique_ptr<EVP_MD_CTX, Free> context_;
  int ok_ = 1;
};

}  // namespace caisson::fetch
