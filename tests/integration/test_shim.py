"""Drives a real reprise-shim with real containers, with crun and with runc: python3 -m pytest tests/integration/test_shim.py

REPRISE_SHIM names the binary; else it is looked for in the usual build directories. Needs root, busybox-static, and crun or
runc. Every test checks at its end that nothing is left: processes, mounts, cgroups, files."""
import base64
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
import uuid

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PLACES = [os.environ.get("REPRISE_SHIM"), os.path.join(TOP, "build/reprise-shim"),
          os.path.join(TOP, "build/src/shim/reprise-shim"), "/tmp/b-shim/src/shim/reprise-shim"]
SHIM = next((p for p in PLACES if p and os.access(p, os.X_OK)), None)
RUNTIMES = [r for r in ("crun", "runc") if shutil.which(r)]
TEXT_MAX = 20.0

pytestmark = [
    pytest.mark.oci("about reprise-shim"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not SHIM, reason="reprise-shim is not built"),
    pytest.mark.skipif(not os.path.exists("/bin/busybox"), reason="needs busybox-static"),
    pytest.mark.skipif(not RUNTIMES, reason="needs crun or runc"),
]


def hybrid_with_controllers():
    try:
        return os.path.isdir("/sys/fs/cgroup/unified") and open("/sys/fs/cgroup/unified/cgroup.controllers").read().strip()
    except OSError:
        return False


def wait_for(what, timeout=TEXT_MAX):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError("timed out waiting")


class Refused(Exception):
    def __init__(self, error):
        super().__init__(error["text"])
        self.error = error


