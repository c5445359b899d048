"""The shim's second socket (src/wire/shimwire.h): exec, attach and port-forward as descriptors that it passes, with crun and with runc."""
import array
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import termios
import threading

import pytest
from host import sanitized
from test_shim import TEXT_MAX, alive, pod, pytestmark, wait_for  # noqa: F401  (the fixture)

PR_SET_CHILD_SUBREAPER = 36
BEHIND = 4 << 20  # src/shim/attach.c


class Stream:
    """One connection to stream.sock, and what came through it."""

    def __init__(self, pod, op, **kw):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TEXT_MAX)
        here = os.open(pod.run, os.O_PATH)
        try:
            self.sock.connect("/proc/self/fd/%d/stream.sock" % here)
        finally:
            os.close(here)
        self.buf, self.fds, self.new = b"", {}, []
        self.say(op=op, **kw)

    def say(self, **kw):
        text = json.dumps(kw).encode()
        try:
            self.sock.sendall(struct.pack(">I", len(text)) + text)
        except BrokenPipeError:  # it was refused already: why is to be read
            pass

    def message(self):
        """The next one; None at the end."""
        while True:
            if len(self.buf) >= 4:
                n = struct.unpack(">I", self.buf[:4])[0]
                if len(self.buf) >= 4 + n:
                    m = json.loads(self.buf[4:4 + n])
                    self.buf = self.buf[4 + n:]
                    return m
            data, extra, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(16))
            for _, _, raw in extra:
                got = array.array("i")
                got.frombytes(raw)
                self.new += got
            if not data:
                return None
            self.buf += data

    def open(self):
        m = self.message()
        if "error" in m:
            raise Refused(m["error"]["text"])
        self.fds = dict(zip(m["ok"]["fds"], self.new, strict=True))
        return self

    def read(self, name, n=None, timeout=TEXT_MAX):
        """<n> bytes of it, or all up to the end."""
        out = b""
        while n is None or len(out) < n:
            assert select.select([self.fds[name]], [], [], timeout)[0], f"{name}: only {out!r}"
            try:
                part = os.read(self.fds[name], 65536)
            except OSError:  # a terminal's end
                part = b""
            if not part:
                break
            out += part
        return out

    def until(self, name, want, timeout=TEXT_MAX):
        out = b""
        while want not in out:
            part = self.read(name, 1, timeout)
            assert part, f"{name} ended: {out!r}"
            out += part
        return out

    def write(self, name, data):
        while data:
            try:
                data = data[os.write(self.fds[name], data):]
            except BlockingIOError:
                select.select([], [self.fds[name]], [], TEXT_MAX)

    def end(self, name):
        os.close(self.fds.pop(name))

    def close(self):
        for fd in self.fds.values():
            os.close(fd)
        self.fds = {}
        self.sock.close()


class Refused(Exception):
    pass


def execute(pod, cid, *argv, **kw):
    kw = dict({"stdin": False, "stdout": True, "stderr": True, "tty": False}, **kw)
    return Stream(pod, "exec", container=cid, argv=list(argv), **kw)


def run(pod, cid, *argv):
    """(code, stdout, stderr) of a command."""
    s = execute(pod, cid, *argv).open()
    out, err = s.read("stdout"), s.read("stderr")
    code = s.message()["exit"]
    s.close()
    return code, out, err


def fds_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def children(pid):
    return open(f"/proc/{pid}/task/{pid}/children").read().split()


def command(pod, mark, but=None):
    """The process of a command: the runtime may have returned before it was executed."""
    def find():
        for p in children(pod.client.pid):
            with open(f"/proc/{p}/cmdline", "rb") as f:
                if mark in f.read() and int(p) != but:
                    return int(p)
        return None
    return wait_for(find)


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith(("Private_Clean", "Private_Dirty")))


@pytest.fixture
def sleeper(pod):
    pod.up()
    return pod.run_ctr(["sleep", "1000"])


