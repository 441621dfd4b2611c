#include "fetch/decompress.h"

#include <gtest/gtest.h>
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <string>
#include <vector>

namespace caisson::fetch {
namespace {

std::string gzip(const std::string& text) {
  std::vector<unsigned char> level(ISAL_DEF_LVL1_DEFAULT), out(text.size() * 2 + 1000);
  isal_zstream stream;
  ::isal_deflate_init(&stream);
  stream.level = 1;
  stream.level_buf = level.data();
  stream.level_buf_size = static_cast<std::uint32_t>(level.size());
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  std::string in = text;
  stream.next_in = reinterpret_cast<unsigned char*>(in.data());
  stream.avail_in = static_cast<std::uint32_t>(in.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<std::uint32_t>(out.size());
  EXPECT_EQ(::isal_deflate(&stream), COMP_OK);
  return {reinterpret_cast<char*>(out.data()), stream.total_out};
}

std::string zstd(const std::string& text, int window_log = 0) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  ZSTD_inBuffer in{text.data(), text.size(), 0};
  ZSTD_outBuffer target{out.data(), out.size(), 0};
  // A first call that is not the last keeps the window from shrinking to the text.
  ZSTD_compressStream2(context, &target, &in, ZSTD_e_continue);
  while (ZSTD_compressStream2(context, &target, &in, ZSTD_e_end) > 0) {
  }
  ZSTD_freeCCtx(context);
  return out.substr(0, target.pos);
}

/// In pieces of `in_size` to `out_size`; an error's message in parentheses.
std::string expand(spec::Compression compression, const std::string& data, std::size_t in_size,
                   std::size_t out_size) {
  auto decompressor = std::move(*make_decompressor(compression));
  std::vector<unsigned char> out(out_size);
  std::string text;
  for (std::size_t at = 0; at <= data.size(); at += in_size) {
    const std::string piece = data.substr(at, in_size);
    std::span<const unsigned char> in(reinterpret_cast<const unsigned char*>(piece.data()),
                                      piece.size());
    for (std::size_t produced = 1; !in.empty() || produced > 0;) {
      const Result<Decompressor::Step> step = decompressor->step(in, out);
      if (!step) return "(" + step.error().message + ")";
      in = in.subspan(step->consumed);
      produced = step->produced;
      text.append(reinterpret_cast<char*>(out.data()), produced);
    }
  }
  const Result<> end = decompressor->finish();
  return end ? text : "(" + end.error().message + ")";
}

std::string sample() {
  std::string text;
  for (int i = 0; i < 40'000; ++i) text += std::to_string(i * 7919 % 10'007) + "\n";
  return text;
}

TEST(Decompress, InPiecesOfAnySize) {
  const std::string text = sample();
  using enum spec::Compression;
  for (const std::size_t in : {1u, 7u, 4096u, 1'000'000u})
    for (const std::size_t out : {13u, 65'536u, 1'000'000u}) {
      if (in == 1 && out == 13) continue;
      EXPECT_EQ(expand(kGzip, gzip(text), in, out), text) << in << " " << out;
      EXPECT_EQ(expand(kZstd, zstd(text), in, out), text) << in << " " << out;
      EXPECT_EQ(expand(kNone, text, in, out), text) << in << " " << out;
    }
}

TEST(Decompress, SeveralMembers) {
  using enum spec::Compression;
  for (const std::size_t in : {1u, 5u, 4096u}) {
    EXPECT_EQ(expand(kGzip, gzip("one,") + gzip("") + gzip("two"), in, 4096), "one,two");
    EXPECT_EQ(
        expand(kZstd, zstd("one,") + std::string("\x50\x2a\x4d\x18\x03\0\0\0abc", 11) + zstd("two"),
               in, 4096),
        "one,two");
  }
}

TEST(Decompress, DamagedAndCutOff) {
  using enum spec::Compression;
  const std::string gz = gzip(sample()), zst = zstd(sample());
  EXPECT_EQ(expand(kGzip, gz.substr(0, gz.size() - 3), 4096, 65'536),
            "(the gzip stream is cut off)");
  EXPECT_EQ(expand(kZstd, zst.substr(0, zst.size() - 3), 4096, 65'536),
            "(the zstd stream is cut off)");
  EXPECT_EQ(expand(kGzip, "", 4096, 4096), "(the gzip stream is cut off)");
  EXPECT_EQ(expand(kGzip, gz + "junk and more of it", 4096, 65'536),
            "(it is no gzip stream (no header))");
  std::string wrong = gz;
  wrong[wrong.size() - 6] ^= 1;
  EXPECT_EQ(expand(kGzip, wrong, 4096, 65'536), "(it is no gzip stream (wrong checksum))");
}

TEST(Decompress, ZstdWindowsAreBounded) {
  EXPECT_EQ(expand(spec::Compression::kZstd, zstd("x", 27), 4096, 4096),
            "(the zstd stream needs a window of more than 32 MiB)");
  EXPECT_EQ(expand(spec::Compression::kZstd, zstd("x", 25), 4096, 4096), "x");
}

}  // namespace
}  // namespace caisson::fetch
