"""Draws a dashboard from what its queries found, as near to Grafana as a page without it comes: a stand-in, to look at it where no Grafana is to be had."""

import math
from datetime import datetime, timezone
from html import escape

WIDTH, UNIT = 1560, 36
PALETTE = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0"]
NAMED = {"green": "#56a64b", "yellow": "#e0b400", "red": "#e02f44", "orange": "#ff780a", "text": "#ccccdc"}
STYLE = """body{background:#111217;color:#ccccdc;font:13px sans-serif;margin:0}h1{font-size:17px;padding:10px 14px;margin:0}h1 small{color:#f2cc0c;font-weight:normal}
.panel{position:absolute;background:#181b1f;border:1px solid #2c3235;box-sizing:border-box;overflow:hidden;padding:4px 8px}.row{position:absolute;font-weight:bold;padding:8px}
.title{font-weight:bold;font-size:12px;padding-bottom:4px}table{border-collapse:collapse;width:100%;font-size:12px}td,th{border-bottom:1px solid #2c3235;text-align:left;padding:2px 6px}
.big{display:flex;align-items:center;justify-content:center;font-size:34px;height:86px;color:#fff}.legend span{margin-right:12px;font-size:11px}"""


def shown(value, unit):
    """A number as Grafana writes it."""
    if unit in ("s", "dateTimeFromNow"):
        seconds = value if unit == "s" else value / 1000 - datetime.now(timezone.utc).timestamp()
        for size, name in ((86400, "days"), (3600, "hours"), (60, "mins")):
            if abs(seconds) >= size:
                return ("in " if unit != "s" else "") + f"{seconds / size:.3g} {name}"
        return f"{seconds:.3g} s"
    if unit in ("decbytes", "Bps"):
        for size, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}{'/s' if unit == 'Bps' else ''}"
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    if unit == "short" and abs(value) >= 1000:
        return f"{value / 1e6:.3g} Mil" if value >= 1e6 else f"{value / 1e3:.3g} K"
    return f"{value:.6g}"


