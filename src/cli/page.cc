#include "cli/page.h"

#include <fmt/format.h>

#include "cli/curve.h"

namespace godwit::cli {

namespace {

constexpr std::string_view style = R"(
:root { color-scheme: light dark; --ground: #fbfbf9; --card: #fff; --text: #1c1c1a; --soft: #63635e; --grid: #dcdcd6;
        --series-0: #1f66b5; --series-1: #c2541b; --series-2: #2f7d4f; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #161615; --card: #1f1f1d; --text: #ebebe6; --soft: #a3a39b; --grid: #3a3a36;
          --series-0: #74aef2; --series-1: #f09a63; --series-2: #74c796; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1200px; padding: 16px; background: var(--ground); color: var(--text);
       font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5em; margin: 0 0 8px; overflow-wrap: anywhere; } h2 { font-size: 1.15em; margin: 28px 0 8px; } h3 { font-size: 1em; margin: 0; }
p { margin: 6px 0; } .soft { color: var(--soft); } code, pre { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; margin: 8px 0; } dd pre { margin: 2px 0; } details { margin: 8px 0; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); gap: 12px; }
figure, details, .card { margin: 0; padding: 12px; background: var(--card); border: 1px solid var(--grid); border-radius: 8px; }
.card { margin: 8px 0; } figcaption { min-height: 3.2em; } .key { margin-right: 12px; color: var(--soft); display: inline-block; }
.key b { color: var(--text); } .key i { display: inline-block; width: 10px; height: 10px; border-radius: 5px; margin-right: 5px; }
svg { display: block; width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--text); }
svg path.grid { stroke: var(--grid); fill: none; } polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.wide { overflow-x: auto; } table { border-collapse: collapse; } th, td { text-align: left; padding: 3px 14px 3px 0; vertical-align: top; }
th { color: var(--soft); font-weight: 500; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 0; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; }
)";

}  // namespace

std::string html_page(std::string_view title, std::string_view body) {
  const std::string name = escape_html(title);
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\"/>\n<title>{} · godwit</title>\n<style>{}</style>\n</head>\n<body>\n<h1>{}</h1>\n{}</body>\n</html>\n",
      name, style, name, body);
}

}  // namespace godwit::cli
