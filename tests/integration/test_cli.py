"""The command line as a user meets it: exit statuses, help, suggestions, the live view on a terminal, a reader that goes away."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

IMAGE = "localhost/reprise-examples:1"


def manifest(command, name="cli", extra=""):
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: {IMAGE}
    command: [sh, -c, {json.dumps(command)}]
{extra}
"""


def test_help_and_suggestions(reprise):
    assert reprise.command().returncode == 2
    overview = reprise.command("help", check=True).stdout
    for name in ("run", "delete", "validate", "simulate", "explain", "image", "debug", "doctor", "version", "completion"):
        assert re.search(rf"^  {name} ", overview, re.M), name
        assert reprise.command(name, "--help", check=True).stdout.startswith(f"reprise {name}: ")
        assert reprise.command("help", name, check=True).stdout == reprise.command(name, "--help").stdout
    wrong = reprise.command("rnu")
    assert wrong.returncode == 2 and 'did you mean "run"?' in wrong.stderr and not wrong.stdout
    wrong = reprise.command("image", "imprt")
    assert wrong.returncode == 2 and 'did you mean "import"?' in wrong.stderr
    wrong = reprise.command("run", "x.yaml", "--untill=Ready")
    assert wrong.returncode == 2 and "did you mean --until?" in wrong.stderr
    assert "volume-usage" not in overview, "helpers are not for users"


def test_version(reprise):
    version = json.loads(reprise.command("version", "-o", "json", check=True).stdout)
    assert re.fullmatch(r"\d+\.\d+\.\d+", version["version"])
    assert all(re.match(r"\d+\.\d+", v) for v in version["libraries"].values()) and version["libraries"]
    assert reprise.command("--version", check=True).stdout.startswith(f"reprise {version['version']}\n")


@pytest.mark.parametrize("args, says", [
    ([], "FILE"),
    (["/nonexistent.yaml"], "/nonexistent.yaml"),
    (["/proc/self/fd"], "no *.yaml"),
    (["-o", "xml", "x.yaml"], "none of"),
    (["--timeout=soon", "x.yaml"], "soon"),
    (["--until=Never", "x.yaml"], "Never"),
    (["--until=restarts=0", "x.yaml"], "restarts"),
    (["--feature-gates=Nope=true", "x.yaml"], "Nope"),
    (["--restart-backoff=fast", "x.yaml"], "fast"),
])
def test_bad_usage_is_2(reprise, args, says):
    done = reprise.command("run", *args)
    assert done.returncode == 2, done.explain()
    assert says in done.stderr and done.stderr.startswith("reprise"), done.explain()


@pytest.mark.parametrize("text, says", [
    ("a: [1\n", "line"),
    ("kind: Pod\napiVersion: v1\nmetadata: {name: x}\nspec: {containers: []}\n", "spec.containers: Required value"),
    ("kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n", "no Pod"),
    ("kind: Pod\napiVersion: v1\nmetadata: {name: x}\nspec: {containers: [{name: c, image: i, imge: j}]}\n", "imge"),
])
def test_bad_manifest_is_2(reprise, text, says):
    done = reprise.command("run", "-", *reprise.dirs, input=text)
    assert done.returncode == 2, done.explain()
    assert says in done.stderr, done.explain()


def test_statuses_of_run(reprise):
    assert reprise.run_pod(manifest("exit 0")).returncode == 0
    failed = reprise.run_pod(manifest("exit 7"))
    assert failed.returncode == 1 and failed.pod["status"]["phase"] == "Failed"
    assert failed.pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
    assert reprise.run_pod(manifest("exec sleep 100"), "--timeout=1s").returncode == 124
    assert reprise.run_pod(manifest("exec sleep 100"), "--until=Ready").returncode == 0
    assert reprise.run_pod(manifest("exit 0"), "--until=condition=Ready=Perhaps").returncode == 1, "ended, never met"
    assert reprise.run_pod([], "-", input="").returncode == 2, "an empty stdin is no Pod"


def test_stdin_and_several_documents(reprise):
    both = manifest("echo one", "one") + "---" + manifest("echo two", "two")
    done = reprise.run_pod([], "-", input=both)
    assert done.returncode == 0, done.explain()
    assert {p["metadata"]["name"] for p in done.pods} == {"one", "two"}


def test_events_are_watch_events(reprise):
    done = reprise.run_pod(manifest("exit 0"))
    kinds = [e["type"] for e in done.events]
    assert kinds[0] == "ADDED" and kinds[-1] == "DELETED" and set(kinds[1:-1]) == {"MODIFIED"}, kinds
    for event in done.events:
        assert set(event) == {"type", "object", "at"} and event["object"]["kind"] == "Pod" and event["object"]["apiVersion"] == "v1"
    assert done.stderr == ""