class Client:
    """One connection, with a copy of the facts that the events keep equal."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TEXT_MAX)
        here = os.open(os.path.dirname(path), os.O_PATH)
        try:
            self.sock.connect("/proc/self/fd/%d/shim.sock" % here)
        finally:
            os.close(here)
        self.buf, self.next_id, self.replies, self.order = b"", 1, {}, []
        hello = self.message()
        assert hello["event"] == "hello" and hello["version"] == 2
        self.facts, self.pid, self.strays = hello["facts"], hello["pid"], hello["strays"]

    def message(self):
        while True:
            if len(self.buf) >= 4:
                n = struct.unpack(">I", self.buf[:4])[0]
                if len(self.buf) >= 4 + n:
                    m = json.loads(self.buf[4:4 + n])
                    self.buf = self.buf[4 + n:]
                    return m
            got = self.sock.recv(65536)
            if not got:
                raise EOFError
            self.buf += got

    def take(self, m):
        if m.get("event") == "set":
            self.facts[m["what"]][m["id"]] = m["value"]
        elif m.get("event") == "merge":
            o = self.facts[m["what"]][m["id"]]
            for k, v in m["value"].items():
                if v is None:
                    o.pop(k, None)
                else:
                    o[k] = v
        elif m.get("event") == "gone":
            self.facts[m["what"]].pop(m["id"], None)
        else:
            self.replies[m["id"]] = m
        self.order.append(m)

    def send(self, op, **kw):
        ident, self.next_id = self.next_id, self.next_id + 1
        text = json.dumps(dict(kw, op=op, id=ident)).encode()
        self.sock.sendall(struct.pack(">I", len(text)) + text)
        return ident

    def reply(self, ident):
        while ident not in self.replies:
            self.take(self.message())
        m = self.replies.pop(ident)
        if "error" in m:
            raise Refused(m["error"])
        return m["ok"]

    def call(self, op, **kw):
        return self.reply(self.send(op, **kw))

    def until(self, cond, timeout=TEXT_MAX):
        end = time.monotonic() + timeout
        while not cond(self.facts):
            left = end - time.monotonic()
            assert left > 0, "timed out: %r" % self.facts
            self.sock.settimeout(left)
            self.take(self.message())
        self.sock.settimeout(TEXT_MAX)
        return self.facts

    def container(self, cid):
        return self.facts["containers"].get(cid)

    def exited(self, cid, timeout=TEXT_MAX):
        return self.until(lambda f: f["containers"][cid]["state"] == "exited", timeout)["containers"][cid]

    def close(self):
        self.sock.close()


class Pod:
    def __init__(self, tmp, runtime):
        self.uid = str(uuid.uuid4())
        self.tmp, self.runtime = str(tmp), shutil.which(runtime)
        self.run = os.path.join(self.tmp, "run", self.uid)
        self.root = os.path.join(self.tmp, "root", self.uid)
        self.logs = os.path.join(self.tmp, "logs")
        self.layer = os.path.join(self.tmp, "layer")
        self.sandbox = uuid.uuid4().hex * 2
        self.cgroup = "/reprise-test-%d/pod%s" % (os.getpid(), self.uid)
        self.n = 0
        self.make_layer()

    def make_layer(self):
        for d in ("bin", "proc", "dev", "sys", "tmp", "etc"):
            os.makedirs(os.path.join(self.layer, d))
        shutil.copy("/bin/busybox", os.path.join(self.layer, "bin/busybox"))
        for a in ("sh", "sleep", "cat", "echo", "kill", "id", "true", "false", "hostname", "head", "yes", "dd", "ip", "mkdir",
                  "setsid", "ps", "tty", "touch", "ls", "test"):
            os.symlink("busybox", os.path.join(self.layer, "bin", a))
        with open(os.path.join(self.layer, "bin/garbage"), "w") as f:
            f.write("this is no program\n")
        os.chmod(os.path.join(self.layer, "bin/garbage"), 0o755)

    def start_shim(self, fault=None):
        args = [SHIM, "--uid", self.uid, "--run-dir", self.run, "--root-dir", self.root, "--runtime", self.runtime]
        if self.runtime.endswith("crun") and hybrid_with_controllers():
            args.append("--hide-cgroup2")
        env = dict(os.environ)
        if fault:
            env["REPRISE_FAULT"] = fault
        done = subprocess.run(args, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TEXT_MAX)
        assert done.returncode == 0, done.stderr
        self.client = Client(os.path.join(self.run, "shim.sock"))
        return self.client

    def up(self, fault=None, **ns):
        c = self.start_shim(fault)
        self.create_sandbox(**ns)
        return c

    def create_sandbox(self, limits=None, hostname="pod-x", sysctls=None, **ns):
        self.ns = dict(dict(net=True, ipc=True, uts=True, pid=False), **ns)
        got = self.client.call("sandbox_create", sandbox=self.sandbox, attempt=0, hostname=hostname, new_ns=self.ns,
                               sysctls=sysctls or {}, cgroup=dict(limits or {}, path=self.cgroup), meta={"note": "kept"})
        self.pause = got["pid"]
        self.client.call("sandbox_ready", sandbox=self.sandbox, ips=["10.1.2.3"])
        return got

    def config(self, rootfs, argv, cid, **opt):
        caps = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"]
        ns = [{"type": "mount"}]
        for kind, name in (("net", "network"), ("ipc", "ipc"), ("uts", "uts")):
            if self.ns[kind]:
                ns.append({"type": name, "path": "/proc/%d/ns/%s" % (self.pause, kind)})
        ns.append({"type": "pid", "path": "/proc/%d/ns/pid" % self.pause} if self.ns["pid"] else {"type": "pid"})
        return {
            "ociVersion": "1.0.2",
            "process": {"terminal": bool(opt.get("tty")), "user": {"uid": opt.get("user", 0), "gid": 0}, "args": argv,
                        "env": ["PATH=/bin", "A=b"], "cwd": "/", "noNewPrivileges": True,
                        "capabilities": {k: caps for k in ("bounding", "effective", "permitted")}},
            "root": {"path": rootfs}, "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["newinstance", "ptmxmode=0666", "mode=0620"]},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}] + opt.get("mounts", []),
            "linux": {"cgroupsPath": self.cgroup + "/" + cid, "namespaces": ns, "resources": opt.get("resources", {})},
        }

    def create(self, argv, name="main", client=None, **opt):
        c = client or self.client
        cid = uuid.uuid4().hex * 2
        self.n += 1
        rootfs = c.call("prepare", container=cid, sandbox=self.sandbox, lower=opt.get("lower", [self.layer]))["rootfs"]
        log = os.path.join(self.logs, name, "%d.log" % self.n)
        c.call("create", container=cid, config=self.config(rootfs, argv, cid, **opt), cgroup=self.cgroup + "/" + cid,
               facts={"name": name, "attempt": self.n, "image": "img", "image_id": "sha256:0", "spec_hash": "h", "log_path": log},
               log=opt.get("log", {"max_bytes": 0, "max_files": 5}), pid_private=not self.ns["pid"],
               stop_signal=opt.get("stop_signal", ""), tty=bool(opt.get("tty")), stdin=bool(opt.get("stdin")),
               stdin_once=bool(opt.get("stdin_once")), message=opt.get("message", {}))
        return cid

    def run_ctr(self, argv, **opt):
        cid = self.create(argv, **opt)
        self.client.call("start", container=cid)
        return cid

    def log(self, cid):
        with open(self.client.container(cid)["log_path"], "rb") as f:
            return f.read()

    def log_text(self, cid):
        """(stream, text) of whole lines"""
        out, part = [], {}
        for line in self.log(cid).decode().splitlines():
            _, stream, tag, text = line.split(" ", 3)
            part[stream] = part.get(stream, "") + text
            if tag == "F":
                out.append((stream, part.pop(stream)))
        return out

    def kill_shim(self):
        pid = self.client.pid
        self.client.close()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid))

    def down(self):
        self.client.call("sandbox_remove", sandbox=self.sandbox)
        pid = self.client.pid
        self.client.close()
        wait_for(lambda: not alive(pid))

    def cgroups(self):
        return [d for d, _, _ in os.walk("/sys/fs/cgroup") if self.uid in d]

    def check_nothing_left(self):
        assert not os.path.exists(self.run), os.listdir(self.run)
        assert not os.path.exists(self.root)
        mounts = open("/proc/self/mountinfo").read()
        assert self.tmp not in mounts
        assert self.cgroups() == []
        left = [p for p in os.listdir("/proc") if p.isdigit() and alive(int(p)) and self.uid in cmdline(p)]
        assert left == []


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def cmdline(pid):
    try:
        return open("/proc/%s/cmdline" % pid).read()
    except OSError:
        return ""


def sweep(pod):
    """After a failed test: end what it left, so that it does not spoil the machine."""
    for p in os.listdir("/proc"):
        if p.isdigit() and pod.uid in cmdline(p) and int(p) != os.getpid():
            os.kill(int(p), signal.SIGKILL)
    for d in sorted(pod.cgroups(), key=len, reverse=True):
        try:
            for p in open(d + "/cgroup.procs").read().split():
                os.kill(int(p), signal.SIGKILL)
        except OSError:
            pass
    if alive(getattr(pod, "pause", 0) or 0):
        os.kill(pod.pause, signal.SIGKILL)
    time.sleep(0.1)
    for d in sorted(pod.cgroups(), key=len, reverse=True):
        try:
            os.rmdir(d)
        except OSError:
            pass
    for line in open("/proc/self/mountinfo").read().splitlines():
        if pod.tmp in line:
            subprocess.run(["umount", "-l", line.split()[4]], check=False)


def make_pod(tmp_path, runtime):
    return Pod(tmp_path, runtime)


@pytest.fixture(params=RUNTIMES)
def pod(request, tmp_path):
    p = Pod(tmp_path, request.param)
    try:
        yield p
        if getattr(p, "client", None):
            if os.path.exists(p.run):
                p.client.close()
                p.client = Client(os.path.join(p.run, "shim.sock"))
                p.down()
            p.check_nothing_left()
    finally:
        sweep(p)
        for d, _, _ in list(os.walk("/sys/fs/cgroup", topdown=False)):
            if os.path.basename(d) == "reprise-test-%d" % os.getpid():
                try:
                    os.rmdir(d)
                except OSError:
                    pass


def test_runs_a_container(pod):
    c = pod.up()
    cid = pod.create(["sh", "-c", "echo out; echo err >&2; exit 3"])
    f = c.container(cid)
    assert f["state"] == "created" and f["pid"] > 0 and "started_at_ns" not in f
    assert (f["name"], f["attempt"], f["image"], f["image_id"], f["spec_hash"]) == ("main", 1, "img", "sha256:0", "h")
    c.call("start", container=cid)
    f = c.exited(cid)
    assert (f["exit_known"], f["exit_code"], f["signal"], f["reason"]) == (True, 3, 0, "Error")
    assert f["created_at_ns"] <= f["started_at_ns"] <= f["finished_at_ns"] <= time.time_ns()
    assert sorted(pod.log_text(cid)) == [("stderr", "err"), ("stdout", "out")]
    c.call("remove", container=cid)
    assert c.container(cid) is None
    c.call("remove", container=cid)


def test_hello_and_refusals(pod):
    c = pod.up()
    with pytest.raises(Refused) as e:
        c.call("no-such-thing")
    assert e.value.error["kind"] == 1
    with pytest.raises(Refused) as e:
        c.call("start", container="x" * 8)
    assert e.value.error["kind"] == 2
    with pytest.raises(Refused):
        c.call("prepare", container="../up", sandbox=pod.sandbox, lower=[pod.layer])
    with pytest.raises(Refused):
        c.call("shutdown")
    # Garbage ends that client only.
    rude = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    here = os.open(pod.run, os.O_PATH)
    rude.connect("/proc/self/fd/%d/shim.sock" % here)
    os.close(here)
    rude.settimeout(TEXT_MAX)
    rude.sendall(struct.pack(">I", 9) + b"not json!")
    while rude.recv(65536):
        pass
    second = Client(os.path.join(pod.run, "shim.sock"))
    assert second.facts["sandboxes"][pod.sandbox]["ips"] == ["10.1.2.3"]
    assert second.facts["sandboxes"][pod.sandbox]["meta"] == {"note": "kept"}
    second.close()
    assert os.stat(os.path.join(pod.run, "shim.sock")).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("script,code,signum,reason", [
    ("exit 0", 0, 0, "Completed"), ("exit 42", 42, 0, "Error"), ("exit 255", 255, 0, "Error"),
    ("kill -9 $$; sleep 5", 137, 9, "Error"), ("kill -15 $$; sleep 5", 143, 15, "Error")])
def test_exit_codes(pod, script, code, signum, reason):
    pod.up(pid=script.startswith("kill"))  # as init of a pid namespace of its own a process ignores its own signals
    f = pod.client.exited(pod.run_ctr(["sh", "-c", script]))
    assert (f["exit_known"], f["exit_code"], f["signal"], f["reason"]) == (True, code, signum, reason)


def test_short_lives(pod):
    """Programs that end before the runtime's `start` returns keep their code."""
    pod.up()
    for i in range(10):
        assert pod.client.exited(pod.run_ctr(["sh", "-c", "exit %d" % (10 + i)]))["exit_code"] == 10 + i


