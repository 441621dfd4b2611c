#include "spec/auth_challenge.h"

#include <optional>
#include <utility>

#include "spec/text.h"

namespace caisson::spec {
namespace {

constexpr std::size_t kMostBytes = 16 << 10;
constexpr std::size_t kMostChallenges = 16;
constexpr std::size_t kMostParameters = 32;

bool is_token_char(char c) {
  return is_alnum(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

/// Takes words from the front. A method that takes nothing leaves the text as it was.
class Scanner final {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  bool at(char c) const { return rest_.starts_with(c); }
  bool skip_spaces() { return skip(" \t"); }
  /// A list may have empty elements (section 5.6.1).
  bool skip_separators() { return skip(" \t,"); }
  bool take(char c) {
    if (!at(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string token() {
    std::size_t length = 0;
    while (length < rest_.size() && is_token_char(rest_[length])) ++length;
    return take_front(length);
  }
  /// A quoted string; absent when it is none or has no end.
  std::optional<std::string> quoted() {
    std::string value;
    for (std::size_t i = 1; at('"') && i < rest_.size(); ++i) {
      if (rest_[i] == '"') {
        rest_.remove_prefix(i + 1);
        return value;
      }
      if (rest_[i] == '\\') ++i;
      if (i == rest_.size()) break;
      const char c = rest_[i];
      if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) break;
      value += c;
    }
    return std::nullopt;
  }
  std::string_view rest() const { return rest_; }

 private:
  bool skip(std::string_view characters) {
    const std::size_t length = std::min(rest_.find_first_not_of(characters), rest_.size());
    rest_.remove_prefix(length);
    return length > 0;
  }
  std::string take_front(std::size_t length) {
    std::string taken(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return taken;
  }
  std::string_view rest_;
};

/// NAME = VALUE. Absent, with nothing taken, when a new challenge begins here.
std::optional<std::pair<std::string, std::string>> parameter(Scanner& scanner) {
  Scanner ahead = scanner;
  std::string name = lower(ahead.token());
  ahead.skip_spaces();
  if (name.empty() || !ahead.take('=')) return std::nullopt;
  ahead.skip_spaces();
  std::optional<std::string> value = ahead.at('"') ? ahead.quoted() : ahead.token();
  if (!value) return std::nullopt;
  scanner = ahead;
  return std::pair(std::move(name), std::move(*value));
}

/// token68, as Negotiate and NTLM send it: of no use here, but another challenge may follow.
bool skip_token68(Scanner& scanner) {
  Scanner ahead = scanner;
  bool any = false;
  while (!ahead.done() && !ahead.at(',') && !ahead.at(' ') && !ahead.at('\t')) {
    const char c = ahead.rest().front();
    if (!is_alnum(c) && std::string_view("-._~+/=").find(c) == std::string_view::npos) return false;
    any = ahead.take(c);
  }
  ahead.skip_spaces();
  if (!any || !(ahead.done() || ahead.at(','))) return false;
  scanner = ahead;
  return true;
}

/// False when what follows the scheme makes no sense.
bool read_parameters(Scanner& scanner, Challenge& challenge) {
  while (!scanner.done()) {
    auto found = parameter(scanner);
    // Without '=' it is the next challenge, if a list's comma came before it.
    if (!found) return !scanner.at('"') && !scanner.at('=');
    if (challenge.parameters.size() < kMostParameters) challenge.parameters.insert(*found);
    scanner.skip_spaces();
    if (!scanner.done() && !scanner.at(',')) return false;
    scanner.skip_separators();
  }
  return true;
}

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view text) {
  std::vector<Challenge> challenges;
  Scanner scanner(text.substr(0, kMostBytes));
  scanner.skip_separators();
  while (!scanner.done() && challenges.size() < kMostChallenges) {
    Challenge challenge;
    challenge.scheme = lower(scanner.token());
    const bool ends = scanner.done() || scanner.at(',');
    if (challenge.scheme.empty() || (!ends && !scanner.skip_spaces())) break;
    bool good = true;
    if (!ends && !scanner.at(',') && !scanner.done()) {
      Scanner ahead = scanner;
      const bool parameters = parameter(ahead).has_value();
      good = parameters ? read_parameters(scanner, challenge) : skip_token68(scanner);
    }
    challenges.push_back(std::move(challenge));
    if (!good) break;
    scanner.skip_separators();
  }
  return challenges;
}

}  // namespace caisson::spec
