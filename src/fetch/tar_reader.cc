#include "fetch/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>

#include <cerrno>
#include <optional>
#include <utility>

namespace caisson::fetch {

struct TarReader::Source {
  Ring* ring;
  Sha256 hash;
  std::optional<Error> error;

  Result<std::span<const unsigned char>> next() {
    Result<std::span<const unsigned char>> bytes = ring->next();
    if (bytes)
      hash.update(bytes->data(), bytes->size());
    else
      error = bytes.error();
    return bytes;
  }
  static la_ssize_t read(archive* reader, void* self, const void** buffer) noexcept {
    Source& source = *static_cast<Source*>(self);
    Result<std::span<const unsigned char>> bytes = source.next();
    if (!bytes) {
      archive_set_error(reader, EIO, "the layer's source failed");
      return -1;
    }
    *buffer = bytes->data();
    return static_cast<la_ssize_t>(bytes->size());
  }
};

TarReader::TarReader(std::unique_ptr<Source> source, archive* reader)
    : source_(std::move(source)), reader_(reader) {}
TarReader::TarReader(TarReader&& other) noexcept
    : source_(std::move(other.source_)), reader_(std::exchange(other.reader_, nullptr)) {}
TarReader::~TarReader() {
  if (reader_ != nullptr) archive_read_free(reader_);
}

Result<TarReader> TarReader::create(Ring& ring) {
  auto source = std::make_unique<Source>(Source{&ring, TRY(Sha256::create()), {}});
  archive* reader = archive_read_new();
  if (reader == nullptr)
    return make_error(Code::kResourceExhausted, "out_of_memory", "prepare libarchive: no memory");
  TarReader tar(std::move(source), reader);
  // "empty" is a layer of no bytes at all, which Go's tar reader takes too.
  archive_read_support_format_tar(reader);
  archive_read_support_format_empty(reader);
  if (archive_read_open(reader, tar.source_.get(), nullptr, Source::read, nullptr) != ARCHIVE_OK)
    return tar.failure();
  return tar;
}

Error TarReader::failure() const {
  if (source_->error) return *source_->error;
  const char* text = archive_error_string(reader_);
  const int code = archive_errno(reader_);
  if (code == ENOMEM)
    return make_error(Code::kResourceExhausted, "out_of_memory", "read the tar: no memory");
  return make_error(Code::kInvalidArgument, "layer_invalid",
                    format("it is no tar: {}", text != nullptr ? text : "damaged"));
}

Result<bool> TarReader::next(Member& member) {
  const int rc = archive_read_next_header(reader_, &entry_);
  if (rc == ARCHIVE_EOF) return false;
  // ARCHIVE_WARN: a name that is not ASCII stays as it is; a broken pax record is left away.
  if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) return failure();
  const auto text = [](const char* value) {
    return value != nullptr ? std::string_view(value) : std::string_view();
  };
  member.name = text(archive_entry_pathname(entry_));
  member.is_hard_link = archive_entry_hardlink(entry_) != nullptr;
  member.hard_link = text(archive_entry_hardlink(entry_));
  member.link = text(archive_entry_symlink(entry_));
  member.mode = archive_entry_mode(entry_);
  member.uid = archive_entry_uid(entry_);
  member.gid = archive_entry_gid(entry_);
  member.size = archive_entry_size(entry_);
  member.mtime = archive_entry_mtime(entry_);
  member.mtime_ns = archive_entry_mtime_nsec(entry_);
  member.major = static_cast<unsigned>(archive_entry_rdevmajor(entry_));
  member.minor = static_cast<unsigned>(archive_entry_rdevminor(entry_));
  return true;
}

Result<bool> TarReader::next_data(DataBlock& block) {
  const void* bytes = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  const int rc = archive_read_data_block(reader_, &bytes, &size, &offset);
  if (rc == ARCHIVE_EOF) return false;
  if (rc != ARCHIVE_OK) return failure();
  block.bytes = {static_cast<const unsigned char*>(bytes), size};
  block.offset = static_cast<std::uint64_t>(offset);
  return true;
}

Result<> TarReader::each_xattr(
    const std::function<Result<>(const char*, const void*, std::size_t)>& use) {
  if (archive_entry_xattr_reset(entry_) == 0) return {};
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (archive_entry_xattr_next(entry_, &name, &value, &size) == ARCHIVE_OK)
    if (name != nullptr) TRY(use(name, value, size));
  return {};
}

Result<std::string> TarReader::finish() {
  while (!TRY(source_->next()).empty()) {
  }
  return source_->hash.finish();
}

}  // namespace caisson::fetch
