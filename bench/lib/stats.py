"""Numbers of runs, and tables of them. A row is a dict: what was measured (keys of its own), "peer", "unit", "values"."""
import statistics

COLUMNS = ("runs", "median", "p99", "min", "max")


def quantile(values, q):
    v = sorted(values)
    return v[min(len(v) - 1, int(q * len(v)))]


def summary(values):
    """With fewer than 100 runs the 99th percentile is the largest value: it is shown all the same, as the tail."""
    return {"runs": len(values), "median": statistics.median(values), "p99": quantile(values, 0.99), "min": min(values),
            "max": max(values)}


def ms(values_ns):
    return [round(v / 1e6, 4) for v in values_ns]


def finish(rows, group, floor, reprise):
    """Adds to each row its summary and, within rows of the same <group> keys, the ratios of its median to those of the peers
    <floor> and <reprise> (None where the group has none)."""
    medians = {}
    for r in rows:
        r["summary"] = summary(r["values"])
        medians[tuple(r.get(k) for k in group), r["peer"]] = r["summary"]["median"]
    for r in rows:
        at = tuple(r.get(k) for k in group)
        for name, peer in (("x_floor", floor), ("x_reprise", reprise)):
            base = medians.get((at, peer))
            r[name] = r["summary"]["median"] / base if base else None
    return rows


def number(value):
    """Short and without false precision: three digits that count, or the whole number."""
    if value is None:
        return "-"
    if value == int(value) and abs(value) < 10000:
        return str(int(value))
    for limit, digits in ((0.1, 4), (1, 3), (10, 2), (100, 1)):
        if abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"


def grid(titles, lines):
    """Text columns: the first to the left, numbers to the right."""
    lines = [[str(c) for c in line] for line in lines]
    widths = [max(len(str(line[i])) for line in [titles, *lines]) for i in range(len(titles))]
    out = []
    for line in [titles, *lines]:
        out.append("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip())
    return "\n".join(out)