def test_missing_executable_is_a_start_error(pod):
    c = pod.up()
    cid = pod.create(["/bin/nonexistent"])
    f = c.container(cid)
    assert (f["state"], f["exit_code"], f["reason"]) == ("exited", 128, "StartError")
    assert "nonexistent" in f["message"]
    with pytest.raises(Refused) as e:
        c.call("start", container=cid)
    assert e.value.error["reason"] == "RunContainerError" and "nonexistent" in e.value.error["text"]
    c.call("remove", container=cid)


def test_bad_program(pod):
    pod.up()
    f = pod.client.exited(pod.run_ctr(["/bin/garbage"]))
    assert f["exit_code"] not in (0, None) and f["exit_known"]


def test_bad_layer_is_an_error_and_leaves_nothing(pod):
    c = pod.up()
    with pytest.raises(Refused) as e:
        pod.create(["true"], lower=["/nonexistent/layer"])
    assert e.value.error["reason"] == "CreateContainerError"
    c.until(lambda f: not f["containers"])


def test_many_layers(pod):
    pod.up()
    layers = [pod.layer]
    for i in range(120):
        d = os.path.join(pod.tmp, "layers-with-a-rather-long-name-to-fill-a-page", "%064d" % i)
        os.makedirs(d)
        with open(os.path.join(d, "file%d" % i), "w") as f:
            f.write(str(i))
        layers.append(d)
    cid = pod.run_ctr(["sh", "-c", "cat /file0 /file119; ls / | head -c0; ls /file* | head -n 200 > /x; exit $(cat /x | head -n 999 | busybox wc -l)"],
                      lower=layers)
    f = pod.client.exited(cid)
    assert f["exit_code"] == 120
    assert pod.log_text(cid)[0] == ("stdout", "0119")