@pytest.mark.parametrize("script,code", [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)])
def test_exit_codes(pod, sleeper, script, code):
    assert run(pod, sleeper, "sh", "-c", "echo out; echo err >&2; " + script) == (code, b"out\n", b"err\n")


def test_what_cannot_run(pod, sleeper):
    with pytest.raises(Refused, match="OCI runtime exec failed: .*nope"):
        execute(pod, sleeper, "nope").open()
    with pytest.raises(Refused, match="no container"):
        execute(pod, "x" * 64, "true").open()
    with pytest.raises(Refused, match="unknown operation"):
        Stream(pod, "dance").open()
    pod.client.call("signal", container=sleeper, signal=9)
    pod.client.exited(sleeper)
    with pytest.raises(Refused, match="not running"):
        execute(pod, sleeper, "true").open()
    # No files of any of them are left.
    bundle = os.path.join(pod.run, "c", sleeper)
    assert [n for n in os.listdir(bundle) if n.startswith("exec.")] == []


def test_input_and_its_end(pod, sleeper):
    s = execute(pod, sleeper, "cat", stdin=True, stderr=False).open()
    assert sorted(s.fds) == ["stdin", "stdout"]
    data = os.urandom(3 << 20)
    writer = threading.Thread(target=lambda: (s.write("stdin", data), s.end("stdin")))
    writer.start()
    assert s.read("stdout") == data
    writer.join(TEXT_MAX)
    assert s.message() == {"exit": 0} and s.message() is None
    s.close()


def test_a_terminal(pod, sleeper):
    s = execute(pod, sleeper, "sh", tty=True, stdin=True).open()
    assert list(s.fds) == ["tty"]
    fcntl.ioctl(s.fds["tty"], termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    s.write("tty", b"echo $TERM; tty; busybox stty size\n")
    s.until("tty", b"xterm\r\n/dev/pts/0\r\n33 77\r\n")
    fcntl.ioctl(s.fds["tty"], termios.TIOCSWINSZ, struct.pack("HHHH", 44, 99, 0, 0))
    s.write("tty", b"busybox stty size\n")
    s.until("tty", b"44 99\r\n")
    s.write("tty", b"exit 6\n")
    assert s.message() == {"exit": 6}
    s.close()


def test_a_client_that_goes(pod, sleeper):
    """Its command sees the end of its input, or its terminal hang up; what it ignores, it survives; nothing is left of either in the shim."""
    before = fds_of(pod.client.pid)
    for kw in ({"stdin": True}, {"tty": True}):
        s = execute(pod, sleeper, "sh", "-c", "echo $$; cat; echo more", **kw).open()
        pid = command(pod, b"echo more")
        s.read("tty" if "tty" in kw else "stdout", 1)
        s.close()
        wait_for(lambda p=pid: not alive(p))
    wait_for(lambda: fds_of(pod.client.pid) == before)
    s = execute(pod, sleeper, "sleep", "1000").open()
    pid = command(pod, b"sleep\x001000", pod.client.container(sleeper)["pid"])
    s.close()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))  # reaped
    wait_for(lambda: fds_of(pod.client.pid) == before and not any(n.startswith("exec.") for n in os.listdir(os.path.join(pod.run, "c", sleeper))))


def test_streams_do_not_hold_up_a_kill(pod, sleeper):
    """Output that nobody reads waits in its pipe, and in no way of an exit; the command ends with its container."""
    stuck = [execute(pod, sleeper, "yes").open() for _ in range(4)]
    for s in stuck:  # it writes, and then to nobody
        s.read("stdout", 1)
    pod.client.call("kill", containers=[sleeper])
    assert pod.client.exited(sleeper)["exit_code"] == 137
    for s in stuck:
        assert s.message() == {"exit": 137}
        s.read("stdout")  # up to its end: nothing else has the pipe
        s.close()


