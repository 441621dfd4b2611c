// Box's inside.
#pragma once

#include "caisson/box.h"
#include "engine/box_state.h"
#include "engine/channel.h"
#include "engine/home.h"

namespace caisson {

class Box::Impl final {
 public:
  Impl(std::shared_ptr<const Runtime::Impl> runtime, std::string id)
      : runtime(std::move(runtime)), id(std::move(id)) {}
  const std::shared_ptr<const Runtime::Impl> runtime;  ///< shared: a Box may outlive the Runtime
  const std::string id;

  Result<store::BoxRow> row() const;
  /// A connection to the running box's shim. `box_not_running`.
  Result<engine::Channel> connect() const;
  /// Connects, asks, and returns the reply.
  Result<backend::Reply> ask(const backend::Request& request) const;
};

}  // namespace caisson

namespace caisson::engine {

/// The record of a box of this spec that is new: configured, without an image.
Result<store::BoxRow> new_row(const BoxSpec& spec);

/// An exclusive claim on a box's running: held by who starts it, then by its shim to its end.
/// Absent when somebody holds it. Only who may start the box makes the file of it (`make`): who
/// finds none may be looking at a box that is just being removed.
Result<std::optional<Fd>> try_claim(const backend::Layout& layout, const std::string& id,
                                    bool make = false);

/// Ends what a vanished shim left: its processes die with it, its cgroups and socket do not. The
/// caller holds the claim.
Result<> clear_remains(const Runtime::Impl& runtime, const std::string& id);

/// Brings a record in line with what is true: a box whose shim is gone is ended, from the record
/// the shim left or as lost, and what is left of it is removed. Returns the row as it is then.
Result<store::BoxRow> settle(const Runtime::Impl& runtime, store::BoxRow row);

/// What a record of a box that runs says.
store::BoxUpdate running_update(const backend::Started& started);

/// Settles everything that shims left in ended/, and after a reboot every live record.
Result<> recover(const Runtime::Impl& runtime);

/// Commits the end of a box's run to its record. Idempotent.
Result<> commit_end(const Runtime::Impl& runtime, const std::string& id,
                    const backend::EndedRecord& record);

/// A box that does not run and that nobody else starts or changes meanwhile. `box_running`,
/// `box_busy`.
struct ClaimedBox {
  store::BoxRow row;
  Fd claim;
};
Result<ClaimedBox> claim_to_use(const Runtime::Impl& runtime, const std::string& id);

/// A shim that serves the files of a box that does not run, to the end of its last connection.
Result<Channel> start_at_rest(const Runtime::Impl& runtime, const std::string& id);

/// What a box's shim tells of health and restarts, into `info`.
void add_status(const Runtime::Impl& runtime, BoxInfo& info);

/// Starts a box: claim, record, files, shim. See start.cc.
struct StartedBox {
  Channel channel;
  std::vector<Fd> fds;  ///< with `attach`: stdin or the terminal, if there is one
  BoxSpec spec;
};
Result<StartedBox> start_box(const Runtime::Impl& runtime, const std::string& id, bool attach,
                             const std::optional<backend::Trial>& trial = {});

/// Has the shim program do what needs the ids of boxes, and waits for it: files that belong to
/// subordinate ids can only be handled in a namespace that has those ids.
Result<> ask_shim(const Runtime::Impl& runtime, const backend::Request& request,
                  const std::vector<int>& fds = {});
/// The same, for what it answers.
Result<backend::Reply> call_shim(const Runtime::Impl& runtime, const backend::Request& request,
                                 const std::vector<int>& fds = {});

/// What the shim needs to know of the box's root, and what keeps it there.
struct BoxRoot {
  Rootfs rootfs;
  Fd held;
};
Result<BoxRoot> root_of(const Runtime::Impl& runtime, const store::BoxRow& row,
                        const BoxSpec& spec);
/// `isolation_unsupported` for a box that has no root of its own: what it would be asked for is a
/// matter of layers.
Result<> require_layers(const BoxSpec& spec, std::string_view action);
/// The same without what the box itself and those that it comes from have written.
Result<BoxRoot> base_of(const Runtime::Impl& runtime, const store::BoxRow& row,
                        const BoxSpec& spec);

/// Waits a moment for the claim on a box that is not live: one that has just ended keeps it until
/// its shim is gone.
Result<std::optional<Fd>> claim_box(const backend::Layout& layout, const store::BoxRow& row);

/// Ends the box, whether it runs or is just being started, and keeps others from starting it.
/// Absent when it was never started. `box_busy`.
Result<std::optional<Fd>> end_and_claim(const Box::Impl& box);

/// Deletes the files of a box, as the ids that own them allow.
Result<> remove_files(const Runtime::Impl& runtime, const std::string& id);
/// The tree `name` in `directory`, whose files may belong to ids that boxes have.
Result<> remove_tree_of(const Runtime::Impl& runtime, const std::string& directory,
                        const std::string& name);
/// The record of a box, and the image that was only kept for it.
Result<bool> erase_box(const Runtime::Impl& runtime, const store::BoxRow& row);

}  // namespace caisson::engine
