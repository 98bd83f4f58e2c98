#include "guard/trust_database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"

namespace godwit::guard {

namespace {

constexpr int busy_ms = 10'000;  // another process holds it for the time of one note
constexpr int shape = 1;         // PRAGMA user_version
constexpr std::array known = {Known::qualified,   Known::qualified_short, Known::refused,   Known::finding,
                              Known::quarantined, Known::complaint,       Known::moved_away};

struct Close {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Connection = std::unique_ptr<sqlite3, Close>;
using Statement = std::unique_ptr<sqlite3_stmt, Close>;

// What the world may do to a database that is whole; our statements are right, so whatever else fails is the file's fault.
bool is_of_the_world(int code) {
  constexpr std::array<int, 9> kinds = {SQLITE_PERM,  SQLITE_BUSY, SQLITE_LOCKED,   SQLITE_NOMEM,   SQLITE_READONLY,
                                        SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN, SQLITE_PROTOCOL};
  return code != SQLITE_IOERR_SHORT_READ && std::ranges::count(kinds, code & 0xff) > 0;
}

Error failure(sqlite3* database, int code, const std::filesystem::path& file, std::string_view what) {
  return Error{is_of_the_world(code) ? ErrorKind::world : ErrorKind::differs,
               fmt::format("{}: {}: {}", file.string(), what, database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code))};
}

Error damage(const std::filesystem::path& file, std::string_view what) {
  return differs_error("{}: {}", file.string(), what);
}

class Database {
 public:
  static Result<Database> open(const std::filesystem::path& file, bool make) {
    Database opened(file);
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READWRITE | (make ? SQLITE_OPEN_CREATE : 0), nullptr);
    opened.connection_.reset(raw);
    if (code != SQLITE_OK) return failure(raw, code, file, "opening it");
    sqlite3_busy_timeout(raw, busy_ms);
    return opened;
  }

  Result<void> execute(const char* sql) const {
    const int code = sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return failure(connection_.get(), code, file_, sql);
    return {};
  }
  Result<Statement> prepare(const char* sql) const {
    sqlite3_stmt* raw = nullptr;
    const int code = sqlite3_prepare_v2(connection_.get(), sql, -1, &raw, nullptr);
    if (code != SQLITE_OK) return failure(connection_.get(), code, file_, sql);
    return Statement(raw);
  }
  // Whether there is a row.
  Result<bool> step(const Statement& statement) const {
    const int code = sqlite3_step(statement.get());
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return failure(connection_.get(), code, file_, sqlite3_sql(statement.get()));
  }
  Result<std::string> one(const char* sql) const {
    TRY_ASSIGN(const Statement statement, prepare(sql));
    TRY_ASSIGN(const bool row, step(statement));
    return row ? text(statement, 0) : std::string();
  }
  static std::string text(const Statement& statement, int column) {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), column));
    return bytes == nullptr ? std::string() : std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement.get(), column)));
  }
  [[nodiscard]] const std::filesystem::path& file() const { return file_; }

 private:
  explicit Database(std::filesystem::path file) : file_(std::move(file)) {}
  std::filesystem::path file_;
  Connection connection_;
};

// A note as the file holds it: one line of JSON, and the SHA-256 of that and of the hash before.
std::string write_note(const TrustNote& note) {
  const DeviceIdentity& device = note.device;
  return write_json(Json{{"what", known_name(note.what)},
                         {"backend", device.backend},
                         {"number", device.number},
                         {"name", device.name},
                         {"driver", device.driver},
                         {"library", device.library},
                         {"isa", device.isa},
                         {"program", note.program},
                         {"at", note.at},
                         {"seconds", note.seconds},
                         {"source", note.source},
                         {"text", note.text}});
}

std::optional<TrustNote> read_note(const std::string& line) {
  const Result<Json> json = parse_json(line, "a note");
  if (!json.ok() || !json->is_object()) return std::nullopt;
  const auto text = [&](const char* key) -> std::string {
    const Json* found = json->find(key);
    return found != nullptr && found->is_string() ? found->string() : std::string();
  };
  const auto number = [&](const char* key) {
    const Json* found = json->find(key);
    return found != nullptr && found->is_number() ? found->get<double>() : 0.0;
  };
  TrustNote note;
  bool is_known = false;
  for (const Known each : known) {
    if (known_name(each) != text("what")) continue;
    note.what = each;
    is_known = true;
  }
  if (!is_known) return std::nullopt;
  note.device = {text("backend"), static_cast<int>(number("number")), text("name"), text("driver"), text("library"), text("isa")};
  note.program = text("program");
  note.at = static_cast<std::int64_t>(number("at"));
  note.seconds = number("seconds");
  note.source = text("source");
  note.text = text("text");
  return note;
}

std::string chained(const std::string& before, const std::string& line) {
  return hex(sha256(as_bytes(before + "\n" + line)));
}

struct Content {
  std::vector<TrustNote> notes;
  std::string last_hash;
};

Result<Content> read_all(const Database& database) {
  TRY_ASSIGN(const std::string found, database.one("PRAGMA user_version"));
  if (found == "0") return Content();  // just made
  if (found != std::to_string(shape)) return damage(database.file(), fmt::format("it is of shape {}, this program knows {}", found, shape));
  TRY_ASSIGN(const std::string check, database.one("PRAGMA quick_check(1)"));
  if (check != "ok") return damage(database.file(), check);
  Content content;
  TRY_ASSIGN(const Statement rows, database.prepare("SELECT note, hash FROM notes ORDER BY id"));
  while (true) {
    TRY_ASSIGN(const bool row, database.step(rows));
    if (!row) return content;
    const std::string line = Database::text(rows, 0);
    content.last_hash = chained(content.last_hash, line);
    std::optional<TrustNote> note = read_note(line);
    if (!note || Database::text(rows, 1) != content.last_hash) {
      return damage(database.file(), fmt::format("note {} is not what was written", content.notes.size() + 1));
    }
    content.notes.push_back(std::move(*note));
  }
}

}  // namespace

Result<std::vector<TrustNote>> read_trust(const std::filesystem::path& file) {
  if (!fs::exists(file)) return std::vector<TrustNote>();
  TRY_ASSIGN(const Database database, Database::open(file, false));
  TRY(database.execute("BEGIN"));
  TRY_ASSIGN(Content content, read_all(database));
  return std::move(content.notes);
}

Result<void> append_trust(const std::filesystem::path& file, const TrustNote& note) {
  TRY_ASSIGN(const Database database, Database::open(file, true));
  TRY(database.execute("BEGIN IMMEDIATE"));  // a connection that is closed without COMMIT has done nothing
  TRY_ASSIGN(const Content content, read_all(database));
  if (content.last_hash.empty()) {
    TRY(database.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, note TEXT NOT NULL, hash TEXT NOT NULL)"));
    TRY(database.execute(fmt::format("PRAGMA user_version = {}", shape).c_str()));
  }
  const std::string line = write_note(note);
  const std::string hash = chained(content.last_hash, line);
  TRY_ASSIGN(const Statement insert, database.prepare("INSERT INTO notes (note, hash) VALUES (?, ?)"));
  sqlite3_bind_text(insert.get(), 1, line.data(), static_cast<int>(line.size()), SQLITE_STATIC);
  sqlite3_bind_text(insert.get(), 2, hash.data(), static_cast<int>(hash.size()), SQLITE_STATIC);
  TRY_ASSIGN(const bool row, database.step(insert));
  CHECK(!row, "an insertion gives a row");
  return database.execute("COMMIT");
}

}  // namespace godwit::guard
