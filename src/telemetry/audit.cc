#include "telemetry/audit.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/scope_exit.h"
#include "base/sha256.h"
#include "spec/json.h"
#include "spec/json_reader.h"
#include "spec/state_json.h"

namespace caisson::telemetry {
namespace {

using nlohmann::json;

constexpr std::size_t kMostRecent = 1000;
constexpr std::size_t kLongestLine = 64 << 10, kLongestDetails = kLongestLine - 1024;
constexpr std::string_view kHashKey = R"(,"hash":")";
const std::string kFirst(64, '0');

std::string directory_of(const std::string& home) { return home + "/audit"; }

/// What the next entry follows. Kept in `audit/head` as "SEQ HASH SIZE\n".
struct Head {
  std::uint64_t seq = 0;
  std::string hash = kFirst;
  std::uint64_t size = 0;  ///< of the log
};

std::optional<Head> parse_head(std::string_view text) {
  Head head;
  const auto number = [&](std::uint64_t& into) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
    if (error != std::errc() || end == text.data() + text.size()) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
    return true;
  };
  if (!number(head.seq) || text.size() < 66) return std::nullopt;
  head.hash = text.substr(0, 64);
  text.remove_prefix(65);
  return number(head.size) ? std::optional(head) : std::nullopt;
}

/// The parts of a line that its hash is of, and the hash.
struct Line {
  std::string_view body, hash;
};
std::optional<Line> split(std::string_view line) {
  const std::size_t tail = kHashKey.size() + 64 + 2;
  if (line.size() <= tail || !line.ends_with("\"}")) return std::nullopt;
  const std::string_view end = line.substr(line.size() - tail);
  if (!end.starts_with(kHashKey)) return std::nullopt;
  return Line{line.substr(0, line.size() - tail), end.substr(kHashKey.size(), 64)};
}

Error unreadable(std::uint64_t line, std::string_view cause) {
  return make_error(Code::kDataLoss, "audit_unreadable",
                    format("read audit log: line {}: {}", line, cause));
}

/// An entry with its `prev`; by value because nlohmann's objects are.
struct Parsed {
  AuditEntry entry;
  std::string prev;
};
Result<Parsed> parse_entry(std::string_view text, std::uint64_t line) {
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return unreadable(line, "it is no JSON object");
  Parsed parsed;
  const auto take = [&](const char* key, auto& into) {
    const auto found = object.find(key);
    if (found == object.end()) return false;
    using T = std::remove_cvref_t<decltype(into)>;
    if constexpr (std::is_same_v<T, std::string>) {
      if (!found->is_string()) return false;
      into = found->template get<std::string>();
    } else {
      if (!found->is_number_integer()) return false;
      into = found->template get<T>();
    }
    return true;
  };
  if (!take("seq", parsed.entry.seq) || !take("time_ns", parsed.entry.time_ns) ||
      !take("event", parsed.entry.event) || !take("prev", parsed.prev))
    return unreadable(line, "it is no entry");
  take("box", parsed.entry.box_id);
  parsed.entry.json = text;
  return parsed;
}

/// The head as the log's own last line has it: after a crash between the two writes. What follows
/// the last complete line was never said to be there.
Result<Head> read_head_from(int log, std::uint64_t size) {
  Head head;
  const std::uint64_t begin = size - std::min<std::uint64_t>(size, 2 * kLongestLine);
  std::string tail(size - begin, '\0');
  const ssize_t n = ::pread(log, tail.data(), tail.size(), static_cast<off_t>(begin));
  if (n < 0) return sys_error("read", "audit log");
  tail.resize(static_cast<std::size_t>(n));
  const std::size_t end = tail.rfind('\n');
  if (end == tail.npos) return head;
  head.size = begin + end + 1;
  const std::size_t start = end == 0 ? tail.npos : tail.rfind('\n', end - 1);
  const std::string_view last(tail.data() + (start == tail.npos ? 0 : start + 1),
                              end - (start == tail.npos ? 0 : start + 1));
  const auto line = split(last);
  const Result<Parsed> parsed = parse_entry(last, 0);
  if (!line || !parsed) return unreadable(0, "the last one is no entry");
  head.seq = parsed->entry.seq;
  head.hash = line->hash;
  return head;
}