def test_interrupt_deletes_with_grace(reprise):
    pod = reprise.start_pod(manifest("trap 'sleep 0.5; exit 3' TERM; sleep 100 & wait"))
    pod.wait_for(lambda p: p["status"].get("phase") == "Running")
    time.sleep(0.3)
    pod.interrupt()
    done = pod.wait(20)
    assert done.returncode == 130, done.explain()
    codes = {c["state"]["terminated"]["exitCode"] for p in done.pods for c in p["status"].get("containerStatuses", [])
             if "terminated" in c["state"]}
    assert codes == {3}, "the container had time to end by itself"


def test_second_interrupt_kills(reprise):
    text = manifest("trap '' TERM; while :; do sleep 1; done").replace("PeriodSeconds: 1", "PeriodSeconds: 60")
    pod = reprise.start_pod(text)
    pod.wait_for(lambda p: p["status"].get("phase") == "Running")
    time.sleep(0.3)
    pod.interrupt()
    pod.wait_for(lambda p: "deletionTimestamp" in p["metadata"])
    began = time.monotonic()
    pod.interrupt()
    assert pod.wait(20).returncode == 130
    assert time.monotonic() - began < 15, "not the 60 s of its grace period"


def test_keep_and_delete(reprise):
    kept = reprise.run_pod(manifest("exec sleep 1000", "kept"), "--until=Ready", "--keep")
    assert kept.returncode == 0, kept.explain()
    again = reprise.run_pod(manifest("exec sleep 1000", "kept"), "--until=Ready", "--keep")
    assert again.returncode == 0 and again.pod["metadata"]["uid"] == kept.pod["metadata"]["uid"], again.explain()
    assert again.pod["status"]["containerStatuses"][0]["containerID"] == kept.pod["status"]["containerStatuses"][0]["containerID"]
    reprise.delete(kept.pod, "--grace-period=0")
    assert reprise.command("delete", "kept", *reprise.dirs).returncode != 0, "it is gone"


def test_reader_goes_away(reprise):
    """`reprise run … | head -1`: the Pod is deleted, not left behind (the fixture looks)."""
    path = reprise.manifest(manifest("exec sleep 1000"))
    run = subprocess.Popen([reprise.program, "run", path, "-o", "json", *reprise.dirs], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    run.stdout.readline()
    run.stdout.close()
    assert run.wait(30) in (1, 130)
    run.stderr.close()


def play(program, args, size=(20, 90), keys=None, timeout=40):
    """Runs on a terminal of its own; (what was written, status)."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    child = subprocess.Popen([program, *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                             env=dict(os.environ, TERM="xterm-256color", NO_COLOR=""))
    os.close(slave)
    data, deadline = b"", time.monotonic() + timeout
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 0.2)
        if ready:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            data += piece
        if keys and re.search(keys[0], data):
            child.send_signal(keys[1])
            keys = None
    os.close(master)
    return data.decode(errors="replace"), child.wait(10)


def test_live_view(reprise):
    args = ["run", reprise.manifest("examples/ml-worker.yaml"), *reprise.dirs]
    text, status = play(reprise.program, args)
    assert status == 0, text[-2000:]
    plain = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", text)
    for word in ("NAME", "RESTARTS", "PROBES", "killing", "removing", "starting", "in-place restarts: 2", "watcher-sidecar exited 88"):
        assert word in plain, word
    assert text.count("\x1b[?25l") == 1 and text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is given back"
    frames = text.split("\x1b[?2026h")[1:]
    assert len(frames) > 20 and all(f.count("\r\n") <= 19 for f in frames[:-1]), "twenty rows, nothing scrolls"
    assert "In-place restarts of ml-worker-pod" in plain


def test_live_view_is_interrupted(reprise):
    args = ["run", reprise.manifest(manifest("exec sleep 1000")), *reprise.dirs]
    text, status = play(reprise.program, args, keys=(rb"Running", signal.SIGINT))
    assert status == 130
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_dumb_terminal_gets_lines(reprise):
    done = reprise.run_pod(manifest("echo hello"), output="lines", env={"TERM": "dumb"})
    assert done.returncode == 0 and "\x1b" not in done.stdout
    assert "[main] hello\n" in done.stdout and re.search(r"^ +\d+\.\d{3}s  cli +main +started$", done.stdout, re.M), done.stdout
    quiet = reprise.run_pod(manifest("echo hello"), "--no-logs", output="lines")
    assert "hello" not in quiet.stdout


def test_yaml_output(reprise):
    done = reprise.run_pod(manifest("exit 0"), output="yaml")
    assert done.returncode == 0 and done.stdout.count("---\nkind: Pod\napiVersion: v1\n") == done.stdout.count("---\n") > 2
