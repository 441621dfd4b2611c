#include "store/images.h"

#include "base/format.h"

namespace caisson::store {
namespace {

constexpr const char* kSelect =
    "SELECT id, config_digest, os, architecture, variant, created, pulled_ns, used_ns, removed "
    "FROM images ";

ImageRow read_columns(const Statement& s) {
  ImageRow row;
  row.id = s.text(0);
  row.config_digest = s.text(1);
  row.os = s.text(2);
  row.architecture = s.text(3);
  row.variant = s.text(4);
  row.created = s.text(5);
  row.pulled_ns = s.number(6);
  row.used_ns = s.number(7);
  row.removed = s.number(8) != 0;
  return row;
}

std::int64_t as_signed(std::uint64_t number) { return static_cast<std::int64_t>(number); }
std::uint64_t as_unsigned(std::int64_t number) { return static_cast<std::uint64_t>(number); }

Error in_use(std::string_view id, const std::vector<std::string>& boxes) {
  return make_error(
      Code::kFailedPrecondition, "image_in_use",
      format("remove image '{}': box '{}'{} uses it", id, boxes.front(),
             boxes.size() > 1 ? format(" and {} more", boxes.size() - 1) : std::string()),
      "remove the box first, or force the removal: the image then goes with its last box");
}

}  // namespace

Result<std::vector<std::string>> ImageState::texts(const char* sql, std::string_view value) {
  Statement s = TRY(database().prepare(sql));
  s.bind(value);
  std::vector<std::string> found;
  while (TRY(s.step())) found.push_back(s.text(0));
  return found;
}

Result<ImageRow> ImageState::read(ImageRow row) {
  row.names = TRY(texts("SELECT name FROM image_names WHERE image = ?1 ORDER BY name", row.id));
  Statement layers = TRY(
      database().prepare("SELECT chain_id, digest, diff_id, media_type, size, coalesce(disk_bytes, "
                         "0) FROM image_layers"
                         " LEFT JOIN layers USING (chain_id) WHERE image = ?1 ORDER BY position"));
  layers.bind(row.id);
  while (TRY(layers.step()))
    row.layers.push_back({layers.text(0), layers.text(1), layers.text(2), layers.text(3),
                          as_unsigned(layers.number(4)), as_unsigned(layers.number(5))});
  Statement blobs = TRY(
      database().prepare("SELECT digest, size FROM image_blobs WHERE image = ?1 ORDER BY digest"));
  blobs.bind(row.id);
  while (TRY(blobs.step())) row.blobs.push_back({blobs.text(0), as_unsigned(blobs.number(1))});
  return row;
}

Result<> ImageState::insert(const ImageRow& image) {
  Database& db = database();
  {
    Statement s = TRY(db.prepare(
        "INSERT INTO images (id, config_digest, os, architecture, variant, created, pulled_ns,"
        " used_ns) VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"
        " pulled_ns = excluded.pulled_ns, used_ns = max(used_ns, excluded.used_ns), removed = 0"));
    s.bind(image.id).bind(image.config_digest).bind(image.os).bind(image.architecture);
    s.bind(image.variant).bind(image.created).bind(image.pulled_ns).bind(image.used_ns);
    TRY(s.run());
  }
  for (std::size_t i = 0; i < image.layers.size(); ++i) {
    const LayerRow& layer = image.layers[i];
    Statement s = TRY(db.prepare("INSERT OR REPLACE INTO image_layers VALUES (?,?,?,?,?,?,?)"));
    s.bind(image.id).bind(as_signed(i)).bind(layer.chain_id).bind(layer.digest);
    s.bind(layer.diff_id).bind(layer.media_type).bind(as_signed(layer.size));
    TRY(s.run());
    Statement tree = TRY(db.prepare("INSERT OR REPLACE INTO layers VALUES (?,?)"));
    TRY(tree.bind(layer.chain_id).bind(as_signed(layer.disk_bytes)).run());
  }
  for (const BlobRow& blob : image.blobs) {
    Statement s = TRY(db.prepare("INSERT OR REPLACE INTO image_blobs VALUES (?,?,?)"));
    TRY(s.bind(image.id).bind(blob.digest).bind(as_signed(blob.size)).run());
  }
  for (const std::string& name : image.names) {
    Statement s = TRY(db.prepare("INSERT OR REPLACE INTO image_names VALUES (?,?)"));
    TRY(s.bind(name).bind(image.id).run());
  }
  return {};
}

Result<> ImageState::publish(const std::vector<ImageRow>& images,
                             const std::function<Result<>()>& present) {
  std::lock_guard lock(*state_->mutex_);
  Transaction transaction = TRY(Transaction::begin(database()));
  TRY(present());
  for (const ImageRow& image : images) TRY(insert(image));
  return transaction.commit();
}

Result<std::vector<ImageRow>> ImageState::list() {
  std::lock_guard lock(*state_->mutex_);
  std::vector<ImageRow> rows;
  {
    Statement s =
        TRY(database().prepare(std::string(kSelect) + "ORDER BY pulled_ns DESC, id DESC"));
    while (TRY(s.step())) rows.push_back(read_columns(s));
  }
  for (ImageRow& row : rows) row = TRY(read(std::move(row)));
  return rows;
}

Result<std::optional<ImageRow>> ImageState::find_row(std::string_view id) {
  ImageRow row;
  {
    Statement s = TRY(database().prepare(std::string(kSelect) + "WHERE id = ?1"));
    if (!TRY(s.bind(id).step())) return std::optional<ImageRow>();
    row = read_columns(s);
  }
  return std::optional<ImageRow>(TRY(read(std::move(row))));
}

Result<std::optional<ImageRow>> ImageState::find(std::string_view id) {
  std::lock_guard lock(*state_->mutex_);
  return find_row(id);
}

Result<std::optional<std::string>> ImageState::named(std::string_view name) {
  std::lock_guard lock(*state_->mutex_);
  std::vector<std::string> ids = TRY(texts("SELECT image FROM image_names WHERE name = ?1", name));
  if (ids.empty()) return std::optional<std::string>();
  return std::optional<std::string>(std::move(ids.front()));
}

Result<std::vector<std::string>> ImageState::beginning(std::string_view begin) {
  std::lock_guard lock(*state_->mutex_);
  const std::string end = std::string(begin) + "~";  // above every hexadecimal digit
  Statement s = TRY(database().prepare(
      "SELECT id FROM images WHERE id >= ?1 AND id < ?2 UNION SELECT id FROM images WHERE"
      " config_digest >= ?1 AND config_digest < ?2 LIMIT 4"));
  s.bind(begin).bind(std::string_view(end));
  std::vector<std::string> ids;
  while (TRY(s.step())) ids.push_back(s.text(0));
  return ids;
}

Result<ImageUse> ImageState::use(std::string_view id) {
  std::lock_guard lock(*state_->mutex_);
  ImageUse use;
  Statement blobs = TRY(database().prepare(
      "SELECT sum(size), sum((size + 4095) / 4096 * 4096), sum(iif(NOT EXISTS (SELECT 1 FROM"
      " image_blobs o WHERE o.digest = b.digest AND o.image <> b.image),"
      " (size + 4095) / 4096 * 4096, 0)) FROM image_blobs b WHERE image = ?1"));
  if (TRY(blobs.bind(id).step())) {
    use.size = as_unsigned(blobs.number(0));
    use.disk_bytes = as_unsigned(blobs.number(1));
    use.own_bytes = as_unsigned(blobs.number(2));
  }
  Statement trees = TRY(database().prepare(
      "SELECT sum(disk_bytes), sum(iif(NOT EXISTS (SELECT 1 FROM image_layers o WHERE"
      " o.chain_id = l.chain_id AND o.image <> l.image), disk_bytes, 0))"
      " FROM image_layers l JOIN layers USING (chain_id) WHERE image = ?1"));
  if (TRY(trees.bind(id).step())) {
    use.disk_bytes += as_unsigned(trees.number(0));
    use.own_bytes += as_unsigned(trees.number(1));
  }
  return use;
}

Result<std::vector<std::string>> ImageState::boxes(std::string_view id) {
  std::lock_guard lock(*state_->mutex_);
  return texts("SELECT id FROM boxes WHERE image = ?1 AND image <> ''", id);
}

Result<> ImageState::tag(std::string_view id, std::string_view name) {
  std::lock_guard lock(*state_->mutex_);
  Transaction transaction = TRY(Transaction::begin(database()));
  {
    Statement mark = TRY(database().prepare("UPDATE images SET removed = 0 WHERE id = ?1"));
    TRY(mark.bind(id).run());
  }
  if (database().changes() == 0)
    return make_error(Code::kNotFound, "image_not_found",
                      format("tag image '{}': it has just been removed", id));
  {
    Statement s = TRY(database().prepare("INSERT OR REPLACE INTO image_names VALUES (?,?)"));
    TRY(s.bind(name).bind(id).run());
  }
  return transaction.commit();
}

Result<> ImageState::erase(std::string_view id) {
  Statement s = TRY(database().prepare("DELETE FROM images WHERE id = ?1"));
  return s.bind(id).run();
}

Result<ImageState::Removal> ImageState::remove(std::string_view id,
                                               const std::vector<std::string>& names, bool force) {
  std::lock_guard lock(*state_->mutex_);
  Transaction transaction = TRY(Transaction::begin(database()));
  Removal removal;
  for (const std::string& name : names) {
    Statement s = TRY(database().prepare("DELETE FROM image_names WHERE name = ?1 AND image = ?2"));
    TRY(s.bind(name).bind(id).run());
    if (database().changes() > 0) removal.untagged.push_back(name);
  }
  if (TRY(texts("SELECT name FROM image_names WHERE image = ?1 LIMIT 1", id)).empty()) {
    const std::vector<std::string> users =
        TRY(texts("SELECT id FROM boxes WHERE image = ?1 AND image <> ''", id));
    if (!users.empty() && !force) return in_use(id, users);
    if (users.empty()) {
      TRY(erase(id));
      removal.deleted = true;
    } else {
      Statement s = TRY(database().prepare("UPDATE images SET removed = 1 WHERE id = ?1"));
      TRY(s.bind(id).run());
    }
  }
  TRY(transaction.commit());
  return removal;
}

Result<bool> ImageState::drop_unused(std::string_view id, bool even_named) {
  std::lock_guard lock(*state_->mutex_);
  Statement s = TRY(database().prepare(
      "DELETE FROM images WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM boxes WHERE image = ?1 AND"
      " image <> '') AND (?2 OR NOT EXISTS (SELECT 1 FROM image_names WHERE image = ?1))"));
  TRY(s.bind(id).bind(std::int64_t{even_named}).run());
  return database().changes() > 0;
}

Result<std::optional<ImageRow>> ImageState::drop_marked(std::string_view id) {
  std::lock_guard lock(*state_->mutex_);
  // The end of every box comes here, and nearly always for nothing: a look is cheaper.
  if (TRY(texts("SELECT id FROM images WHERE id = ?1 AND removed", id)).empty())
    return std::optional<ImageRow>();
  Transaction transaction = TRY(Transaction::begin(database()));
  std::optional<ImageRow> row = TRY(find_row(id));
  const bool kept =
      !row || !row->removed || !row->names.empty() ||
      !TRY(texts("SELECT id FROM boxes WHERE image = ?1 AND image <> ''", id)).empty();
  if (kept) return std::optional<ImageRow>();
  TRY(erase(id));
  TRY(transaction.commit());
  return row;
}

Result<std::optional<std::uint64_t>> ImageState::disk_bytes(std::string_view chain_id) {
  std::lock_guard lock(*state_->mutex_);
  Statement s = TRY(database().prepare("SELECT disk_bytes FROM layers WHERE chain_id = ?1"));
  if (!TRY(s.bind(chain_id).step())) return std::optional<std::uint64_t>();
  return std::optional<std::uint64_t>(as_unsigned(s.number(0)));
}

Result<> ImageState::collect(const std::function<Result<>(const Referenced&)>& sweep) {
  std::lock_guard lock(*state_->mutex_);
  Transaction transaction = TRY(Transaction::begin(database()));
  Referenced referenced;
  const auto take = [&](const char* sql, std::set<std::string>& into) -> Result<> {
    Statement s = TRY(database().prepare(sql));
    while (TRY(s.step())) into.insert(s.text(0));
    return {};
  };
  TRY(take("SELECT digest FROM image_blobs", referenced.blobs));
  TRY(take(
      "SELECT chain_id FROM image_layers UNION SELECT 'sha256:' || layer FROM box_layers "
      "UNION SELECT 'sha256:' || id FROM boxes UNION SELECT 'sha256:' || generation FROM boxes "
      "WHERE generation <> ''",
      referenced.chains));
  TRY(take("SELECT id FROM images", referenced.images));
  {
    Statement s = TRY(database().prepare("SELECT chain_id, disk_bytes FROM layers"));
    while (TRY(s.step())) referenced.trees[s.text(0)] = as_unsigned(s.number(1));
  }
  TRY(sweep(referenced));
  TRY(database().execute(
      "DELETE FROM layers WHERE chain_id NOT IN (SELECT chain_id FROM image_layers)"));
  return transaction.commit();
}

}  // namespace caisson::store
