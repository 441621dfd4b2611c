// Files: what a program does with the files of a box, while it runs and when it does not.
#include <cstdio>
#include <memory>

#include "caisson/caisson.h"

namespace {

using caisson::Result;

Result<> failed(const char* what) {
  return caisson::Error{.reason = "example_failed", .message = what};
}

#define CHECK(condition) \
  if (!(condition)) return failed(#condition)

/// The same in every state.
Result<> use(caisson::Files& files) {
  CHECK(files.mkdir("/workspace/a/b", true));
  CHECK(files.mkdir("/workspace/a/b", true));
  CHECK(!files.mkdir("/workspace/a/b"));
  const std::string content("binary\0\xff\n", 9);
  CHECK(files.write("/workspace/a/f", content, {.mode = 0640}));
  CHECK(files.write("/workspace/new/dir/g", "g", {.parents = true}));
  CHECK(files.read("/workspace/a/f").value() == content);
  CHECK(files.read("/workspace/a/f", 6, 100).value() == content.substr(6));
  CHECK(files.read("/workspace/a/f", 0, 3).error().reason == "file_too_large");
  const auto info = files.stat("/workspace/a/f").value();
  CHECK(info.kind == caisson::FileKind::kFile && info.mode == 0640 && info.size == 9);
  // What is replaced keeps its mode.
  CHECK(files.write("/workspace/a/f", "other"));
  CHECK(files.stat("/workspace/a/f").value().mode == 0640);
  const auto list = files.list("/workspace/a").value();
  CHECK(list.size() == 2 && list[0].name == "b" && list[1].name == "f");
  CHECK(files.list("/nowhere").error().reason == "path_not_found");
  CHECK(files.read("/workspace").error().reason == "path_no_file");
  CHECK(files.read("relative").error().reason == "path_invalid");
  CHECK(files.read("/workspace/a/f", 0).value() == "other");  // an error ends no session
  CHECK(!files.remove("/workspace/a"));
  CHECK(files.remove("/workspace/a", true));
  CHECK(files.stat("/workspace/a").error().reason == "path_not_found");
  // Of any length, through descriptors.
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
  CHECK(file && std::fputs("of a file", file.get()) >= 0 &&
        std::fseek(file.get(), 0, SEEK_SET) == 0);
  CHECK(files.write_from("/workspace/p", ::fileno(file.get())).value() == 9);
  CHECK(files.read("/workspace/p").value() == "of a file");
  return {};
}

Result<> watch(caisson::Box& box, caisson::Files& files) {
  auto watch = files.watch("/workspace", true);
  CHECK(watch);
  auto exec =
      box.exec({.command = {"sh", "-c", "mkdir -p d/e; sleep 0.5; echo x > d/e/f; rm d/e/f"}});
  CHECK(exec && exec->wait());
  bool created = false, removed = false;
  while (!removed) {
    auto event = watch->next(caisson::in(std::chrono::seconds(10)));
    CHECK(event && *event);
    if ((*event)->path == "/workspace/d/e/f") {
      created = created || (*event)->kind == caisson::FileEventKind::kCreated;
      removed = (*event)->kind == caisson::FileEventKind::kRemoved;
    }
  }
  CHECK(created);
  CHECK(!watch->next(caisson::in(std::chrono::milliseconds(50))));
  return {};
}

Result<> run(caisson::Box& box) {
  {
    auto files = box.files();  // it has never been started
    CHECK(files);
    if (auto used = use(*files); !used) return used;
    CHECK(files->watch("/workspace").error().reason == "box_not_running");
    CHECK(files->write("/tmp/x", "x").error().reason == "path_not_kept");
  }
  CHECK(box.start());
  auto files = box.files();
  CHECK(files);
  CHECK(files->read("/workspace/new/dir/g").value() == "g");
  if (auto used = use(*files); !used) return used;
  CHECK(files->write("/tmp/x", "x"));
  if (auto watched = watch(box, *files); !watched) return watched;
  CHECK(box.kill());
  CHECK(files->stat("/").error().reason == "files_ended");
  return {};
}

}  // namespace

int main() {
  auto runtime = caisson::Runtime::open();
  if (!runtime) return std::puts(runtime.error().message.c_str()), 1;
  auto box = runtime->create({.source = "host:", .command = {"sleep", "60"}});
  if (!box) return std::puts(box.error().message.c_str()), 1;
  const auto done = run(*box);
  std::puts(done ? "all files are as they should be" : done.error().message.c_str());
  return box->remove(true) && done ? 0 : 1;
}
