// What host and guest say to each other (docs/formats/guest.md), beside the streams of link.h. What
// a guest sends is hostile: everything is checked before it means anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "backend/protocol.h"

namespace caisson::guest {

/// Host and agent are built together; a guest of another version is refused.
constexpr int kVersion = 3;

/// The name of the agent's virtio-serial port, in /sys/class/virtio-ports.
constexpr const char* kPort = "caisson.agent";

// Where things are in a guest.
constexpr const char* kEmpty = "/tmp";                ///< where nothing is
constexpr const char* kBase = "/run/caisson/base";    ///< the image, read-only
constexpr const char* kBox = "/run/caisson/box";      ///< what the box writes
constexpr const char* kOld = "/run/caisson/old";      ///< what the box had written earlier
constexpr const char* kShare = "/run/caisson/share";  ///< of the host
// Serial numbers of its disks, /sys/block/*/serial; the tag of the shared file system.
constexpr const char* kBaseDisk = "base";
constexpr const char* kBoxDisk = "box";
constexpr const char* kOldDisk = "old";
constexpr const char* kShareTag = "share";

/// Streams of a process: what it reads, what it writes. A terminal and a socket have kIn and kOut.
enum class Part : std::uint32_t { kIn = 0, kOut = 1, kErr = 2 };
constexpr std::uint32_t stream_of(backend::ProcessId id, Part part) {
  return id * 4 + static_cast<std::uint32_t>(part);
}
constexpr backend::ProcessId kMostProcesses = UINT32_MAX / 4;

struct WindowSize {
  std::uint16_t rows = 0, columns = 0;
  friend bool operator==(const WindowSize&, const WindowSize&) = default;
};

// Host → guest.
/// What a machine that was made or restored does not know. Comes before all else.
struct Wake {
  std::int64_t time_ns = 0;          ///< since the Unix epoch
  std::string seed;                  ///< for its random number generator
  std::string hostname, machine_id;  ///< of the box; machine-id(5)
  bool resumed = false;              ///< it is a copy of one that had a box, and was frozen
};
/// Mounts what there is and builds the sandbox; the paths are the guest's. Answered by Started.
struct Start {
  backend::StartRequest box;
  bool base = false, share = false;  ///< that there are
  std::vector<std::string> views;    ///< paths to be shown from `views/` of the share
};
/// Instead of Start: mounts what there is and compares what the box has now (`lowers` and `box`)
/// with what it had (the lowest of them and `old`). The difference comes as kOut of the main
/// process (image/changes.h), as the tar of an OCI layer with `layer`. Answered by Started when all
/// of it was sent.
struct Compare {
  bool base = false, box = false, old = false, share = false;  ///< that there are
  std::vector<std::string> lowers;  ///< trees of the guest, topmost first
  std::uint32_t old_lowers = 0;     ///< so many of the lowest
  bool layer = false;
};
struct Spawn {
  backend::ProcessId id = 0;
  backend::ProcessSpec spec;
  WindowSize window;  ///< with a terminal
};
struct ServeFiles {
  backend::ProcessId id = 0;
};
struct Signal {
  backend::ProcessId id = 0;
  int number = 0;
  bool group = false;
};
struct Resize {
  backend::ProcessId id = 0;
  WindowSize window;
};
struct AskFigures {};
/// The box's processes stand still, the disks have what they wrote, and nothing is sent after the
/// answer, Frozen, until Thaw, or Wake in a copy.
struct Freeze {
  std::uint32_t number = 0;
};
struct Thaw {};
struct End {
  bool force = false;
};
struct PowerOff {};
using ToGuest = std::variant<Wake, Start, Compare, Spawn, ServeFiles, Signal, Resize, AskFigures,
                             Freeze, Thaw, End, PowerOff>;

// Guest → host.
struct Hello {
  std::string kernel;  ///< uname(2)'s release
};
/// A process that goes on, and which of its streams do.
struct Running {
  backend::ProcessId id = 0;
  bool in = false, out = false, err = false;
  friend bool operator==(const Running&, const Running&) = default;
};
struct Awake {
  std::vector<Running> processes;  ///< of a resumed machine
};
struct Frozen {
  std::uint32_t number = 0;  ///< of the Freeze that it answers
};
struct Started {
  std::optional<Error> error;
  backend::Started started;
};
struct Figures {
  Usage usage;
  std::uint64_t oom_kills = 0, pid_limit_hits = 0;
  std::optional<std::uint64_t> disk_bytes;
};
struct Event {
  backend::ProcessEvent event;
  std::uint64_t oom_kills = 0, pid_limit_hits = 0;
};
/// No process of the box is left.
struct Gone {
  Figures figures;
};
using FromGuest = std::variant<Hello, Awake, Started, Figures, Frozen, Event, Gone>;

std::string encode(const ToGuest& message);
Result<ToGuest> decode_to_guest(std::string_view payload);
std::string encode(const FromGuest& message);
Result<FromGuest> decode_from_guest(std::string_view payload);

}  // namespace caisson::guest
