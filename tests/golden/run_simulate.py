"""Golden files of the commands that run the decision core without containers: NAME.args is the command line (simulate, explain,
debug plan), NAME.out what it prints (stdout, then stderr after a line, then the exit status).

Run: REPRISE=build/src/cli/reprise python3 -m pytest tests/golden/run_simulate.py
After a wanted change: UPDATE=1 in the environment rewrites the files; the diff is then read by a person.
"""
import glob
import json
import os
import shlex
import subprocess

import pytest

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "simulate")
REPRISE = os.path.abspath(os.environ.get("REPRISE", os.path.join(HERE, "../../../build/reprise")))
CASES = sorted(os.path.basename(p)[:-5] for p in glob.glob(os.path.join(HERE, "*.args")))


def run(args):
    return subprocess.run([REPRISE, *args], cwd=HERE, capture_output=True, text=True, timeout=60)


def test_there_are_cases():
    assert len(CASES) >= 15


@pytest.mark.parametrize("name", CASES)
def test_output(name):
    with open(os.path.join(HERE, name + ".args"), encoding="utf-8") as f:
        done = run(shlex.split(f.read()))
    got = f"{done.stdout}--- stderr\n{done.stderr}--- exit {done.returncode}\n"
    path = os.path.join(HERE, name + ".out")
    if os.environ.get("UPDATE"):
        with open(path, "w", encoding="utf-8") as f:
            f.write(got)
    with open(path, encoding="utf-8") as f:
        assert got == f.read()


def events(*args):
    done = run(["simulate", *args, "-o", "json"])
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[:-1], lines[-1]


def test_attempts_rise_over_restarts_and_the_pod_is_last():
    seen, pod = events("ml-worker.yaml", "--exit", "watcher-sidecar=88,88,88")
    assert pod["kind"] == "Pod"
    for name in ("setup-environment", "watcher-sidecar", "main-application"):
        assert [e["attempt"] for e in seen if e["event"] == "started" and e["container"] == name] == [0, 1, 2, 3]
    statuses = pod["status"]["initContainerStatuses"] + pod["status"]["containerStatuses"]
    assert {s["restartCount"] for s in statuses} == {3}
    assert all(a["t"] <= b["t"] for a, b in zip(seen, seen[1:]))


def test_condition_is_true_before_the_first_kill():
    seen, _ = events("ml-worker.yaml", "--exit", "watcher-sidecar=88")
    kinds = [(e["event"], e.get("type"), e.get("status")) for e in seen]
    true = kinds.index(("condition", "AllContainersRestarting", "True"))
    killed = [i for i, k in enumerate(kinds) if k[0] in ("killed", "removed")]
    false = max(i for i, k in enumerate(kinds) if k == ("condition", "AllContainersRestarting", "False"))
    assert true < min(killed) and max(killed) < false


def test_readiness_needs_its_threshold():
    seen, _ = events("deadline.yaml")
    assert [e["t"] for e in seen if e["event"] == "probe" and e["container"] == "main"] == [6]


def test_until_stops_the_clock():
    seen, _ = events("crash-loop.yaml", "--exit", "main=1,1,1,1", "--until=15s")
    assert max(e["t"] for e in seen) <= 15
