#include "fetch/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sha256.h"

namespace caisson::fetch {
namespace {

std::string name_of(const std::string& digest) { return std::string(spec::hex_of(digest)); }

}  // namespace

Result<std::optional<Fd>> BlobStore::published(const std::string& digest) const {
  Result<Fd> blob = open_at(blobs_.get(), name_of(digest), O_RDONLY | O_NOFOLLOW);
  if (blob) return std::optional(std::move(*blob));
  if (blob.error().sys_errno == ENOENT) return std::optional<Fd>();
  return blob.error();
}

Result<bool> BlobStore::has_tree(const std::string& chain_id) const {
  struct stat info{};
  if (::fstatat(layers_.get(), name_of(chain_id).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0)
    return true;
  if (errno == ENOENT) return false;
  return sys_error("look at layer", chain_id);
}

std::optional<std::string> BlobStore::document(const std::string& digest) const {
  const Result<std::optional<Fd>> blob = published(digest);
  if (!blob || !*blob) return std::nullopt;
  Result<std::string> text = read_all((*blob)->get(), image::kMaxDocument, digest);
  if (!text || sha256_hex(*text) != spec::hex_of(digest)) return std::nullopt;
  return std::move(*text);
}

Result<> BlobStore::keep_document(const std::string& digest, const std::string& text) const {
  if (document(digest)) return {};
  const std::string name = name_of(digest), temporary = format("{}.{}", name, ::getpid());
  ::unlinkat(partial_.get(), temporary.c_str(), 0);
  const Fd file = TRY(open_at(partial_.get(), temporary, O_WRONLY | O_CREAT | O_EXCL, 0600));
  if (Result<> written = write_all(file.get(), text, digest); !written) return written.error();
  if (::renameat(partial_.get(), temporary.c_str(), partial_.get(), name.c_str()) < 0)
    return sys_error("keep document", digest);
  return {};
}

Result<std::optional<Fd>> BlobStore::lock_partial(const std::string& digest) const {
  const std::string name = name_of(digest);
  Result<Fd> opened = open_at(partial_.get(), name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  // Another pull publishes it, or was killed when it was about to: it is whole, and never to be
  // written again.
  if (!opened && opened.error().sys_errno == EACCES)
    opened = open_at(partial_.get(), name, O_RDONLY | O_NOFOLLOW);
  if (!opened && opened.error().sys_errno == ENOENT) return std::optional<Fd>();
  Fd file = TRY(std::move(opened));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno == EWOULDBLOCK) return std::optional<Fd>();
    return sys_error("lock blob", digest);
  }
  // Between the open and the lock it may have been published.
  struct stat ours{}, named{};
  const bool there = ::fstat(file.get(), &ours) == 0 &&
                     ::fstatat(partial_.get(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                     ours.st_ino == named.st_ino;
  if (!there) return std::optional<Fd>();
  return std::optional(std::move(file));
}

Result<Fd> BlobStore::read_partial(const std::string& digest) const {
  return open_at(partial_.get(), name_of(digest), O_RDONLY | O_NOFOLLOW);
}

void BlobStore::drop_partial(const std::string& digest) const {
  ::unlinkat(partial_.get(), name_of(digest).c_str(), 0);
}

}  // namespace caisson::fetch
