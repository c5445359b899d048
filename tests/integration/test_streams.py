"""Streams into Pods that live: through in-place restarts, agents and shims that die, clients that are slow or leave; over both runtimes."""
import hashlib
import os
import re
import signal
import socket
import subprocess
import threading

import pytest
from conftest import CONTAINERD, RUNTIME
from host import containers_of, shim_of
from pods import IMAGE, container, is_running, pod, status

HUGE = 100_000_000
RULES = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]


def start(reprise, *args):
    return subprocess.Popen([reprise.program, args[0], *reprise.dirs, *args[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process, timeout=20):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def resident(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * 4096


def test_huge_output_with_a_slow_reader(reprise):
    it = reprise.start_pod(pod(container()))
    it.wait_for(is_running, timeout=40)
    ours = start(reprise, "exec", "-q", "p", "--", "sh", "-c", f"yes 0123456789abcdef | head -c {HUGE}; exit 9")
    first = ours.stdout.read(1 << 16)
    high = resident(ours.pid)
    digest, total = hashlib.sha256(first), len(first)
    while part := ours.stdout.read(1 << 20):
        digest.update(part)
        total += len(part)
        high = max(high, resident(ours.pid))
    assert (total, ours.wait(20)) == (HUGE, 9)
    assert digest.hexdigest() == hashlib.sha256((b"0123456789abcdef\n" * (HUGE // 17 + 1))[:HUGE]).hexdigest()
    assert high < 40 << 20
    ours.communicate()


def test_stdin_once(reprise):
    """What the first client sends is all that the container gets; its end is the container's."""
    it = reprise.start_pod(pod(container(script="cat; echo over; exit 4", stdin=True, stdinOnce=True)))
    it.wait_for(is_running, timeout=40)
    ours = start(reprise, "attach", "-iq", "p")
    data = os.urandom(100_000).hex().encode() + b"\n"
    code, out, err = finish_input(ours, data)
    assert (code, err) == (0, b"") and out == data + b"over\n"
    end = it.wait_for(lambda p: p["status"].get("phase") == "Failed", timeout=20)
    assert status(end, "main")["state"]["terminated"]["exitCode"] == 4


def finish_input(process, data, timeout=20):
    out, err = process.communicate(data, timeout=timeout)
    return process.returncode, out, err


def test_streams_across_an_in_place_restart(reprise):
    """Whoever is at a container when it goes hears of it; the next instance is there for the next one; port-forward stays."""
    watch = f"while [ ! -e /work/go ]; do sleep 0.05; done; rm /work/go; exit 88"
    mount = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    it = reprise.start_pod(pod(container("main", "echo begin; exec sleep 1000", stdin=True, **mount),
                               init=[{"name": "watch", "image": IMAGE, "restartPolicy": "Always", "restartPolicyRules": RULES,
                                      "command": ["sh", "-c", watch], **mount}], volumes=[{"name": "work", "emptyDir": {}}]))
    it.wait_for(lambda p: is_running(p, "main", "watch"), timeout=40)
    running = start(reprise, "exec", "-q", "-c", "main", "p", "--", "sh", "-c", "echo ready; sleep 1000")
    attached = start(reprise, "attach", "-q", "-c", "main", "p")
    assert running.stdout.readline() == b"ready\n"
    forward = subprocess.Popen([reprise.program, "port-forward", *reprise.dirs, "p", ":7000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    port = int(re.search(r":(\d+) -> 7000", forward.stdout.readline()).group(1))
    go = start(reprise, "exec", "-q", "-c", "main", "p", "--", "touch", "/work/go")
    assert finish(go)[0] in (0, 137)
    code, _, err = finish(running)
    assert code == 137 and err == b"command terminated with exit code 137\n"
    assert finish(attached)[0] == 0
    it.wait_for(lambda p: is_running(p, "main", "watch") and status(p, "main")["restartCount"] == 1, timeout=20)
    again = start(reprise, "exec", "-q", "-c", "main", "p", "--", "sh", "-c", "nc -l -p 7000 -e cat & echo again; wait")
    assert again.stdout.readline() == b"again\n"
    for _ in range(100):  # until nc listens
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            s.sendall(b"through")
            s.settimeout(10)
            if s.recv(7) == b"through":
                break
    else:
        raise AssertionError("the forwarding did not survive")
    finish(again)
    forward.send_signal(signal.SIGINT)
    assert finish(forward)[0] == 0


def test_an_agent_that_dies_takes_no_stream_with_it(reprise):
    it = reprise.start_pod(pod(container("main", "while read x; do echo \"got $x\"; done", stdin=True)), "--keep")
    first = it.wait_for(is_running, timeout=40)
    ours = start(reprise, "exec", "-iq", "p", "--", "cat")
    attached = start(reprise, "attach", "-iq", "p")
    ours.stdin.write(b"before\n")
    ours.stdin.flush()
    assert ours.stdout.readline() == b"before\n"
    it.kill()
    assert finish_input(ours, b"after\n") == (0, b"after\n", b"")
    attached.stdin.write(b"me\n")
    attached.stdin.flush()
    assert attached.stdout.readline() == b"got me\n"
    attached.stdin.close()
    attached.wait(10)
    attached.stdout.close()
    attached.stderr.close()
    done = subprocess.run([reprise.program, "exec", "-q", *reprise.dirs, "p", "--", "echo", "alone"], capture_output=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, b"alone\n")
    reprise.delete(first)


@pytest.mark.oci("about reprise-shim")
def test_a_shim_that_dies_leaves_no_zombie_of_a_command(reprise):
    """The agent is the parent of what was run inside then: as long as one of it is a zombie, the container could not end."""
    it = reprise.start_pod(pod(container()))
    p = it.wait_for(is_running, timeout=40)
    ours = start(reprise, "exec", "-q", "p", "--", "sh", "-c", "echo ready; exec sleep 1000")
    assert ours.stdout.readline() == b"ready\n"
    os.kill(int(shim_of(p)), signal.SIGKILL)
    assert finish(ours) == (1, b"", b"reprise: lost connection to the container\n")
    done = subprocess.run([reprise.program, "exec", "-q", *reprise.dirs, "p", "--", "echo", "again"], capture_output=True, timeout=20)
    for _ in range(100):
        if done.returncode == 0:
            break
        done = subprocess.run([reprise.program, "exec", "-q", *reprise.dirs, "p", "--", "echo", "again"], capture_output=True, timeout=20)
    assert done.stdout == b"again\n"
    it.interrupt()
    it.wait(20)
    assert not containers_of(p)


def test_a_client_that_is_killed(reprise):
    """Its command sees the end of its input; what goes on without it goes with the container."""
    it = reprise.start_pod(pod(container()))
    it.wait_for(is_running, timeout=40)
    ours = start(reprise, "exec", "-iq", "p", "--", "sh", "-c", "echo ready; cat; echo ended > /tmp/ended")
    assert ours.stdout.readline() == b"ready\n"
    ours.kill()
    ours.communicate()
    done = subprocess.run([reprise.program, "exec", "-q", *reprise.dirs, "p", "--", "sh", "-c",
                           "for i in $(seq 100); do [ -e /tmp/ended ] && exit 0; sleep 0.1; done; exit 1"], timeout=30)
    assert done.returncode == 0


@pytest.mark.skipif(RUNTIME == "cri" and CONTAINERD == "2", reason="containerd 2 says no end while stdin is not read")
def test_many_streams_at_once(reprise):
    it = reprise.start_pod(pod(container()))
    it.wait_for(is_running, timeout=40)
    got = {}

    def one(i):
        done = subprocess.run([reprise.program, "exec", "-iq", *reprise.dirs, "p", "--", "sh", "-c", f"cat; exit {i}"], input=b"%d" % i,
                              capture_output=True, timeout=60)
        got[i] = (done.returncode, done.stdout)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(90)
    assert got == {i: (i, b"%d" % i) for i in range(30)}