Result<Head> read_head(int log, int head_file) {
  struct stat st{};
  if (::fstat(log, &st) < 0) return sys_error("look at", "audit log");
  const auto size = static_cast<std::uint64_t>(st.st_size);
  char text[256];
  const ssize_t n = ::pread(head_file, text, sizeof text, 0);
  const auto head = parse_head({text, static_cast<std::size_t>(std::max<ssize_t>(n, 0))});
  if (head && head->size == size) return *head;
  Head found = TRY(read_head_from(log, size));
  // A writer that died left the log ahead of its head. The other way round entries are missing: the
  // chain goes on from those, so that it shows for ever.
  if (head && head->size > size) {
    found.seq = head->seq;
    found.hash = head->hash;
  }
  return found;
}

}  // namespace

json shown_exit(const ExitInfo& exit) {
  json details = {{"reason", std::string(to_string(exit.reason))},
                  {"duration_ns", exit.duration.count()}};
  if (exit.exit_code) details["exit_code"] = *exit.exit_code;
  if (exit.signal) details["signal"] = *exit.signal;
  return details;
}

json shown_text(const std::string& text) {
  constexpr std::size_t kMost = 4096;
  return spec::encode_text(text.size() > kMost ? text.substr(0, kMost) + "…" : text);
}

json shown_command(const std::vector<std::string>& argv) {
  constexpr std::size_t kMost = 8192;
  std::vector<std::string> shown;
  std::size_t size = 0;
  for (const std::string& word : argv) {
    if (size + word.size() > kMost) {
      shown.push_back(word.substr(0, kMost - size) + "…");
      break;
    }
    size += word.size() + 1;
    shown.push_back(word);
  }
  return spec::encode(shown);
}

Result<> AuditLog::open() {
  if (log_ && head_) return {};
  const std::string directory = directory_of(home_);
  if (::mkdir(directory.c_str(), 0700) < 0 && errno != EEXIST)
    return sys_error("create directory", directory);
  constexpr int kFlags = O_RDWR | O_CREAT | O_NOFOLLOW;
  log_ = TRY(open_fd(directory + "/audit.jsonl", kFlags | O_APPEND, 0600));
  head_ = TRY(open_fd(directory + "/head", kFlags, 0600));
  return {};
}

Result<> AuditLog::append(std::string_view event, std::string_view box, const json& details) {
  TRY(open());
  while (::flock(log_.get(), LOCK_EX) < 0)
    if (errno != EINTR) return sys_error("lock", "audit log");
  const ScopeExit unlock([this] { ::flock(log_.get(), LOCK_UN); });
  const Head before = TRY(read_head(log_.get(), head_.get()));
  struct stat st{};
  if (::fstat(log_.get(), &st) < 0) return sys_error("look at", "audit log");
  if (static_cast<std::uint64_t>(st.st_size) > before.size &&
      ::ftruncate(log_.get(), static_cast<off_t>(before.size)) < 0)
    return sys_error("mend", "audit log");
  AuditEntry& entry = recent_.back();
  entry.seq = before.seq + 1;
  std::string shown = details.dump(-1, ' ', false, json::error_handler_t::replace);
  if (shown.size() > kLongestDetails) shown = json{{"cut", shown.size()}}.dump();
  std::string line = format(
      R"({{"seq":{},"time":"{}","time_ns":{},"event":"{}","box":"{}","details":{},"prev":"{}")",
      entry.seq, spec::rfc3339(entry.time_ns), entry.time_ns, event, box, shown, before.hash);
  const std::string hash = sha256_hex(line);
  line.append(kHashKey).append(hash).append("\"}");
  entry.json = line;
  line += '\n';
  if (Result<> written = write_all(log_.get(), line, "audit log"); !written) {
    [[maybe_unused]] const int cut = ::ftruncate(log_.get(), static_cast<off_t>(before.size));
    return written;
  }
  const std::string head = format("{} {} {:<20}\n", entry.seq, hash, before.size + line.size());
  if (::pwrite(head_.get(), head.data(), head.size(), 0) < 0)
    return sys_error("write", "audit log's head");
  return {};
}

