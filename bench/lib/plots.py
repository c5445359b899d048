"""The plots of docs/benchmarks.md, from results alone. SVG with text as text, so that a changed number is a small diff."""
import os

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: E402

from . import stats  # noqa: E402

plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "reprise", "font.family": "sans-serif",
                     "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"], "font.size": 11, "axes.titlesize": 12,
                     "axes.titleweight": "bold", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
                     "axes.axisbelow": True, "grid.color": "#e4e4e4", "figure.facecolor": "white", "legend.frameon": False})
COLORS = {"floor": "#4d4d4d", "floor-alone": "#c2a5cf", "spawn": "#9a9a9a", "reprise-gate": "#08519c", "reprise-plain": "#08519c", "reprise-create": "#4a90c8",
          "reprise-off": "#9cc4e4", "reprise-anew": "#6a51a3", "crun": "#e08214", "s6": "#3a9a4a", "podman-restart": "#b2182b",
          "podman-replace": "#d6604d", "podman-replace-noinit": "#f0a58f", "podman-down": "#8c2d04",
          "containerd": "#1b7837", "containerd-runc": "#5aae61", "containerd-2": "#a6dba0", "reprise-cri-create": "#01665e",
          "reprise-cri-off": "#5ab4ac"}
PARTS = {"agent": "#08519c", "shim": "#4a90c8", "runtime, helpers": "#e08214", "containers' cgroup": "#bdbdbd"}
PHASES = (("noticed", "#c7e0f4"), ("all dead", "#b2182b"), ("first start", "#4a90c8"), ("last start", "#08519c"))


