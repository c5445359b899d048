"""The tables of each benchmark, once for the terminal and for the document."""
from collections import namedtuple

from . import stats

Table = namedtuple("Table", "title head lines")  # head[0] is the unit
PHASES = ("noticed", "all dead", "first start", "last start")
PARTS = ("agent", "shim", "runtime, helpers", "containers' cgroup", "total", "kernel")
CALLS = ("fsync", "fdatasync", "sync_file_range", "syncfs")
_HEAD = (*stats.COLUMNS, "x floor", "x reprise")
HOWS = {"idle": "after idleness", "tight": "back to back"}


def plural(n, what):
    return f"{n} {what}{'s' * (n != 1)}"


def _names(results):
    return {p["id"]: p["name"] for p in results["peers"]}


def _cells(row):
    return [stats.number(row["summary"][c]) for c in stats.COLUMNS] + [stats.number(row["x_floor"]), stats.number(row["x_reprise"])]


def _share(value):
    return "-" if value is None else f"{100 * value:.0f} %"


def _kib(value):
    return "-" if value is None else f"{value / 1024:.0f}"


def _median(summary):
    return stats.number(summary["median"]) if summary else "-"


def sizes(results, how):
    return sorted({r["containers"] for r in results["rows"] if r["how"] == how})


def restart(results, how, containers):
    rows = [r for r in results["rows"] if r["containers"] == containers and r["how"] == how]
    return Table(f"{plural(containers, 'container')}, {HOWS[how]}", ["ms", *_HEAD], [
        [_names(results)[r["peer"]], *_cells(r)] for r in rows])


def phases(results):
    rows = [r for r in results["rows"] if r["how"] == "idle" and r["peer"].startswith("reprise")]
    return Table("reprise, after the trigger's exit, medians", ["ms", *PHASES], [
        [f"{_names(results)[r['peer']]}, {plural(r['containers'], 'container')}", *[_median(r["phases"].get(p)) for p in PHASES]]
        for r in rows])


def cri(results):
    """Medians by the number of containers."""
    numbers = sizes(results, "idle")
    rows = {}
    for r in results["rows"]:
        rows.setdefault(r["peer"], {})[r["containers"]] = r
    return Table("medians, after idleness", ["ms", *[plural(n, "container") for n in numbers], "of 3: x reprise"], [
        [_names(results)[peer], *[_median(mine.get(n, {}).get("summary")) for n in numbers], stats.number(mine.get(3, {}).get("x_reprise"))]
        for peer, mine in rows.items()])


def learnt(results):
    return Table("from the exit to the decision", ["ms", *stats.COLUMNS], [
        [r["name"], *[stats.number(r["summary"][c]) for c in stats.COLUMNS]] for r in results.get("learnt", {"rows": []})["rows"]])


def beside(results):
    return Table("reprise, ML worker, beside other Pods", ["ms", *stats.COLUMNS], [
        [f"{plural(r['others'], 'other Pod')}", *[stats.number(r["summary"][c]) for c in stats.COLUMNS]] for r in results["beside"]])


def tasks(results):
    return Table("clean tasks", ["tasks/s", "Pods at a time", *_HEAD], [
        [_names(results)[r["peer"]], r["pods"], *_cells(r)] for r in results["rows"]])


def many(results):
    return Table("until the last Pod runs", ["ms", "Pods", *_HEAD, "cores busy", "agent, of a core", "median of a Pod"], [
        [_names(results)[r["peer"]], r["pods"], *_cells(r), _share(r["busy"]), _share(r["agent"] or None), _median(r["of_pods"])]
        for r in results["rows"]])


def cpu(results):
    return Table("CPU time of one restart of the ML worker", ["ms", "runs", *PARTS], [
        [_names(results)[r["peer"]], r["runs"], *[stats.number(r["cpu_ms"].get(p)) for p in PARTS]] for r in results["rows"]])


