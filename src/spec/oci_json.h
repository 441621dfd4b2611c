// Reading the JSON of images: members that are not known are passed over, null is as good as
// absent, and the first fault is kept.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace caisson::spec {

/// Documents have at most 4 MiB; this bounds the memory that they grow to.
constexpr std::size_t kMostOciValues = 1u << 18;

/// The fault of one document: "parse WHAT: PATH: CAUSE".
class DocumentFault final {
 public:
  DocumentFault(std::string_view reason, std::string_view what) : reason_(reason), what_(what) {}

  Error error(std::string_view cause) const;
  /// Keeps the first.
  void note(std::string_view path, std::string_view cause);
  bool any() const { return fault_.has_value(); }
  Result<> result() const;

 private:
  std::string_view reason_, what_;
  std::optional<Error> fault_;
};

/// One object of a document. Lives no longer than the document and the fault.
class DocumentReader final {
 public:
  /// `value` null: everything in it is absent.
  DocumentReader(const nlohmann::json* value, DocumentFault& fault, std::string path);

  bool has(const char* name) const { return find(name) != nullptr; }
  /// Absent: empty. With a NUL byte: a fault.
  std::string text(const char* name);
  std::uint64_t size(const char* name);
  bool flag(const char* name);
  /// A lone string is a list of one, as in Docker's documents.
  std::vector<std::string> texts(const char* name);
  /// The names of an object's members: {"80/tcp": {}}.
  std::vector<std::string> keys(const char* name);
  std::map<std::string, std::string> map(const char* name);
  DocumentReader child(const char* name);
  /// The elements of an array of objects.
  std::vector<DocumentReader> children(const char* name);
  void fault(const char* name, std::string_view cause);

 private:
  const nlohmann::json* find(const char* name) const;
  std::string path_of(std::string_view name) const;
  std::string checked(const nlohmann::json& value, std::string_view name);

  const nlohmann::json* value_;
  DocumentFault* fault_;
  std::string path_;
};

/// The document as an object, or the fault.
Result<nlohmann::json> parse_document(std::string_view text, const DocumentFault& fault);

}  // namespace caisson::spec