def test_signals(pod):
    c = pod.up(pid=True)
    cid = pod.run_ctr(["sh", "-c", "trap 'exit 7' TERM; trap 'exit 8' USR1; while :; do sleep 0.05; done"])
    time.sleep(0.2)
    c.call("signal", container=cid, signal=0)
    assert c.exited(cid)["exit_code"] == 7
    cid = pod.run_ctr(["sh", "-c", "trap 'exit 8' USR1; while :; do sleep 0.05; done"], stop_signal="SIGUSR1")
    time.sleep(0.2)
    c.call("signal", container=cid, signal=0)
    assert c.exited(cid)["exit_code"] == 8
    cid = pod.run_ctr(["sleep", "100"], stop_signal="SIGNONSENSE")
    with pytest.raises(Refused):
        c.call("signal", container=cid, signal=0)
    c.call("signal", container=cid, signal=9)
    assert c.exited(cid)["exit_code"] == 137
    c.call("signal", container=cid, signal=9)  # gone is done
    c.call("signal", container="nobody", signal=9)


def test_kill_all_in_one_turn(pod):
    c = pod.up()
    ids = [pod.run_ctr(["sh", "-c", "sleep 1000 & sleep 1000"], name="c%d" % i) for i in range(5)]
    c.call("kill", containers=ids + ["unknown"])
    for cid in ids:
        f = c.exited(cid)
        assert (f["exit_code"], f["signal"], f["reason"]) == (137, 9, "Error")
    times = [c.container(i)["finished_at_ns"] for i in ids]
    assert max(times) - min(times) < 1e9
    for cid in ids:
        c.call("remove", container=cid)
    assert c.facts["containers"] == {}