void AuditLog::add(std::string_view event, std::string_view box, const json& details) {
  const std::lock_guard lock(mutex_);
  if (recent_.size() >= kMostRecent) recent_.pop_front();
  recent_.push_back({0, wall_ns(), std::string(event), std::string(box), {}});
  if (Result<> appended = append(event, box, details); !appended) {
    last_failure_ = with_context(appended.error(), "write audit log");
    metrics_.add(Counter::kAuditFailures);
    log_.reset();
  }
}

std::deque<AuditEntry> AuditLog::recent() const {
  const std::lock_guard lock(mutex_);
  return recent_;
}

std::optional<Error> AuditLog::last_failure() const {
  const std::lock_guard lock(mutex_);
  return last_failure_;
}

AuditReader::AuditReader(const std::string& home) : path_(directory_of(home) + "/audit.jsonl") {}

Result<std::optional<AuditEntry>> AuditReader::next() {
  for (;;) {
    if (const std::size_t end = buffer_.find('\n'); end != buffer_.npos) {
      ++line_;
      Result<Parsed> parsed = parse_entry(std::string_view(buffer_).substr(0, end), line_);
      buffer_.erase(0, end + 1);
      if (!parsed) return parsed.error();
      return std::optional(std::move(parsed->entry));
    }
    if (buffer_.size() > 2 * kLongestLine) return unreadable(line_ + 1, "it does not end");
    if (!file_) {
      Result<Fd> opened = open_fd(path_, O_RDONLY | O_NOFOLLOW);
      if (!opened && opened.error().sys_errno == ENOENT) return std::optional<AuditEntry>();
      file_ = TRY(std::move(opened));
    }
    const std::size_t kept = buffer_.size();
    buffer_.resize(kept + kLongestLine);
    const ssize_t n =
        ::pread(file_.get(), buffer_.data() + kept, kLongestLine, static_cast<off_t>(offset_));
    buffer_.resize(kept + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n < 0) return sys_error("read", path_);
    if (n == 0) {
      // What is there of an incomplete line is looked at again: its writer may take it back.
      buffer_.clear();
      offset_ -= kept;
      return std::optional<AuditEntry>();
    }
    offset_ += static_cast<std::uint64_t>(n);
  }
}

Result<AuditCheck> verify_audit(const std::string& home) {
  AuditCheck check;
  std::string prev = kFirst, hash_at_head;
  // Read first: entries that come meanwhile are after it.
  const Result<std::string> text = read_file(directory_of(home) + "/head", 256);
  const auto head = text ? parse_head(*text) : std::nullopt;
  AuditReader reader(home);
  for (;;) {
    Result<std::optional<AuditEntry>> entry = reader.next();
    if (!entry) {
      check.problem = entry.error().message;
      return check;
    }
    if (!*entry) break;
    const auto line = split((*entry)->json);
    const auto wrong = [&](std::string_view cause) {
      check.problem = format("line {}: {}", reader.line(), cause);
      return check;
    };
    if (!line || sha256_hex(line->body) != line->hash) return wrong("it has been changed");
    if ((*entry)->seq != check.entries + 1) return wrong("entries before it are missing");
    if (TRY(parse_entry((*entry)->json, reader.line())).prev != prev)
      return wrong("it does not follow the one before");
    prev = line->hash;
    ++check.entries;
    if (head && check.entries == head->seq) hash_at_head = prev;
  }
  if (head && head->seq > check.entries)
    check.problem =
        format("line {}: entries up to {} are missing at the end", check.entries + 1, head->seq);
  else if (head && head->hash != hash_at_head)
    check.problem = format("line {}: it is not the entry that was last", head->seq);
  return check;
}

Result<std::uint64_t> last_entry(const std::string& home) {
  const std::string directory = directory_of(home);
  const Result<Fd> log = open_fd(directory + "/audit.jsonl", O_RDONLY | O_NOFOLLOW);
  const Result<Fd> head = open_fd(directory + "/head", O_RDONLY | O_NOFOLLOW);
  if (!log || !head) return 0;
  return TRY(read_head(log->get(), head->get())).seq;
}

}  // namespace caisson::telemetry
