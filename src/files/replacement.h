// Replacement: a file that takes the place of another when it is whole.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace caisson::files {

/// A name that is surely free.
Result<std::string> temporary_name();

/// Gives `temporary` in the directory `parent` the name `name`. A directory is in the way:
/// `path_in_the_way`; the temporary one is gone then.
Result<> take_place(int parent, const std::string& temporary, const std::string& name);

class Replacement final {
 public:
  /// For `name` in the directory `parent`, which is borrowed.
  static Result<Replacement> create(int parent, const std::string& name);
  Replacement(Replacement&& other) noexcept;
  Replacement& operator=(Replacement&&) = delete;
  ~Replacement();

  int fd() const { return file_.get(); }
  Result<> write(std::string_view bytes);
  /// From here on the name is that of the new file. One that cannot be replaced, because something
  /// is mounted there, gets the content instead.
  Result<> commit();

 private:
  Replacement(int parent, std::string name, std::string temporary, Fd file)
      : parent_(parent),
        name_(std::move(name)),
        temporary_(std::move(temporary)),
        file_(std::move(file)) {}
  Result<> overwrite();

  int parent_;
  std::string name_, temporary_;
  Fd file_;
};

}  // namespace caisson::files