def test_shared_pid_namespace_kills_strays(pod):
    c = pod.up(pid=True)
    keep = pod.run_ctr(["sleep", "1000"], name="keep")
    cid = pod.run_ctr(["sh", "-c", "setsid sleep 4321 & exit 3"])
    assert c.exited(cid)["exit_code"] == 3
    c.call("remove", container=cid)
    assert [p for p in os.listdir("/proc") if p.isdigit() and "sleep\x004321" in cmdline(p) and alive(int(p))] == []
    assert c.container(keep)["state"] == "running"
    # The sandbox process is init there and reaps.
    out = c.call("exec", container=keep, argv=["ps"], timeout_ns=0, max_output=4096)
    assert b"reprise-pause" in base64.b64decode(out["output"])


def test_namespaces_are_the_sandboxs(pod):
    c = pod.up(hostname="my-pod", sysctls={"net.ipv4.ip_unprivileged_port_start": "81", "kernel.shm_rmid_forced": "1"})
    cid = pod.run_ctr(["sh", "-c", "hostname; ip addr show lo; cat /proc/sys/net/ipv4/ip_unprivileged_port_start"])
    c.exited(cid)
    text = "\n".join(t for _, t in pod.log_text(cid))
    assert "my-pod" in text and "inet 127.0.0.1/8" in text and "\n81" in text
    with pytest.raises(Refused) as e:
        c.call("sandbox_create", sandbox="other", attempt=1, new_ns={"net": True}, sysctls={"net.no.such": "1"})
    assert "net.no.such" in e.value.error["text"]
    assert list(c.facts["sandboxes"]) == [pod.sandbox]


def test_sandbox_death_is_a_fact(pod):
    c = pod.up()
    os.kill(pod.pause, signal.SIGKILL)
    c.until(lambda f: f["sandboxes"][pod.sandbox]["state"] == "notready")
    f = c.facts["sandboxes"][pod.sandbox]
    assert "pid" not in f
    assert os.path.exists("/proc/%d/fd/%d" % (c.pid, f["netns_fd"]))  # CNI DEL still reaches the namespace


def test_sandbox_stop_ends_containers(pod):
    c = pod.up()
    ids = [pod.run_ctr(["sleep", "1000"], name="c%d" % i) for i in range(2)]
    created = pod.create(["sleep", "1000"], name="never")
    c.call("sandbox_stop", sandbox=pod.sandbox)
    assert not alive(pod.pause)
    for cid in ids + [created]:
        assert c.exited(cid)["exit_code"] == 137
    assert c.facts["sandboxes"][pod.sandbox]["state"] == "notready"
    c.call("sandbox_stop", sandbox=pod.sandbox)


def test_oom(pod):
    c = pod.up()
    cid = pod.run_ctr(["sh", "-c", "head -c 100000000 /dev/zero | busybox tail >/dev/null; exit 9"],
                      resources={"memory": {"limit": 20 << 20}})
    f = c.exited(cid)
    assert f["reason"] == "OOMKilled" and f["exit_code"] == 9  # a child was killed; init told us its own code
    cid = pod.run_ctr(["busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"],
                      resources={"memory": {"limit": 20 << 20}})
    f = c.exited(cid)
    assert (f["reason"], f["exit_code"], f["signal"]) == ("OOMKilled", 137, 9)


def test_pod_limits(pod):
    limits = {"cpu_shares": 512, "cpu_quota_us": 50000, "cpu_period_us": 100000, "memory_limit_bytes": 64 << 20, "pids_limit": 50}
    pod.up(limits=limits)
    base = "/sys/fs/cgroup"
    if os.path.isdir(base + "/memory"):
        def read(controller, name):
            return open("%s/%s%s/%s" % (base, controller, pod.cgroup, name)).read().strip()
        assert read("memory", "memory.limit_in_bytes") == str(64 << 20)
        assert (read("cpu", "cpu.shares"), read("cpu", "cpu.cfs_quota_us")) == ("512", "50000")
        assert read("pids", "pids.max") == "50"
    else:
        def read(name):
            return open(base + pod.cgroup + "/" + name).read().strip()
        assert (read("memory.max"), read("cpu.max"), read("pids.max")) == (str(64 << 20), "50000 100000", "50")


def test_logs_cri_format(pod):
    c = pod.up()
    cid = pod.run_ctr(["sh", "-c", "echo one; busybox printf %20000s x; echo; echo; busybox printf 'no end'"])
    c.exited(cid)
    wait_for(lambda: pod.log(cid).endswith(b"no end\n"))
    lines = pod.log(cid).decode().splitlines()
    assert [l.split(" ", 3)[2] for l in lines] == ["F", "P", "F", "F", "F"]
    assert [len(l.split(" ", 3)[3]) for l in lines] == [3, 16384, 20000 - 16384, 0, 6]
    for l in lines:
        stamp = l.split(" ", 1)[0]
        assert len(stamp) == len("2026-01-02T15:04:05.123456789Z") and stamp.endswith("Z")


