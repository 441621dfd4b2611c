// Rootfs as a box's record has it.
#include "spec/json_reader.h"
#include "spec/state_json.h"

namespace caisson::spec {

std::string to_json(const Rootfs& rootfs) {
  std::vector<std::string> views;
  for (const HostView& view : rootfs.views) views.push_back(view.path);
  const nlohmann::json object = {{"lowers", encode(rootfs.lowers)},
                                 {"lower_parent", encode_text(rootfs.lower_parent)},
                                 {"strategy", std::string(to_string(rootfs.strategy))},
                                 {"volumes", encode(rootfs.volumes)},
                                 {"views", encode(views)},
                                 {"private_tmp", rootfs.private_tmp},
                                 {"workdir", encode_text(rootfs.workdir)}};
  return object.dump();
}

Result<Rootfs> rootfs_from_state(std::string_view text) {
  const nlohmann::json object = TRY(parse_json(text));
  const Context context{nullptr, "rootfs", {}, UnknownFields::kIgnore};
  Rootfs rootfs;
  std::vector<std::string> views;
  ObjectReader in(object, context);
  in.required("lowers", rootfs.lowers);
  in.field("lower_parent", rootfs.lower_parent);
  in.field("strategy", rootfs.strategy);
  in.field("volumes", rootfs.volumes);
  in.field("views", views);
  in.field("private_tmp", rootfs.private_tmp);
  in.field("workdir", rootfs.workdir);
  TRY(in.finish());
  for (std::string& path : views) rootfs.views.push_back({std::move(path)});
  return rootfs;
}

}  // namespace caisson::spec
