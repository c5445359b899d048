"""Containers that are prepared ahead: they are what they would be if they were made in their turn, or they are not used."""
import json
import os
import re
import signal
import time

import pytest

from conftest import RUNTIME
from host import shim_of
from pods import container, pod, shared, status
from test_pod_restart import restarts, running

GATE = pytest.mark.oci("only the embedded runtime has the gate; over CRI what is prepared is created")
RULE = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]


def trigger(**more):
    """A sidecar that restarts the Pod as often as a file /shared/go is put there."""
    return container("watch", "until rm /shared/go 2>/dev/null; do sleep 0.02; done; exit 88", restartPolicy="Always",
                     restartPolicyRules=RULE, **more)


class Case:
    def __init__(self, reprise, *containers, annotations=None, **spec):
        self.reprise, self.dir = reprise, f"{reprise.folder}/shared"
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o777)
        volumes, mounts = shared(self.dir)
        spec["volumes"] = volumes["volumes"] + spec.get("volumes", [])
        init = [dict(c, volumeMounts=mounts["volumeMounts"] + c.get("volumeMounts", [])) for c in [*spec.pop("init", ()), trigger()]]
        mains = [dict(c, volumeMounts=mounts["volumeMounts"] + c.get("volumeMounts", [])) for c in containers]
        text = json.loads(pod(*mains, init=init, **spec))
        if annotations:
            text["metadata"]["annotations"] = annotations
        self.text = json.dumps(text, indent=1)

    def start(self, *args):
        self.pod = self.reprise.start_pod(self.text, *args)
        self.up = self.pod.wait_for(running, 40)
        return self

    def facts(self):
        return json.loads(self.reprise.command("debug", "dump", *self.reprise.node, "p", check=True).stdout)

    def standbys(self):
        return {s["name"]: s for s in self.facts()["runtime"].get("standbys", [])}

    def wait_prepared(self, names, seconds=20):
        deadline = time.monotonic() + seconds
        while set(self.standbys()) != set(names):
            assert time.monotonic() < deadline, self.facts()
            time.sleep(0.05)
        return self.standbys()

    def restart(self, until=restarts(1)):
        with open(f"{self.dir}/go", "w"):
            pass
        return self.pod.wait_for(until, 30, "the restart")

    def end(self):
        self.pod.interrupt()
        assert self.pod.wait(40).returncode == 130
        assert not [f for _, _, files in os.walk(self.reprise.log_dir) for f in files if f.startswith(".next")]

    def read(self, name):
        with open(f"{self.dir}/{name}", errors="replace") as f:
            return f.read()


# What a program can find out about itself, but for what differs from one instance to the next anyhow.
LOOK = r"""
cd /proc/self; set -- /proc/[0-9]*  # by the shell itself: no other process runs
{ echo "pid $$, all: $*"; echo "cwd $(pwd -P)"; readlink /proc/$$/cwd /proc/$$/exe /proc/$$/root
  echo "== fds"; for f in 0 1 2 3 4 5 6 7 8; do [ -e /proc/$$/fd/$f ] && echo "$f $(readlink /proc/$$/fd/$f) $(grep flags /proc/$$/fdinfo/$f)"; done
  echo "== env"; tr '\\0' '\\n' < /proc/$$/environ
  echo "== cmdline"; tr '\\0' '\\n' < /proc/$$/cmdline; cat /proc/$$/comm
  echo "== auxv"; od -An -tx1 -v /proc/$$/auxv | wc -l
  echo "== limits"; cat /proc/$$/limits
  echo "== status"; grep -E "^(Name|Umask|State|Tgid|PPid|TracerPid|Uid|Gid|Groups|FDSize|NStgid|NSpid|NSpgid|NSsid|Threads|Sig.*|Shd.*|Cap.*|NoNewPrivs|Seccomp.*|Speculation.*|Cpus_allowed_list)" /proc/$$/status
  echo "== other"; cat /proc/$$/oom_score_adj /proc/$$/personality /proc/$$/timerslack_ns /proc/$$/loginuid /proc/$$/coredump_filter 2>/dev/null
  echo "== attr"; cat /proc/$$/attr/current 2>/dev/null
  echo "== cgroup"; cat /proc/$$/cgroup
  echo "== mounts"; cut -d' ' -f4- /proc/$$/mountinfo
  echo "== ns"; for n in net ipc uts; do readlink /proc/$$/ns/$n; done
  echo "== write"; touch /tmp/x && ls -ln /tmp/x; mknod /tmp/n c 1 3 2>&1; umask
} > /shared/look.$(ls /shared | grep -c look.tmp) 2>&1; touch /shared/look.tmp; exec sleep 1000
"""
KINDS = {
    "plain": {},
    "root-path-search": {"command": ["sh", "-c", LOOK]},
    "absolute": {"command": ["/bin/sh", "-c", LOOK]},
    "user": {"securityContext": {"runAsUser": 1000, "runAsGroup": 1001, "allowPrivilegeEscalation": False}},
    "caps": {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "KILL"]}}},
    "user-caps": {"securityContext": {"runAsUser": 7, "capabilities": {"add": ["NET_ADMIN"]}}},
    "seccomp": {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, "readOnlyRootFilesystem": False}},
    "privileged": {"securityContext": {"privileged": True}},
    "dir-env-stdin": {"workingDir": "/tmp", "stdin": True, "env": [{"name": "A", "value": "b c"}, {"name": "PATH", "value": "/x:/bin:/usr/bin"}]},
    "limits": {"resources": {"limits": {"memory": "64Mi", "cpu": "500m"}}},
}