def test_attach(pod):
    pod.up()
    cid = pod.run_ctr(["sh", "-c", "echo before; while read x; do echo \"got $x\"; echo \"err $x\" >&2; done"], stdin=True)
    wait_for(lambda: ("stdout", "before") in pod.log_text(cid))
    a = Stream(pod, "attach", container=cid, stdin=True, stdout=True, stderr=True).open()
    b = Stream(pod, "attach", container=cid, stdin=False, stdout=True, stderr=False).open()
    assert (sorted(a.fds), sorted(b.fds)) == (["stderr", "stdin", "stdout"], ["stdout"])
    a.write("stdin", b"one\n")
    assert a.read("stdout", 8) == b"got one\n" and a.read("stderr", 8) == b"err one\n" and b.read("stdout", 8) == b"got one\n"
    a.write("stdin", b"last\n")
    a.end("stdin")
    a.say(op="stdin_end")
    assert a.read("stdout") == b"got last\n"
    assert a.message() == {"exit": 0}  # without stdin_once nothing is closed for the container
    a.close()
    c = Stream(pod, "attach", container=cid, stdin=True, stdout=True).open()
    c.write("stdin", b"two\n")
    assert c.read("stdout", 8) == b"got two\n"
    pod.client.call("kill", containers=[cid])
    assert b.read("stdout") == b"got last\ngot two\n" and b.message() == {"exit": 0} and c.message() == {"exit": 0}
    b.close()
    c.close()
    assert pod.log_text(cid)[0] == ("stdout", "before")


@pytest.mark.parametrize("how", ["said", "gone"])
def test_stdin_once(pod, how):
    pod.up()
    cid = pod.run_ctr(["sh", "-c", "cat; echo over"], stdin=True, stdin_once=True)
    a = Stream(pod, "attach", container=cid, stdin=True, stdout=True).open()
    a.write("stdin", b"text\n")
    a.end("stdin")
    if how == "said":
        a.say(op="stdin_end")
        assert a.read("stdout") == b"text\nover\n" and a.message() == {"exit": 0}
    a.close()
    assert pod.client.exited(cid)["exit_code"] == 0
    assert pod.log_text(cid) == [("stdout", "text"), ("stdout", "over")]


def test_attach_to_a_terminal(pod):
    pod.up()
    cid = pod.run_ctr(["sh", "-c", "read x; echo \"got $x\"; tty; read y"], tty=True, stdin=True)
    a = Stream(pod, "attach", container=cid, stdin=True, stdout=True).open()
    assert sorted(a.fds) == ["stdout", "tty"]
    a.write("tty", b"hey\n")
    assert a.until("stdout", b"/dev/pts/").count(b"got hey\r\n") == 1
    a.end("tty")  # the container's terminal stays: the shim has it, too
    a.close()
    b = Stream(pod, "attach", container=cid, stdin=True, stdout=True).open()
    b.write("tty", b"\n")
    assert b.message() == {"exit": 0}
    b.close()
    assert pod.client.exited(cid)["exit_code"] == 0


def test_a_slow_attached_client_is_cut_off(pod):
    """It holds up neither the container nor its log, and costs no memory of the shim."""
    pod.up()
    n = 12 << 20
    cid = pod.run_ctr(["sh", "-c", f"read x; yes 0123456789012345678901234567890 | head -c {n}; echo; echo end"], stdin=True)
    slow = Stream(pod, "attach", container=cid, stdout=True).open()
    quick = Stream(pod, "attach", container=cid, stdin=True, stdout=True).open()
    before = private_kib(pod.client.pid)
    got = []
    reader = threading.Thread(target=lambda: got.append(quick.read("stdout")))
    reader.start()
    quick.write("stdin", b"\n")
    assert pod.client.exited(cid)["exit_code"] == 0
    assert pod.log(cid).endswith(b" stdout F end\n")
    reader.join(TEXT_MAX)
    assert sanitized(pod.client.pid) or private_kib(pod.client.pid) - before < 600
    m = slow.message()
    assert "reads too slowly" in m["error"]["text"]
    assert len(slow.read("stdout")) <= BEHIND + 65536
    slow.close()
    if quick.message() == {"exit": 0}:  # a machine that is busy may have cut it off, too
        assert len(got[0]) == n + 5
    quick.close()


