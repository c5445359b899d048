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
        assert hello["event"] == "hello" and hello["version"] == 1
        self.facts, self.pid = hello["facts"], hello["pid"]

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
               message=opt.get("message", {}))
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