class Plots:
    """<names>: of the peers by id."""

    def __init__(self, folder, names):
        self.folder, self.names = folder, names
        os.makedirs(folder, exist_ok=True)

    def _save(self, fig, name):
        fig.savefig(os.path.join(self.folder, name), bbox_inches="tight", metadata={"Date": None})
        plt.close(fig)

    @staticmethod
    def _plain(axis):
        """1, 10, 100 instead of powers."""
        axis.set_major_formatter(FuncFormatter(lambda v, _: stats.number(v)))
        axis.set_minor_formatter(NullFormatter())

    def bars(self, rows, name, title, unit, label=None):
        """A bar a row on a log scale: the median, a whisker from the least to the 99th percentile."""
        rows = sorted(rows, key=lambda r: r["summary"]["median"], reverse=unit == "ms")
        fig, ax = plt.subplots(figsize=(8.5, 0.42 * len(rows) + 1.1))
        for y, r in enumerate(rows):
            s = r["summary"]
            ax.barh(y, s["median"], color=COLORS.get(r["peer"], "#777777"), height=0.68)
            ax.plot([s["min"], s["p99"]], [y, y], color="#111111", linewidth=1.1)
            ax.annotate(stats.number(s["median"]), (max(s["p99"], s["median"]), y), xytext=(6, 0), textcoords="offset points",
                        va="center")
        ax.set_yticks(range(len(rows)), [label(r) if label else self.names[r["peer"]] for r in rows])
        ax.set_xscale("log")
        ax.set_xlim(min(r["summary"]["min"] for r in rows) / 2, max(r["summary"]["p99"] for r in rows) * 3)
        self._plain(ax.xaxis)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(f"{unit}, median; the line reaches from the least to the 99th percentile")
        ax.set_title(title, loc="left")
        self._save(fig, name)

    def _lines(self, ax, rows, key, value):
        peers = list(dict.fromkeys(r["peer"] for r in rows))
        for peer in peers:
            mine = sorted((r for r in rows if r["peer"] == peer), key=lambda r: r[key])
            ax.plot([r[key] for r in mine], [value(r) for r in mine], marker="o", linewidth=2, color=COLORS.get(peer, "#777777"),
                    label=self.names[peer])

    def lines(self, rows, key, name, title, xlabel, ylabel):
        """Medians over <key>, both axes logarithmic."""
        fig, ax = plt.subplots(figsize=(8.5, 4.8))
        self._lines(ax, rows, key, lambda r: r["summary"]["median"])
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(sorted({r[key] for r in rows}))
        self._plain(ax.xaxis)
        self._plain(ax.yaxis)
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        ax.set_title(title, loc="left")
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=10)
        self._save(fig, name)

    def phases(self, rows, name, title):
        """A panel a row, each with its own scale: what is a tenth in one would be invisible in the next."""
        fig, axes = plt.subplots(len(rows), 1, figsize=(8.5, 1.15 * len(rows) + 0.8), squeeze=False)
        for ax, r in zip(axes[:, 0], rows):
            left = 0
            for phase, color in PHASES:
                if phase in r["phases"]:
                    at = r["phases"][phase]["median"]
                    ax.barh(0, max(0, at - left), left=left, color=color, height=0.6, label="until " + phase)
                    left = max(left, at)
            ax.set_yticks([0], [self.names[r["peer"]]])
            ax.grid(axis="y", visible=False)
            ax.set_ylim(-0.5, 0.5)
        axes[0, 0].set_title(title, loc="left", pad=28)
        axes[0, 0].legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncol=len(PHASES), fontsize=10, borderaxespad=0)
        axes[-1, 0].set_xlabel("ms after the trigger's exit, medians")
        fig.tight_layout()
        self._save(fig, name)

    def beside(self, rows, name, title):
        fig, ax = plt.subplots(figsize=(8.5, 3.2))
        x = range(len(rows))
        ax.bar(x, [r["summary"]["median"] for r in rows], color=COLORS["reprise-gate"], width=0.5)
        for i, r in enumerate(rows):
            ax.plot([i, i], [r["summary"]["min"], r["summary"]["p99"]], color="#111111", linewidth=1.1)
            ax.annotate(stats.number(r["summary"]["median"]), (i, r["summary"]["median"]), xytext=(6, 4), textcoords="offset points")
        ax.set_xticks(x, [r["others"] for r in rows])
        ax.set_xlabel("other Pods under the same agent")
        ax.set_ylabel("ms")
        ax.grid(axis="x", visible=False)
        ax.set_title(title, loc="left")
        self._save(fig, name)

    def many(self, rows, name, title):
        """Time on the left, busy cores on the right."""
        fig, (time_ax, busy_ax) = plt.subplots(1, 2, figsize=(11, 4.4))
        self._lines(time_ax, rows, "pods", lambda r: r["summary"]["median"])
        time_ax.set_yscale("log")
        time_ax.set_ylabel("ms until the last Pod runs, median")
        self._plain(time_ax.yaxis)
        self._lines(busy_ax, [r for r in rows if r["busy"] is not None], "pods", lambda r: 100 * r["busy"])
        busy_ax.set_ylim(0, 105)
        busy_ax.axhline(90, color="#888888", linewidth=1, linestyle="--")
        busy_ax.set_ylabel("share of all cores busy, %")
        for ax in (time_ax, busy_ax):
            ax.set_xscale("log")
            ax.set_xticks(sorted({r["pods"] for r in rows}))
            self._plain(ax.xaxis)
            ax.set_xlabel("Pods triggered at once")
        time_ax.set_title(title, loc="left")
        busy_ax.legend(*time_ax.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=10)
        fig.tight_layout()
        self._save(fig, name)

    def cpu(self, rows, name, title):
        """CPU time of a restart, stacked by whose it is."""
        rows = sorted(rows, key=lambda r: r["cpu_ms"]["total"], reverse=True)
        fig, ax = plt.subplots(figsize=(8.5, 0.45 * len(rows) + 1.3))
        for y, r in enumerate(rows):
            left = 0
            for part, color in PARTS.items():
                width = r["cpu_ms"].get(part, 0)
                ax.barh(y, width, left=left, color=color, height=0.68, label=part if y == 0 else None)
                left += width
            ax.annotate(stats.number(r["cpu_ms"]["total"]), (left, y), xytext=(6, 0), textcoords="offset points", va="center")
        handles = [plt.Rectangle((0, 0), 1, 1, color=c) for c in PARTS.values()]
        ax.legend(handles, list(PARTS), loc="upper right", fontsize=10)
        ax.set_yticks(range(len(rows)), [self.names[r["peer"]] for r in rows])
        ax.grid(axis="y", visible=False)
        ax.set_xlabel("ms of CPU time a restart")
        ax.set_title(title, loc="left")
        self._save(fig, name)
