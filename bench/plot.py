#!/usr/bin/env python3
"""Draws how much of its ceiling each job reaches: plot.py BENCH.json OUT.svg, where BENCH.json is what `godwit bench --json` printed.

A bar per row that has a ceiling, a tick where its target is. Plain SVG, no library.
"""
import json
import sys
from html import escape

LEFT, BAR, RIGHT, TOP, ROW, HEIGHT = 300, 420, 250, 56, 24, 14  # pixels
COLOURS = {True: "#2f7d4f", False: "#b5562b", None: "#5b6b7b"}  # target met, not met, none


def text(x, y, words, anchor="start", size=12, colour="#222"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def target_share(row):
    """Where the target lies between 0 and the ceiling."""
    target = row.get("target")
    if target is None or target["sense"] != "at_least":
        return None
    return target["value"] if target["of"] == "share" else target["value"] / row["ceiling"]


def draw(document):
    groups = [(bench["name"], [row for row in bench["rows"] if "share" in row]) for bench in document["benches"]]
    groups = [(name, rows) for name, rows in groups if rows]
    height = TOP + sum(ROW * (len(rows) + 1) for _, rows in groups) + 10
    parts = [text(10, 22, "Share of the ceiling each job reaches", size=15), text(10, 40, document["device"], size=11, colour="#666")]
    for percent in range(0, 101, 20):
        x = LEFT + BAR * percent / 100
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{height - 8}" stroke="#ddd"/>')
        parts.append(text(x, TOP - 8, f"{percent} %", "middle", 10, "#888"))
    y = TOP + 4
    for name, rows in groups:
        y += ROW
        parts.append(text(10, y - 8, name, size=13))
        for row in rows:
            met = row.get("target", {}).get("met")
            parts.append(text(LEFT - 10, y + HEIGHT - 3, row["job"], "end"))
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{BAR * min(row["share"], 1.1):.1f}" height="{HEIGHT}" fill="{COLOURS[met]}"/>')
            if (target := target_share(row)) is not None:
                x = LEFT + BAR * min(target, 1.1)
                parts.append(f'<line x1="{x:.1f}" y1="{y - 3}" x2="{x:.1f}" y2="{y + HEIGHT + 3}" stroke="#111" stroke-width="2"/>')
            parts.append(text(LEFT + BAR * 1.1 + 10, y + HEIGHT - 3, f'{100 * row["share"]:.1f} %   {row["value"]:,.4g} {row["unit"]}', colour="#444"))
            y += ROW
    width = LEFT + BAR + RIGHT
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">',
                      f'<rect width="{width}" height="{height}" fill="#fff"/>', *parts, "</svg>", ""])


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1]) as file:
        document = json.load(file)
    with open(sys.argv[2], "w") as file:
        file.write(draw(document))


if __name__ == "__main__":
    main()