def masked(text, uid):
    text = re.sub(r"[0-9a-f]{64}", "ID", text).replace(uid, "UID")
    text = re.sub(r"(net|ipc|uts):\[\d+\]", r"\1:[N]", text)
    text = re.sub(r"(pipe|socket):\[\d+\]", r"\1:[N]", text)
    text = re.sub(r"look\.\d+", "look.N", text)
    return re.sub(r"/containers/main/\d+-termination", "/containers/main/N-termination", text)


@pytest.mark.parametrize("runtime", ["containerd's"] if RUNTIME == "cri" else ["crun", "runc"])
@pytest.mark.parametrize("kind", KINDS)
def test_seen_from_inside(reprise, kind, runtime):
    """The first run is made in its turn, the second is let go at the gate: a program finds no difference."""
    c = Case(reprise, container("main", LOOK, **KINDS[kind])).start(*([] if RUNTIME == "cri" else [f"--oci-runtime={runtime}"]))
    c.wait_prepared({"watch", "main"})
    standby = c.standbys()["main"]["id"]
    last = c.restart()
    assert status(last, "main")["containerID"].endswith(standby), "the prepared one runs"
    deadline = time.monotonic() + 40
    while not os.path.exists(f"{c.dir}/look.1") or not c.read("look.1").rstrip().split("\n")[-1].startswith("0"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    uid = c.up["metadata"]["uid"]
    first, second = (masked(c.read(f"look.{i}"), uid) for i in (0, 1))
    assert "== env" in first and "gate" not in second and "self/fd/3" not in second
    assert second == first
    c.end()


@pytest.mark.parametrize("how", [pytest.param("gate", marks=GATE), "create", "off"])
@pytest.mark.parametrize("what,code_text", [("rm -f", "found"), ("chmod a-x", "denied")])
def test_command_that_cannot_be_executed(reprise, how, what, code_text):
    """Whatever was prepared, the runtime says what is wrong, with the same words and codes."""
    init = container("setup", f"if [ -e /shared/busybox ]; then {what} /shared/busybox; else cp /bin/busybox /shared/busybox; fi")
    c = Case(reprise, {"name": "main", "image": container()["image"], "command": ["/shared/busybox", "sleep", "1000"]}, init=[init])
    c.start(f"--prepare={how}")
    if how != "off":
        c.wait_prepared({"setup", "watch", "main"})
    time.sleep(0.2)
    last = c.restart(lambda p: status(p, "main")["state"].get("terminated", {}).get("reason") == "StartError")
    ended = status(last, "main")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError"), ended
    assert ("/shared/busybox" if code_text == "found" else "ermission denied") in ended["message"], ended
    assert status(last, "main")["restartCount"] == 1
    c.pod.interrupt()
    c.pod.wait(40)


def test_changed_meanwhile(reprise):
    """A directory behind a subPath that was replaced: the container gets the new one, as if nothing had been prepared."""
    main = container("main", "cat /data/which > /shared/seen; exec sleep 1000",
                     volumeMounts=[{"name": "shared", "mountPath": "/data", "subPath": "sub"}])
    os.makedirs(f"{reprise.folder}/shared/sub")
    with open(f"{reprise.folder}/shared/sub/which", "w") as f:
        f.write("old")
    c = Case(reprise, main).start()
    ahead = c.wait_prepared({"watch", "main"})
    os.rename(f"{c.dir}/sub", f"{c.dir}/away")
    os.makedirs(f"{c.dir}/sub")
    with open(f"{c.dir}/sub/which", "w") as f:
        f.write("new")
    last = c.restart()
    time.sleep(0.3)
    assert c.read("seen") == "new"
    assert status(last, "watch")["containerID"].endswith(ahead["watch"]["id"]), "the other one still fitted"
    assert not status(last, "main")["containerID"].endswith(ahead["main"]["id"])
    c.end()


def test_unchanged_subpath_is_used(reprise):
    main = container("main", volumeMounts=[{"name": "shared", "mountPath": "/data", "subPath": "sub"}])
    c = Case(reprise, main).start()
    ahead = c.wait_prepared({"watch", "main"})
    assert status(c.restart(), "main")["containerID"].endswith(ahead["main"]["id"])
    c.end()


@pytest.mark.oci("about reprise-shim, and standbys that go with it; test_cri.py has an agent that dies")
def test_shim_and_agent_die(reprise):
    """Standbys go with their shim and are made anew; those of an agent that died are used by the next."""
    c = Case(reprise, container()).start("--keep")
    first = c.wait_prepared({"watch", "main"})
    os.kill(shim_of(c.up), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while {s["id"] for s in c.standbys().values()} & {s["id"] for s in first.values()} or set(c.standbys()) != {"watch", "main"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = c.standbys()
    time.sleep(0.2)
    c.pod.kill()
    c.pod = reprise.start_pod(c.text)
    c.pod.wait_for(running, 30)
    last = c.restart()
    for name in ("watch", "main"):
        assert status(last, name)["containerID"].endswith(second[name]["id"])
        assert status(last, name)["restartCount"] == 1
    c.end()


@pytest.mark.parametrize("why", ["annotation", "flag", "memory", "pid", "no rule"])
def test_not_prepared(reprise, why):
    spec = {"shareProcessNamespace": True} if why == "pid" else {}
    args = {"flag": ["--prepare=off"], "memory": ["--prepare-memory=0"]}.get(why, [])
    c = Case(reprise, container(), annotations={"reprise.io/prepare": "off"} if why == "annotation" else None, **spec)
    if why == "no rule":
        c.text = c.text.replace("RestartAllContainers", "Restart")
    c.start(*args)
    time.sleep(1)
    assert c.standbys() == {}
    if why != "no rule":
        last = c.restart()
        assert status(last, "main")["restartCount"] == 1
    c.end()


def test_nothing_of_it_is_seen(reprise):
    """No log, no status, no attempt before it runs; its log is there when it does."""
    c = Case(reprise, container("main", "echo hello; exec sleep 1000")).start()
    c.wait_prepared({"watch", "main"})
    logs = f"{reprise.log_dir}/default_p_{c.up['metadata']['uid']}/main"
    assert sorted(f for f in os.listdir(logs) if not f.startswith(".")) == ["0.log"]
    c.restart()
    time.sleep(0.2)
    assert sorted(f for f in os.listdir(logs) if not f.startswith(".")) == ["0.log", "1.log"]
    with open(f"{logs}/1.log") as f:
        assert f.read().endswith(" stdout F hello\n")
    c.end()


def test_tty(reprise):
    """A terminal is made by the runtime, so such a container is prepared up to `create`, and runs on its own terminal."""
    c = Case(reprise, container("main", "[ -t 1 ] && echo terminal; exec sleep 1000", tty=True)).start()
    ahead = c.wait_prepared({"watch", "main"})
    last = c.restart()
    assert status(last, "main")["containerID"].endswith(ahead["main"]["id"])
    time.sleep(0.3)
    with open(f"{reprise.log_dir}/default_p_{c.up['metadata']['uid']}/main/1.log") as f:
        assert "terminal" in f.read()
    c.end()
