// How far a long command is, on standard error: a bar that redraws itself where that is a terminal, plain lines now and then where not.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace godwit::cli {

// Where a Progress writes; tests bring their own.
struct ProgressOutput {
  std::function<void(std::string_view)> write;
  std::function<double()> seconds;      // a clock
  std::function<int()> terminal_width;  // columns now; 0: not a terminal

  [[nodiscard]] static ProgressOutput standard_error();
};

// Not thread-safe. Lines of the log that come in between overwrite the bar and are themselves left alone; prefer `line`.
class Progress {
 public:
  // Quiet: writes nothing at all. Plain lines come at most every `line_seconds`.
  explicit Progress(bool quiet, double line_seconds = 10, ProgressOutput output = ProgressOutput::standard_error());
  // Takes the bar away, if one is drawn.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // The state now: `share` of the whole in 0 … 1, and what to say of it ("step 40/100  loss 2.314  0:12 left"). Cheap to call often: the
  // bar is drawn at most ten times a second.
  void update(double share, std::string_view text);
  // A line that stays.
  void line(std::string_view text);
  // The last state as a line that stays, if it was not written yet. The next update starts anew.
  void finish();

 private:
  void draw();
  void clear();

  bool quiet_;
  double line_seconds_;
  ProgressOutput output_;
  double share_ = 0;
  std::string text_;
  double next_ = 0;       // the clock at which to write again
  bool pending_ = false;  // the state has changed since it was last written as a line
  bool drawn_ = false;    // a bar is on the screen
};

// A bar of exactly `width` columns, cut or filled up with blanks: "[#####.....]  50 %  step 40/80". A column is a code point here.
[[nodiscard]] std::string bar_text(double share, std::string_view text, int width);

// "0:07", "12:34", "3:05:09"; "--:--" for what is no time.
[[nodiscard]] std::string duration_text(double seconds);

}  // namespace godwit::cli