def test_log_rotation(pod):
    c = pod.up()
    cid = pod.run_ctr(["sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line-$i-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done"],
                      log={"max_bytes": 20000, "max_files": 3})
    path = c.exited(cid)["log_path"]
    wait_for(lambda: b"line-2999-" in open(path, "rb").read())
    files = sorted(os.listdir(os.path.dirname(path)))
    assert len(files) == 3 and files[0] == os.path.basename(path)
    for f in files[1:]:
        assert len(f) == len("1.log.20260102-150405")
        assert os.path.getsize(os.path.join(os.path.dirname(path), f)) <= 20000 + 65536 * 3
    whole = b"".join(open(os.path.join(os.path.dirname(path), f), "rb").read() for f in files[1:] + files[:1])
    numbers = [int(l.split(b"line-")[1].split(b"-")[0]) for l in whole.splitlines()]
    assert numbers == list(range(numbers[0], 3000))  # nothing lost but the oldest


def test_full_disk_loses_log_lines_not_exits(pod):
    c = pod.up()
    small = os.path.join(pod.tmp, "small")
    os.makedirs(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
    try:
        pod.logs = small
        cid = pod.run_ctr(["sh", "-c", "yes | head -c 1000000; exit 5"])
        f = c.exited(cid)
        assert f["exit_code"] == 5
        c.call("remove", container=cid)
        assert "dropped" in open(os.path.join(pod.run, "shim.log")).read()
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_terminal(pod):
    c = pod.up()
    cid = pod.run_ctr(["sh", "-c", "tty; echo err >&2; test -t 1 && exit 4"], tty=True)
    assert c.exited(cid)["exit_code"] == 4
    text = [t.rstrip("\r") for _, t in pod.log_text(cid)]
    assert "/dev/pts/0" in text and "err" in text
    assert {s for s, _ in pod.log_text(cid)} == {"stdout"}


def test_stdin(pod):
    c = pod.up()
    assert c.exited(pod.run_ctr(["sh", "-c", "cat; exit 6"]))["exit_code"] == 6  # /dev/null
    cid = pod.run_ctr(["cat"], stdin=True)  # stays open
    time.sleep(0.3)
    assert c.container(cid)["state"] == "running"


def test_termination_message(pod):
    c = pod.up()
    path = os.path.join(pod.tmp, "message")
    with open(path, "w"):
        pass
    mounts = [{"destination": "/dev/termination-log", "type": "bind", "source": path, "options": ["bind", "rw"]}]
    last_words = {"path": path, "fallback": True}
    f = c.exited(pod.run_ctr(["sh", "-c", "echo logged; echo -n last words > /dev/termination-log; exit 1"], mounts=mounts,
                             message=last_words))
    assert f["message"] == "last words"
    f = c.exited(pod.run_ctr(["sh", "-c", "yes 0123456789 | head -c 6000 > /dev/termination-log; exit 0"], mounts=mounts,
                             message=last_words))
    assert len(f["message"]) == 4096
    os.truncate(path, 0)
    f = c.exited(pod.run_ctr(["sh", "-c", "echo logged; echo again >&2; exit 1"], mounts=mounts, message=last_words))
    assert sorted(f["message"].splitlines()) == ["again", "logged"]
    f = c.exited(pod.run_ctr(["sh", "-c", "echo logged; exit 0"], mounts=mounts, message=last_words))
    assert "message" not in f
    f = c.exited(pod.run_ctr(["sh", "-c", "busybox printf 'a\\377b' > /dev/termination-log; exit 1"], mounts=mounts, message=last_words))
    assert f["message"] == "a\ufffdb"
    os.unlink(path)
    os.symlink("/etc/hostname", path)
    f = c.exited(pod.run_ctr(["sh", "-c", "exit 1"], message={"path": path, "fallback": False}))
    assert "message" not in f


def run_exec(pod, cid, argv, timeout_s=0.0, max_output=4096):
    r = pod.client.call("exec", container=cid, argv=argv, timeout_ns=int(timeout_s * 1e9), max_output=max_output)
    return r["exit_code"], r["timed_out"], base64.b64decode(r["output"])


def test_exec(pod):
    c = pod.up()
    cid = pod.run_ctr(["sleep", "1000"], user=1234)
    assert run_exec(pod, cid, ["sh", "-c", "echo out; echo $A; id -u; echo err >&2; exit 3"]) == (3, False, b"out\nb\n1234\nerr\n")
    code, timed_out, out = run_exec(pod, cid, ["sh", "-c", "yes"], timeout_s=0.5, max_output=100)
    assert timed_out and out == b"y\n" * 50
    start = time.monotonic()
    code, timed_out, out = run_exec(pod, cid, ["sh", "-c", "echo early; sleep 777 & sleep 777"], timeout_s=0.5)
    assert timed_out and out == b"early\n" and time.monotonic() - start < 5
    time.sleep(0.1)
    assert [p for p in os.listdir("/proc") if p.isdigit() and "sleep\x00777" in cmdline(p) and alive(int(p))] == []
    with pytest.raises(Refused) as e:
        run_exec(pod, cid, ["/bin/nonexistent"])
    assert "nonexistent" in e.value.error["text"]
    assert run_exec(pod, cid, ["true"])[0] == 0
    # Several at once, the slow one does not hold up the others.
    slow = c.send("exec", container=cid, argv=["sleep", "1"], timeout_ns=0, max_output=0)
    quick = [c.send("exec", container=cid, argv=["sh", "-c", "exit %d" % i], timeout_ns=0, max_output=0) for i in range(5)]
    assert [c.reply(q)["exit_code"] for q in quick] == list(range(5))
    assert slow not in c.replies
    assert c.reply(slow)["exit_code"] == 0
    c.call("kill", containers=[cid])
    c.exited(cid)
    with pytest.raises(Refused) as e:
        run_exec(pod, cid, ["true"])
    assert e.value.error["kind"] == 2


def test_remove_while_running_and_creating(pod):
    c = pod.up()
    cid = pod.run_ctr(["sleep", "1000"])
    pid = c.container(cid)["pid"]
    c.call("remove", container=cid)
    assert c.container(cid) is None and not alive(pid)
    # A removal sent right behind the create.
    cid = uuid.uuid4().hex * 2
    rootfs = c.call("prepare", container=cid, sandbox=pod.sandbox, lower=[pod.layer])["rootfs"]
    a = c.send("create", container=cid, config=pod.config(rootfs, ["sleep", "1000"], cid), cgroup=pod.cgroup + "/" + cid,
               facts={"name": "x", "attempt": 9, "log_path": pod.logs + "/x/9.log"}, log={}, pid_private=True, tty=False, stdin=False)
    b = c.send("remove", container=cid)
    try:
        c.reply(a)
    except Refused:
        pass
    c.reply(b)
    assert c.container(cid) is None


def test_client_death_changes_nothing(pod):
    c = pod.up()
    cid = pod.run_ctr(["sh", "-c", "sleep 0.5; exit 21"])
    c.close()
    time.sleep(0.8)
    c = pod.client = Client(os.path.join(pod.run, "shim.sock"))
    f = c.container(cid)
    assert (f["state"], f["exit_code"], f["exit_known"]) == ("exited", 21, True)


def test_shim_killed_and_adopted(pod):
    c = pod.up()
    done = pod.run_ctr(["sh", "-c", "exit 11"], name="done")
    c.exited(done)
    cid = pod.run_ctr(["sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; [ -e /stop ] && exit 33; done"])
    created = pod.create(["sh", "-c", "exit 12"], name="created")
    time.sleep(0.3)
    pid = c.container(cid)["pid"]
    pod.kill_shim()
    time.sleep(0.3)
    assert alive(pid) and alive(pod.pause)
    c = pod.start_shim()
    assert c.facts["sandboxes"][pod.sandbox]["state"] == "ready"
    assert (c.container(done)["exit_code"], c.container(done)["state"]) == (11, "exited")
    assert (c.container(cid)["state"], c.container(cid)["pid"]) == ("running", pid)
    assert run_exec(pod, cid, ["touch", "/stop"])[0] == 0
    f = c.exited(cid)
    assert (f["exit_known"], f["exit_code"]) in ((True, 33), (False, None)) or not f["exit_known"]
    numbers = [int(t) for _, t in pod.log_text(cid)]
    assert numbers == list(range(len(numbers)))  # the pipe kept what was written meanwhile
    c.call("start", container=created)
    c.exited(created)
    kernel = tuple(int(x) for x in os.uname().release.split(".")[:2])
    if kernel >= (6, 15):
        assert f["exit_known"] and f["exit_code"] == 33
        assert c.container(created)["exit_code"] == 12


def test_shim_killed_containers_end_meanwhile(pod):
    c = pod.up()
    cid = pod.run_ctr(["sh", "-c", "sleep 0.4; exit 44"])
    pod.kill_shim()
    time.sleep(0.8)
    c = pod.start_shim()
    f = c.container(cid)
    assert f["state"] == "exited"
    if f["exit_known"]:
        assert f["exit_code"] == 44  # its zombie still told
    else:
        assert "exit_code" not in f and "reason" not in f
    c.call("remove", container=cid)


def test_two_shims_of_one_pod(pod):
    pod.up()
    done = subprocess.run([SHIM, "--uid", pod.uid, "--run-dir", pod.run, "--root-dir", pod.root, "--runtime", pod.runtime],
                          capture_output=True, text=True, timeout=TEXT_MAX)
    assert done.returncode == 1 and "another shim" in done.stderr


STEPS = ["shim.prepare", "shim.mounted", "shim.create", "shim.created", "shim.start", "shim.started", "shim.exit.reaped",
         "shim.exit.recorded", "shim.kill", "shim.killed", "shim.remove", "shim.removed"]


@pytest.mark.parametrize("step", STEPS)
def test_shim_dies_at(pod, step):
    """kill -9 at every step of one container's life: no half container is left, no wrong exit code is told."""
    flag = os.path.join(pod.tmp, "fault")
    pod.up(fault="kill@%s@%s" % (step, flag))
    cid = None
    try:
        cid = pod.create(["sh", "-c", "sleep 0.1; exit 5"])
        pod.client.call("start", container=cid)
        pod.client.exited(cid)
        other = pod.run_ctr(["sleep", "1000"], name="other")
        pod.client.call("kill", containers=[other])
        pod.client.exited(other)
        pod.client.call("remove", container=cid)
        pod.client.call("remove", container=other)
    except (EOFError, OSError):
        pass
    assert os.path.exists(flag), "the step was not reached"
    c = pod.start_shim()
    for f in list(c.facts["containers"].values()):
        assert f["state"] in ("created", "running", "exited"), f
        if f["state"] == "exited" and f.get("exit_known"):
            assert f["exit_code"] in (5, 137), f
    fresh = pod.run_ctr(["sh", "-c", "exit 6"], name="fresh")
    assert c.exited(fresh)["exit_code"] == 6


@pytest.mark.parametrize("verb", ["create", "start", "delete"])
def test_runtime_killed(pod, verb):
    """kill -9 of the OCI runtime: the request is repeated or refused, and nothing half-made stays."""
    wrapper = os.path.join(pod.tmp, "crun" if pod.runtime.endswith("crun") else "runc")
    flag = os.path.join(pod.tmp, "killed")
    with open(wrapper, "w") as f:
        # The first <verb> is killed after a moment: somewhere in the middle.
        f.write("#!/bin/sh\ncase \" $* \" in *' %s '*) if [ ! -e %s ]; then : > %s\n"
                "%s \"$@\" & p=$!; sleep 0.004; kill -9 $p $$; fi;; esac\nexec %s \"$@\"\n"
                % (verb, flag, flag, pod.runtime, pod.runtime))
    os.chmod(wrapper, 0o755)
    pod.runtime = wrapper
    c = pod.up()
    for i in range(2):
        cid = pod.create(["sh", "-c", "exit 13"])
        try:
            c.call("start", container=cid)
        except Refused as e:
            assert e.error["reason"] == "RunContainerError"
        f = c.exited(cid)
        assert f["exit_code"] in (13, 128)
        c.call("remove", container=cid)
    assert os.path.exists(flag) or verb == "delete"


def test_two_hundred_containers_leave_nothing(pod):
    c = pod.up()
    before = len(os.listdir("/proc/%d/fd" % c.pid))
    for i in range(40):
        ids = [pod.run_ctr(["sleep", "1000"], name="c%d" % n) for n in range(2)]
        c.call("kill", containers=ids)
        for cid in ids:
            c.exited(cid)
            c.call("remove", container=cid)
    wait_for(lambda: os.listdir(os.path.join(pod.run, "oci")) == [] and os.listdir(os.path.join(pod.run, "c")) == [])
    wait_for(lambda: len(os.listdir("/proc/%d/fd" % c.pid)) <= before)
    def children():
        return open("/proc/%d/task/%d/children" % (c.pid, c.pid)).read().split()
    wait_for(lambda: children() == [str(pod.pause)])  # the last are reaped a moment after their ends are told
    assert os.path.getsize(os.path.join(pod.run, "journal")) < 1 << 20


def test_memory(pod):
    c = pod.up()
    if "libasan" in open("/proc/%d/maps" % c.pid).read():
        pytest.skip("a sanitized build is larger")
    for i in range(3):
        pod.run_ctr(["sleep", "1000"], name="c%d" % i)
    private = sum(int(l.split()[1]) for l in open("/proc/%d/smaps_rollup" % c.pid) if l.startswith(("Private_Clean", "Private_Dirty")))
    assert private < 1024, "%d kB" % private
