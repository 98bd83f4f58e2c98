#!/usr/bin/env python3
"""Puts what `godwit bench --json` printed into a page, between the lines <!-- figures --> and <!-- end of figures -->: table.py BENCH.json PAGE.md DATE"""
import json
import sys

BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def target_text(target):
    if target is None:
        return ""
    amount = f"{100 * target['value']:.0f} %" if target["of"] == "share" else f"{target['value']:g}"
    return f"{'≥' if target['sense'] == 'at_least' else '≤'} {amount}, {'met' if target['met'] else 'not met'}"


def tables(document, date):
    lines = [f"{date}, {document['device']}, godwit {document['version']}.", "",
             "| bench | job | measured | ceiling | share | target | |", "|---|---|---:|---:|---:|---|---|"]
    for bench in document["benches"]:
        for row in bench["rows"]:
            share = f"{100 * row['share']:.1f} %" if "share" in row else ""
            ceiling = number(row["ceiling"]) if "ceiling" in row else ""
            lines.append(f"| {bench['name']} | {row['job']} | {number(row['value'])} {row['unit']} | {ceiling} | {share} | {target_text(row.get('target'))} "
                         f"| {row.get('note', '')} |")
    notes = [note for bench in document["benches"] for note in bench.get("notes", []) if bench["rows"]]
    return "\n".join(lines + [""] + [" ".join(notes), ""])


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    with open(sys.argv[1]) as file:
        document = json.load(file)
    with open(sys.argv[2]) as file:
        page = file.read()
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        sys.exit(f"table.py: {sys.argv[2]} must have the lines {BEGIN.strip()} and {END.strip()} once each")
    before, rest = page.split(BEGIN)
    with open(sys.argv[2], "w") as file:
        file.write(before + BEGIN + tables(document, sys.argv[3]) + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