def test_a_shim_that_dies(pod):
    """Commands go with their supervisor; the container can be attached to and exec'd in again."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # as the agent is
    pod.up()
    cid = pod.run_ctr(["sh", "-c", "while read x; do echo \"got $x\"; done"], stdin=True)
    s = execute(pod, cid, "sleep", "1000").open()
    a = Stream(pod, "attach", container=cid, stdout=True).open()
    pid = command(pod, b"sleep\x001000")
    pod.kill_shim()
    assert s.message() is None and a.message() is None
    s.close()
    a.close()
    pod.start_shim()
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    assert pod.client.strays == [pid]
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL  # or the container's pid namespace would never end
    assert run(pod, cid, "echo", "again") == (0, b"again\n", b"")
    a = Stream(pod, "attach", container=cid, stdin=True, stdout=True).open()
    a.write("stdin", b"me\n")
    assert a.read("stdout", 7) == b"got me\n"
    a.close()


@pytest.mark.parametrize("net", [True, False])
def test_dial(pod, net):
    """A connection inside the sandbox's network: its own, or the host's."""
    pod.up(net=net)
    cid = pod.run_ctr(["sleep", "1000"])
    if net:
        subprocess.run(["nsenter", f"--net=/proc/{pod.pause}/ns/net", "ip", "link", "set", "lo", "up"], check=True)
    ready = "import socket; s = socket.create_server(('127.0.0.1', PORT)); print(s.getsockname()[1], flush=True); c = s.accept()[0]\n" \
            "while d := c.recv(65536): c.sendall(d)\nc.sendall(b'bye'); c.close()"
    peer = subprocess.Popen((["nsenter", f"--net=/proc/{pod.pause}/ns/net"] if net else []) +
                            ["/usr/bin/python3", "-c", ready.replace("PORT", "0")], stdout=subprocess.PIPE, text=True)
    try:
        port = int(peer.stdout.readline())
        s = Stream(pod, "dial", sandbox=pod.sandbox, port=port).open()
        sock = socket.socket(fileno=os.dup(s.fds["socket"]))
        sock.settimeout(TEXT_MAX)
        sock.sendall(b"hello")
        assert sock.recv(5, socket.MSG_WAITALL) == b"hello"
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b"bye"
        sock.close()
        s.close()
        if net:
            with pytest.raises(Refused, match="IPv4: dial tcp4 127.0.0.1:1: connect: connection refused IPv6 dial tcp6"):
                Stream(pod, "dial", sandbox=pod.sandbox, port=1).open()
        with pytest.raises(Refused, match="port 0"):
            Stream(pod, "dial", sandbox=pod.sandbox, port=0).open()
        with pytest.raises(Refused, match="is not running"):
            Stream(pod, "dial", sandbox="nope", port=80).open()
    finally:
        peer.kill()
        peer.wait()
        peer.stdout.close()
    assert run(pod, cid, "true") == (0, b"", b"")


def test_many_at_once(pod, sleeper):
    ours = [execute(pod, sleeper, "sh", "-c", f"echo {i}; exit {i}") for i in range(40)]
    for i, s in enumerate(ours):
        s.open()
        assert (s.read("stdout"), s.message()) == (b"%d\n" % i, {"exit": i})
        s.close()
    idle = [Stream(pod, "attach", container=sleeper, stdout=True).open() for _ in range(256)]
    with pytest.raises(Refused, match="256 streams"):
        execute(pod, sleeper, "true").open()
    for s in idle:
        s.close()
    wait_for(lambda: run(pod, sleeper, "true")[0] == 0)