def writes(results):
    def calls(row, who):
        return stats.number(sum(row["fsyncs"][who].get(c, 0) for c in CALLS))

    head = ["", "bytes to disk", "bytes written in all", "agent's fsyncs", "shim's fsyncs"]
    return Table("reprise, one restart of the ML worker", head, [
        [_names(results)[r["peer"]], round(r["io"]["write_bytes"]), round(r["io"]["wchar"]), calls(r, "agent"), calls(r, "shim")]
        for r in results["rows"] if "fsyncs" in r])


_MEMORY = {"shim, private": "shim_private", "prepared processes, private": "prepared_private",
           "prepared containers' cgroups": "prepared_cgroup", "their kernel memory": "prepared_cgroup_kernel",
           "all cgroups of the Pod": "cgroup", "its kernel memory": "cgroup_kernel"}


def memory(results):
    return Table("reprise, one ML worker, idle", ["KiB", "prepared containers", *_MEMORY], [
        [_names(results)[r["peer"]], r["memory"]["prepared"], *[_kib(r["memory"][k]) for k in _MEMORY.values()]]
        for r in results["rows"] if "memory" in r])


def helpers(results):
    return Table("processes that stay for one ML worker", ["", "private KiB", "which"], [
        [_names(results)[r["peer"]], _kib(sum(p for _, p in r["helpers"].values())),
         ", ".join(f"{n} {name}" for name, (n, _) in sorted(r["helpers"].items())) or "none"] for r in results["rows"]])


def agents(results):
    head = ["Pods of three", "RSS, KiB", "private, KiB", "private of a shim, KiB", "prepared containers"]
    return Table("the agent by the number of its Pods", head, [
        [a["pods"], _kib(a["rss"]), _kib(a["private"]), _kib(a["shim_private"]), a["prepared"]] for a in results["agents"]])


_PARTS = {"heap": "heap", "other memory": "other_anonymous", "libraries' and program's data": "program_data", "stack": "stack",
          "unshared code": "file_clean"}


def density(results):
    head = ["Pods", "agent: RSS, KiB", "PSS", "private", "shim: RSS, KiB", "PSS", "private", "most private", "idle CPU of a core: agent", "shims"]
    return Table("", head, [
        [r["pods"], *[_kib(r[who][k]) for who in ("agent", "shim") for k in ("rss", "pss", "private")], _kib(r["shim_private_max"]),
         *[f"{100 * r[k]:.3f} %" for k in ("agent_cpu", "shims_cpu")]] for r in results["rows"]])


def density_parts(results):
    return Table("where private memory lies", ["KiB", *_PARTS], [
        [f"{who}, {plural(r['pods'], 'Pod')}", *[_kib(r[who][k]) for k in _PARTS.values()]] for who in ("agent", "shim") for r in results["rows"]])


def density_targets(results):
    return Table("targets", ["", "wanted", "measured", "met"], [
        [t["what"], t["wanted"], t["value"], "yes" if t["met"] else "**no**"] for t in results["targets"]])


def _all(results):
    if results["benchmark"] == "restart":
        yield from (restart(results, how, n) for how in HOWS for n in sizes(results, how))
    makers = {"restart": (phases, learnt, beside), "tasks": (tasks,), "many": (many,), "cost": (cpu, writes, memory, helpers, agents),
              "density": (density, density_parts, density_targets)}
    yield from (table for make in makers[results["benchmark"]] if (table := make(results)).lines)


def text(results):
    """All tables of one benchmark, for a terminal."""
    return "\n\n".join(t.title + "\n" + stats.grid(t.head, t.lines) for t in _all(results)) + "\n"


def markdown(table):
    """The title goes into the first column's head, since a heading over each table would be too loud."""
    first = ", ".join(p for p in (table.title, table.head[0]) if p)
    return markdown_rows([first, *table.head[1:]], table.lines)


def markdown_rows(head, lines, align="---:"):
    """The first column to the left, the others to the right."""
    rows = ["| " + " | ".join(str(c) for c in line) + " |" for line in [head, *lines]]
    return "\n".join([rows[0], "|" + "|".join("---" if i == 0 else align for i in range(len(head))) + "|", *rows[1:]])