def colour(value, settings):
    for mapping in settings.get("mappings", []):
        if str(int(value)) in mapping["options"]:
            return NAMED[mapping["options"][str(int(value))]["color"]]
    chosen = "text"
    for step in settings.get("thresholds", {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            chosen = step["color"]
    return NAMED[chosen]


def text(value, settings):
    for mapping in settings.get("mappings", []):
        if str(int(value)) in mapping["options"]:
            return mapping["options"][str(int(value))]["text"]
    return shown(value, settings.get("unit", "short"))


def legend(target, labels):
    name = target.get("legendFormat", "")
    for label, value in labels.items():
        name = name.replace("{{" + label + "}}", value)
    return name


def lines(panel, series, start, end, width, height):
    """Curves, and what they are called."""
    everything = [float(value) for _, points in series for _, value in points] or [0]
    custom = panel["fieldConfig"]["defaults"]["custom"]
    log = custom.get("scaleDistribution", {}).get("type") == "log" and min(everything) > 0
    scale, back = (math.log10, lambda it: 10**it) if log else (float, float)
    top, bottom = scale(max(everything) * 1.05 or 1), scale(min(everything)) if log else 0
    left, high = 64, height - 60
    x = lambda at: left + (at - start) / (end - start) * (width - left - 10)
    y = lambda value: high - (scale(value) - bottom) / (top - bottom) * (high - 8)
    unit, step = panel["fieldConfig"]["defaults"].get("unit", "short"), custom["lineInterpolation"] == "stepAfter"
    out = [f'<svg width="{width}" height="{high + 16}">']
    for share in (0, 0.25, 0.5, 0.75, 1):
        value = back(bottom + (top - bottom) * share)
        out.append(f'<line x1="{left}" x2="{width - 10}" y1="{y(value):.0f}" y2="{y(value):.0f}" stroke="#2c3235"/><text x="{left - 4}" y="{y(value) + 4:.0f}" fill="#999" font-size="10" text-anchor="end">{shown(value, unit)}</text>')
    out += [day(at, x(at), high + 12) for at in ticks(start, end)]
    for number, (_, points) in enumerate(series):
        path, last = [], None
        for at, value in points:
            if last is not None and step:
                path.append(f"{x(at):.1f},{last:.1f}")
            last = y(float(value))
            path.append(f"{x(at):.1f},{last:.1f}")
        out.append(f'<polyline points="{" ".join(path)}" fill="none" stroke="{PALETTE[number % len(PALETTE)]}" stroke-width="1.3"/>')
    names = "".join(f'<span><b style="color:{PALETTE[number % len(PALETTE)]}">&mdash;</b> {escape(name)} {shown(float(points[-1][1]), unit)}</span>' for number, (name, points) in enumerate(series))
    return "".join(out) + f'</svg><div class="legend">{names}</div>'


def ticks(start, end):
    return [start + (end - start) * share / 6 for share in range(1, 6)]


def day(at, x, y):
    return f'<text x="{x:.0f}" y="{y}" fill="#999" font-size="10" text-anchor="middle">{datetime.fromtimestamp(at, timezone.utc):%m-%d}</text>'


def timeline(panel, series, start, end, width, height):
    settings, left = panel["fieldConfig"]["defaults"], 130
    each = (height - 70) / max(len(series), 1)
    x = lambda at: left + (at - start) / (end - start) * (width - left - 10)
    out = [f'<svg width="{width}" height="{height - 50}">']
    for number, (name, points) in enumerate(series):
        out.append(f'<text x="{left - 6}" y="{number * each + each / 2 + 4:.0f}" fill="#ccc" font-size="11" text-anchor="end">{escape(name)}</text>')
        for (at, value), (then, _) in zip(points, [*points[1:], (end, None)]):
            out.append(f'<rect x="{x(at):.1f}" width="{x(then) - x(at) + 0.5:.1f}" y="{number * each + each * 0.1:.0f}" height="{each * 0.8:.0f}" fill="{colour(float(value), settings)}"/>')
    out += [day(at, x(at), height - 54) for at in ticks(start, end)]
    names = "".join(f'<span><b style="color:{NAMED[it["color"]]}">&#9632;</b> {it["text"]}</span>' for it in settings["mappings"][0]["options"].values())
    return "".join(out) + f'</svg><div class="legend">{names}</div>'


def table(panel, answers):
    """Rows that have the same labels are one, as `merge` makes them, in the order and with the names of `organize`."""
    shape = next(it["options"] for it in panel["transformations"] if it["id"] == "organize")
    rows = {}
    for target, series in answers:
        value = "Value" if len(answers) == 1 else f"Value #{target['refId']}"
        for labels, number in series:
            rows.setdefault(tuple(sorted(labels.items())), dict(labels))[value] = number
    columns = {column for row in rows.values() for column in row} - set(shape["excludeByName"])
    columns = sorted(columns, key=lambda it: shape["indexByName"].get(it, 99))
    settings = {it["matcher"]["options"]: {entry["id"]: entry["value"] for entry in it["properties"]} for it in panel["fieldConfig"]["overrides"]}
    name = lambda column: shape["renameByName"].get(column, column)
    ordered = list(rows.values())
    for order in reversed(panel["options"].get("sortBy", [])):
        key = next((column for column in columns if name(column) == order["displayName"]), None)
        ordered.sort(key=lambda row: float(row.get(key, 0)), reverse=order["desc"])
    out = ["<table><tr>", *(f"<th>{escape(name(column))}</th>" for column in columns), "</tr>"]
    for row in ordered:
        out.append("<tr>")
        for column in columns:
            held, set_for = row.get(column, ""), settings.get(name(column), {})
            if column.startswith("Value") and held != "":
                tint = colour(float(held), set_for) if "custom.cellOptions" in set_for else NAMED["text"]
                out.append(f'<td style="color:{tint}">{escape(text(float(held), set_for))}</td>')
            else:
                mapped = next((it["options"][held] for it in set_for.get("mappings", []) if held in it["options"]), None)
                out.append(f'<td style="color:{NAMED[mapped["color"]] if mapped else NAMED["text"]}">{escape(str(held))}</td>')
        out.append("</tr>")
    return "".join(out) + "</table>"


def bars(panel, series):
    settings, out = panel["fieldConfig"]["defaults"], []
    for name, value in series:
        tint = colour(value, settings)
        out.append(f'<div style="padding:6px 0">{escape(name)}<div style="background:#2c3235;width:80%;display:inline-block;margin:0 8px"><div style="background:{tint};height:18px;width:{min(value, 1) * 100:.0f}%"></div></div>'
                   f'<b style="color:{tint}">{shown(value, settings["unit"])}</b></div>')
    return "".join(out)


def html(dashboard, found, start, end):
    """A page with all panels. `found` has the answer to each query, by the panel's number and the query's letter."""
    out, bottom = [], 0
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        left, top = place["x"] * WIDTH / 24, place["y"] * UNIT + 44
        width, height = place["w"] * WIDTH / 24 - 8, place["h"] * UNIT - 8
        bottom = max(bottom, top + height)
        box = f'style="left:{left:.0f}px;top:{top:.0f}px;width:{width:.0f}px;height:{height:.0f}px"'
        if panel["type"] == "row":
            out.append(f'<div class="row" {box}>&#9662; {escape(panel["title"])}</div>')
            continue
        kind, settings = panel["type"], panel["fieldConfig"]["defaults"]
        series = [(legend(target, one["metric"]), one) for target in panel["targets"] for one in found[panel["id"], target["refId"]]]
        if kind == "stat":
            value = float(series[0][1]["value"][1]) if series else None
            body = f'<div class="big" style="background:{colour(value, settings)}">{shown(value, settings["unit"])}</div>' if series else settings["noValue"]
        elif kind == "table":
            body = table(panel, [(target, [(one["metric"], one["value"][1]) for one in found[panel["id"], target["refId"]]]) for target in panel["targets"]])
        elif kind == "bargauge":
            body = bars(panel, [(name, float(one["value"][1])) for name, one in series])
        else:
            draw = timeline if kind == "state-timeline" else lines
            body = draw(panel, [(name, one["values"]) for name, one in series], start, end, width - 18, height - 20)
        out.append(f'<div class="panel" {box}><div class="title">{escape(panel["title"])}</div>{body}</div>')
    note = "not Grafana: a stand-in that lays out what the queries of the dashboard found"
    return f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style><body style="height:{bottom:.0f}px"><h1>{escape(dashboard["title"])} <small>{note}</small></h1>{"".join(out)}'
