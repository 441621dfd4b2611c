// Templates: machines that were saved when their agent had just said hello, from which boxes go on
// (docs/formats/home.md, templates/). One for each number of processors and size of memory.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"
#include "vm/assets.h"
#include "vm/machine.h"

namespace caisson::vm {

/// A machine that stands still: its memory, and the state of its devices.
struct Saved {
  Fd memory, state;
};

/// QEMU and its words, processors and memory: a machine goes on only where all are as they were.
Result<std::string> describe(const Machine& machine);

/// What the name of a template says: all that its memory comes from (guest, QEMU and its words, and
/// this boot of the host, whose clock rate it knows), processors and memory.
Result<std::string> template_name(const Machine& machine, const Assets& assets);

/// The directory, made when it is not there.
Result<Fd> open_templates(const std::string& home);

/// The template, opened for reading; nothing when there is none.
std::optional<Saved> find_template(int directory, const std::string& name, std::uint64_t bytes);

/// Templates are made by one at a time: waits for the others, but no longer than 30 s.
Result<Fd> lock_templates(int directory);
/// Files to save a machine in, of which nobody knows until `finish`; what an earlier maker left
/// goes.
Result<Saved> begin_template(int directory, const std::string& name, std::uint64_t bytes);
/// The template is there. Those of other guests, of an earlier boot and so on go.
Result<> finish_template(int directory, const std::string& name);
/// One that is of no use.
void remove_template(int directory, const std::string& name);

}  // namespace caisson::vm
