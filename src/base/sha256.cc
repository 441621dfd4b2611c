#include "base/sha256.h"

#include <sha2.h>
#include <sys/types.h>

#include <cstring>

namespace caisson {
namespace {

static_assert(sizeof(SHA2_CTX) <= 256 && alignof(SHA2_CTX) <= 8);

/// The context is copied out and in: the bytes are no object of its type.
template <class State>
SHA2_CTX load(const State& state) {
  SHA2_CTX context;
  std::memcpy(&context, state.bytes.data(), sizeof context);
  return context;
}

template <class State>
void store(State& state, const SHA2_CTX& context) {
  std::memcpy(state.bytes.data(), &context, sizeof context);
}

}  // namespace

Sha256::Sha256() {
  SHA2_CTX context;
  std::memset(&context, 0, sizeof context);
  SHA256Init(&context);
  store(state_, context);
}

void Sha256::update(std::string_view bytes) {
  SHA2_CTX context = load(state_);
  SHA256Update(&context, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  store(state_, context);
}

std::string Sha256::hex() const {
  SHA2_CTX context = load(state_);
  std::array<char, SHA256_DIGEST_STRING_LENGTH> digits{};
  SHA256End(&context, digits.data());
  return digits.data();
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

}  // namespace caisson
