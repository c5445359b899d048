"""What every benchmark program does: options, the nest, the frame of its results, table or JSON."""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

from . import machine, nest, peers, tables
from .board import Late
from .shell import Failed

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QUICK = bool(os.environ.get("BENCH_QUICK"))


def say(text):
    """Progress, for whoever waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def choose(full, quick):
    return quick if QUICK else full


def options(doc, runs, idle_ms=150, runs_help="restarts of each peer", runtime=False):
    p = argparse.ArgumentParser(description=doc.split("\n\n")[0], epilog="BENCH_QUICK=1 in the environment: fewer runs and sizes.")
    p.add_argument("--runs", type=int, default=runs, metavar="N", help=f"{runs_help} (%(default)s)")
    p.add_argument("--idle-ms", type=int, default=idle_ms, metavar="N", help="idleness before each, in ms (%(default)s)")
    p.add_argument("--build", default=os.environ.get("BUILD", "build"), help="build directory ($BUILD, build)")
    p.add_argument("-o", dest="output", choices=("table", "json"), default="table", help="how to print the results (%(default)s)")
    if runtime:
        p.add_argument("--runtime", choices=("all", "cri"), default="all",
                       help="all peers, or only the floor, the embedded runtime and what runs over CRI (%(default)s)")
    args = p.parse_args()
    if args.runs < 1 or args.idle_ms < 0:
        p.error("--runs must be at least 1, --idle-ms at least 0")
    args.build = os.path.join(_ROOT, args.build)
    return args


class Tolerance:
    """A peer that fails is dropped, named with the reason, and the others go on."""

    def __init__(self):
        self.failed = {}

    def __call__(self, ident, function, *args):
        """What <function> returns; None where it failed."""
        try:
            return function(*args)
        except (Failed, Late, OSError, subprocess.SubprocessError, ValueError) as e:
            self.failed[ident] = f"failed: {e}"
            say(f"{ident} {self.failed[ident]}")
            return None

    def ok(self, ident):
        return ident not in self.failed

    def listed(self, peers):
        """<peers> with what failed among what is missing."""
        return [{**p, "missing": p["missing"] or self.failed.get(p["id"])} for p in peers]


def peer_list(classes):
    return [{"id": c.ident, "name": c.name, "settings": c.settings, "missing": c.missing()} for c in classes]


def run(name, args, measure):
    """Runs <measure>(rig, args) inside a nest; it returns {"peers": [...], "rows": [...], ...}, which becomes tables or JSON."""
    world = nest.enter()
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # at once: what still runs ends with the nest
    began = time.monotonic()
    rig = peers.Rig(world, args.build)
    results = {"benchmark": name, "machine": machine.describe(world, args.build),
               "settings": {"runs": args.runs, "idle_ms": args.idle_ms, "quick": QUICK}}
    results.update(measure(rig, args))
    results["problems"] = rig.reprise.problems
    for problem in rig.reprise.problems:
        say(f"{name}: reprise said: {problem}")
    results["seconds"] = round(time.monotonic() - began, 1)
    if args.output == "json":
        json.dump(results, sys.stdout, indent=1)
        print()
        return
    print("\n".join(machine.lines(results["machine"])))
    print(f"{args.runs} runs, {args.idle_ms} ms idle before each, {results['seconds']} s in all\n")
    print(tables.text(results))
    for p in results.get("peers", []):
        if p["missing"]:
            print(f"missing: {p['name']}: {p['missing']}")
    for p in results.get("learnt", {}).get("missing", []):
        print(f"missing: {p['name']}: {p['why']}")
