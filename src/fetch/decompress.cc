#include "fetch/decompress.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <cstring>

#include "base/format.h"

namespace caisson::fetch {
namespace {

Error invalid(std::string message, std::string hint = {}) {
  return make_error(Code::kInvalidArgument, "layer_invalid", std::move(message), std::move(hint));
}

class Plain final : public Decompressor {
 public:
  Result<Step> step(std::span<const unsigned char> in, std::span<unsigned char> out) override {
    const std::size_t size = std::min(in.size(), out.size());
    if (size > 0) std::memcpy(out.data(), in.data(), size);
    return Step{size, size};
  }
  Result<> finish() override { return {}; }
};

class Gzip final : public Decompressor {
 public:
  Result<Step> step(std::span<const unsigned char> in, std::span<unsigned char> out) override {
    Step step;
    while (step.produced < out.size()) {
      if (at_start_) {
        if (step.consumed == in.size()) break;
        begin_member();
      }
      state_.next_in = const_cast<unsigned char*>(in.data() + step.consumed);  // is only read
      state_.avail_in = static_cast<std::uint32_t>(in.size() - step.consumed);
      state_.next_out = out.data() + step.produced;
      state_.avail_out = static_cast<std::uint32_t>(out.size() - step.produced);
      const int rc = ::isal_inflate(&state_);
      const std::size_t consumed = in.size() - step.consumed - state_.avail_in;
      const std::size_t produced = out.size() - step.produced - state_.avail_out;
      step.consumed += consumed;
      step.produced += produced;
      if (rc < 0) return invalid(format("it is no gzip stream ({})", problem(rc)));
      if (state_.block_state == ISAL_BLOCK_FINISH) {
        at_start_ = true;
        any_ = true;
      } else if (consumed == 0 && produced == 0) {
        break;
      }
    }
    return step;
  }
  Result<> finish() override {
    if (!at_start_ || !any_) return invalid("the gzip stream is cut off");
    return {};
  }

 private:
  void begin_member() {
    if (any_)
      ::isal_inflate_reset(&state_);
    else
      ::isal_inflate_init(&state_);
    state_.crc_flag = ISAL_GZIP;
    at_start_ = false;
  }
  static std::string_view problem(int rc) {
    switch (rc) {
      case ISAL_INVALID_WRAPPER:
        return "no header";
      case ISAL_UNSUPPORTED_METHOD:
        return "unknown method";
      case ISAL_INCORRECT_CHECKSUM:
        return "wrong checksum";
      default:
        return "damaged data";
    }
  }
  inflate_state state_{};
  bool at_start_ = true;  ///< between members
  bool any_ = false;      ///< a member has ended
};

class Zstd final : public Decompressor {
 public:
  Result<> init() {
    stream_.reset(ZSTD_createDCtx());
    if (!stream_ ||
        ZSTD_isError(ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, kMaxZstdWindowLog)))
      return make_error(Code::kResourceExhausted, "out_of_memory", "prepare zstd: no memory");
    return {};
  }
  Result<Step> step(std::span<const unsigned char> in, std::span<unsigned char> out) override {
    ZSTD_inBuffer source{in.data(), in.size(), 0};
    ZSTD_outBuffer target{out.data(), out.size(), 0};
    while (target.pos < target.size && (source.pos < source.size || !at_start_)) {
      const std::size_t in_before = source.pos, out_before = target.pos;
      const std::size_t rc = ZSTD_decompressStream(stream_.get(), &target, &source);
      if (ZSTD_isError(rc)) return failure(rc);
      at_start_ = rc == 0;
      any_ = any_ || at_start_;
      if (source.pos == in_before && target.pos == out_before) break;
    }
    return Step{source.pos, target.pos};
  }
  Result<> finish() override {
    if (!at_start_ || !any_) return invalid("the zstd stream is cut off");
    return {};
  }

 private:
  static Error failure(std::size_t rc) {
    if (ZSTD_getErrorCode(rc) == ZSTD_error_frameParameter_windowTooLarge)
      return invalid(format("the zstd stream needs a window of more than {} MiB",
                            (1u << kMaxZstdWindowLog) >> 20),
                     "compress the layer without --ultra and --long");
    return invalid(format("it is no zstd stream ({})", ZSTD_getErrorName(rc)));
  }
  struct Free {
    void operator()(ZSTD_DCtx* stream) const { ZSTD_freeDCtx(stream); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> stream_;
  bool at_start_ = true, any_ = false;
};

}  // namespace

Result<std::unique_ptr<Decompressor>> make_decompressor(spec::Compression compression) {
  switch (compression) {
    case spec::Compression::kGzip:
      return std::make_unique<Gzip>();
    case spec::Compression::kZstd: {
      auto zstd = std::make_unique<Zstd>();
      TRY(zstd->init());
      return zstd;
    }
    case spec::Compression::kNone:
      break;
  }
  return std::make_unique<Plain>();
}

}  // namespace caisson::fetch
