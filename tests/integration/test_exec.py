"""`reprise exec`, `attach` and `port-forward`, over both runtimes: streams, exit codes, terminals, and what goes wrong."""
import fcntl
import hashlib
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest
from conftest import CONTAINERD
from pods import container, is_running, pod

BIG = 10_000_000
# Echoes each connection; the other port has nobody.
ECHO = "trap 'exit 0' TERM; while :; do nc -ll -p 7000 -e cat; done & while :; do sleep 0.1; done"


def where(reprise):
    """The flags of exec and its like: --log-dir and the rest are taken, too."""
    return reprise.dirs


def run(reprise, command, *args, data=b"", timeout=60):
    """stdin and stdout are bytes."""
    return subprocess.run([reprise.program, command, *where(reprise), *args], input=data, capture_output=True, timeout=timeout)


@pytest.fixture
def running(reprise):
    """A Pod with a plain container, one that reads its stdin, one with a terminal, and an init container that is over."""
    it = reprise.start_pod(pod(
        container(script=ECHO),
        container("cat", "read x; echo \"got $x\"; exec cat", stdin=True),
        container("term", "echo ready; exec sh", stdin=True, tty=True),
        init=[container("setup", "true")]))
    it.wait_for(lambda p: is_running(p, "main", "cat", "term"), timeout=40)
    return it


def test_output_and_exit_codes(reprise, running):
    done = run(reprise, "exec", "p", "--", "sh", "-c", "echo out; echo err >&2")
    assert (done.returncode, done.stdout) == (0, b"out\n")
    assert done.stderr == b'Defaulted container "main" out of: main, cat, term, setup (init)\nerr\n'
    for code in (1, 3, 137):
        done = run(reprise, "exec", "default/p", "-c", "cat", "--", "sh", "-c", f"exit {code}")
        assert (done.returncode, done.stdout) == (code, b"")
        assert done.stderr == f"command terminated with exit code {code}\n".encode()
    done = run(reprise, "exec", "-q", "--websocket", "p", "--", "sh", "-c", "echo out; echo err >&2; exit 5")
    assert (done.returncode, done.stdout) == (5, b"out\n")
    assert done.stderr == b"err\ncommand terminated with exit code 5\n"


def test_input_with_half_close(reprise, running):
    data = os.urandom(BIG)
    done = run(reprise, "exec", "-iq", "p", "--", "sh", "-c", "md5sum; echo after", data=data)
    assert done.stdout.decode() == hashlib.md5(data).hexdigest() + "  -\nafter\n", done.stderr
    done = run(reprise, "exec", "-iq", "p", "--", "cat", data=data)
    assert done.stdout == data
    # A file instead of a pipe, and none at all.
    path = f"{reprise.folder}/input"
    with open(path, "wb") as f:
        f.write(data)
    with open(path, "rb") as f:
        done = subprocess.run([reprise.program, "exec", "-iq", *where(reprise), "p", "--", "md5sum"], stdin=f, capture_output=True, timeout=60)
    assert done.stdout.decode().split()[0] == hashlib.md5(data).hexdigest()
    done = run(reprise, "exec", "-q", "p", "--", "wc", "-c", data=b"not read")
    assert done.stdout.split() == [b"0"]


def test_input_nobody_reads(reprise, running):
    # containerd 2 says how an exec ended only when it has written all of stdin into the FIFO, though nobody reads that any more
    # (ExecIO.Attach waits for its stdin copy; seen with 2.4.2): what does not fit hangs, with any client.
    n = BIG if CONTAINERD == "1" else 32 << 10
    done = run(reprise, "exec", "-iq", "p", "--", "sh", "-c", "exit 4", data=os.urandom(n))
    assert done.returncode == 4


def test_reader_that_leaves(reprise, running):
    ours = subprocess.Popen([reprise.program, "exec", "-q", *where(reprise), "p", "--", "yes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert ours.stdout.read(2) == b"y\n"
    ours.stdout.close()
    assert ours.wait(10) == -signal.SIGPIPE
    ours.stderr.close()


def test_what_is_not_there(reprise, running):
    for args, want in (
            (("-c", "nope", "p", "--", "true"), "reprise: container nope not found in pod p\n"),
            (("nope", "--", "true"), 'reprise: pods "nope" not found\n'),
            (("other/p", "--", "true"), 'reprise: pods "p" not found\n'),
            (("-c", "setup", "p", "--", "true"), 'reprise: unable to upgrade connection: container not found ("setup")\n')):
        done = run(reprise, "exec", *args)
        assert (done.returncode, done.stderr.decode()) == (1, want)
    done = run(reprise, "exec", "-q", "p", "--", "/nope")
    assert done.returncode in (1, 126, 127) and b"no such file" in done.stderr.lower()  # containerd 1.6 has no exit code for it
    done = run(reprise, "exec", "p", "true")
    assert done.returncode == 2 and b"exec POD -- COMMAND" in done.stderr


def test_completed_pod(reprise):
    done = reprise.run_pod(pod(container(script="true")), "--until=Succeeded", "--keep")
    try:
        for command, args, verb in (("exec", ("--", "true"), "exec into"), ("attach", (), "attach to")):
            over = run(reprise, command, "p", *args)
            assert over.returncode == 1
            assert over.stderr.decode() == f"reprise: cannot {verb} a container in a completed pod; current phase is Succeeded\n"
    finally:
        reprise.delete(done.pod)


def test_default_container_annotation(reprise):
    manifest = pod(container(), container("second")).replace('"name": "p"', '"name": "p", "annotations": '
                                                             '{"kubectl.kubernetes.io/default-container": "second"}', 1)
    it = reprise.start_pod(manifest)
    it.wait_for(lambda p: is_running(p, "main", "second"), timeout=40)
    done = run(reprise, "exec", "p", "--", "hostname")
    assert (done.returncode, done.stderr) == (0, b"")
    attached = run(reprise, "exec", "p", "--", "sh", "-c", "echo $0")
    assert attached.returncode == 0


# --- terminals --------------------------------------------------------------------------------------------------------


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, reprise, command, *args, rows=33, columns=77):
        self.master, self.slave = pty.openpty()
        self.size(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen([reprise.program, command, *where(reprise), *args], stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, start_new_session=True)
        self.text = ""

    def size(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern, timeout=10):
        """Reads until <pattern> has come; forgets what was before."""
        deadline = time.monotonic() + timeout
        while not (match := re.search(pattern, self.text)):
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.text!r}"
            if select.select([self.master], [], [], left)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")
        self.text = self.text[match.end():]
        return match

    def wait(self, timeout=10):
        return self.process.wait(timeout)

    def restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(reprise, running):
    open_ones = []

    def start(*args, **more):
        open_ones.append(Terminal(reprise, *args, **more))
        return open_ones[-1]
    yield start
    for it in open_ones:
        it.close()


def test_terminal(terminal):
    it = terminal("exec", "-it", "-q", "p", "--", "sh")
    it.expect("# ")
    assert not it.restored()
    it.type("stty size; tty\n")
    it.expect(r"33 77\r\n/dev/pts/\d+\r\n")
    it.size(44, 99)
    os.kill(it.process.pid, signal.SIGWINCH)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        it.type("stty size\n")
        if it.expect(r"(\d+ \d+)\r\n").group(1) == "44 99":
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the size did not change")
    it.type("exit 7\n")
    it.expect("command terminated with exit code 7\r\n")
    assert it.wait() == 7 and it.restored()


def test_interrupt_goes_to_the_container(terminal):
    it = terminal("exec", "-it", "-q", "p", "--", "sh", "-c", "echo ready; exec sleep 100")
    it.expect("ready")
    it.type("\x03")
    assert it.wait() == 130 and it.restored()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT])
def test_terminal_is_restored_after_signals(terminal, sig):
    it = terminal("exec", "-it", "-q", "p", "--", "sh", "-c", "echo ready; exec sleep 100")
    it.expect("ready")
    assert not it.restored()
    it.process.send_signal(sig)
    assert it.wait() == -sig and it.restored()


def test_terminal_stops_and_goes_on(terminal):
    it = terminal("exec", "-it", "-q", "p", "--", "sh")
    it.expect("# ")
    it.process.send_signal(signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(it.process.pid, os.WUNTRACED)[1]) and it.restored()
    it.process.send_signal(signal.SIGCONT)
    it.type("echo $((6*7))\n")
    it.expect("42\r\n")
    assert not it.restored()
    it.type("exit\n")
    assert it.wait() == 0 and it.restored()


def test_no_terminal(reprise, running):
    done = run(reprise, "exec", "-it", "p", "-c", "main", "--", "cat", data=b"text")
    assert (done.returncode, done.stdout) == (0, b"text")
    assert done.stderr == b"Unable to use a TTY - input is not a terminal or the right kind of file\n"


# --- attach -----------------------------------------------------------------------------------------------------------


def test_attach_with_input(reprise, running):
    ours = subprocess.Popen([reprise.program, "attach", "-i", "-c", "cat", *where(reprise), "p"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        time.sleep(0.5)
        ours.stdin.write(b"hello\n")
        ours.stdin.flush()
        assert ours.stdout.readline() == b"got hello\n"
        ours.stdin.write(b"more\n")
        ours.stdin.flush()
        assert ours.stdout.readline() == b"more\n"
        ours.stdin.close()  # detaches: without stdinOnce the container's stdin stays open
        assert ours.wait(10) == 0
    finally:
        ours.kill()
        ours.wait()
        ours.stdout.close()
        ours.stderr.close()
    assert is_running(running.pod, "cat")


def test_attach_to_a_terminal(terminal):
    it = terminal("attach", "-it", "-c", "term", "p")
    it.expect("If you don't see a command prompt, try pressing enter.")
    it.type("\n")
    it.expect("# ")
    it.type("stty size\n")
    it.expect("33 77\r\n")
    it.type("exit\n")
    assert it.wait() == 0 and it.restored()


def test_attach_without_its_terminal(terminal):
    it = terminal("attach", "-it", "-c", "cat", "p")
    it.expect("error: Unable to use a TTY - container cat did not allocate one\r\n")
    it.type("x\n")
    it.expect("got x")
    assert it.restored()


# --- port-forward -----------------------------------------------------------------------------------------------------


class Forwarding:
    def __init__(self, reprise, *args):
        self.process = subprocess.Popen([reprise.program, "port-forward", *where(reprise), *args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines, self.ports = [], {}
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if match := re.fullmatch(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)\n", line):
                self.ports[int(match.group(2))] = int(match.group(1))

    def port(self, remote, timeout=10):
        deadline = time.monotonic() + timeout
        while remote not in self.ports:
            assert time.monotonic() < deadline and self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.02)
        return self.ports[remote]

    def stop(self, sig=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(10)
        self.thread.join(5)
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return code, errors


def through(port, data):
    """What comes back of <data>, as it is being sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        writer = threading.Thread(target=s.sendall, args=(data,))
        writer.start()
        got = bytearray()
        while len(got) < len(data):
            part = s.recv(1 << 16)
            if not part:
                break
            got += part
        writer.join(20)
    return bytes(got)


def test_port_forward(reprise, running):
    it = Forwarding(reprise, "p", ":7000", "0:7001")
    try:
        port = it.port(7000)
        data = [os.urandom(BIG) for _ in range(4)]
        got = [None] * 4
        threads = [threading.Thread(target=lambda i=i: got.__setitem__(i, through(port, data[i]))) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [g == d for g, d in zip(got, data)] == [True] * 4
        # Nobody listens there: that connection ends, the rest goes on.
        with socket.create_connection(("127.0.0.1", it.port(7001)), timeout=10) as s:
            assert s.recv(10) == b""
        for _ in range(50):
            assert through(port, b"again") == b"again"
        assert it.lines.count(f"Handling connection for {port}\n") == 54
    finally:
        code, errors = it.stop()
    assert code == 0 and f"an error occurred forwarding {it.ports[7001]} -> 7001" in errors and "connection refused" in errors


def test_port_forward_slow_client(reprise, running):
    """One that does not read is not read for: memory stays bounded, and its bytes come once it does."""
    it = Forwarding(reprise, "p", ":7000")
    try:
        with socket.create_connection(("127.0.0.1", it.port(7000)), timeout=20) as s:
            data = os.urandom(3 * BIG)
            writer = threading.Thread(target=s.sendall, args=(data,))
            writer.start()
            time.sleep(2)
            with open(f"/proc/{it.process.pid}/statm") as f:
                resident = int(f.read().split()[1]) * 4096
            assert resident < 40 << 20
            got = bytearray()
            while len(got) < len(data) and (part := s.recv(1 << 16)):
                got += part
            writer.join(20)
        assert got == data
    finally:
        it.stop()


def test_port_forward_refuses(reprise, running):
    for args, status, want in (
            (("p", "x"), 2, "neither a number from 1 to 65535 nor the name"),
            (("p", "70000:1"), 2, "is no number from 0 to 65535"),
            (("nope", "80"), 1, 'pods "nope" not found'),
            (("--address=here", "p", ":80"), 2, "is no IP address")):
        done = run(reprise, "port-forward", *args)
        assert done.returncode == status and want in done.stderr.decode(), done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(reprise, "port-forward", "--address=127.0.0.1", "p", f"{taken.getsockname()[1]}:7000")
    assert done.returncode == 1 and b"unable to listen on port" in done.stderr and b"address already in use" in done.stderr


def test_port_forward_ends_with_the_pod(reprise, running):
    it = Forwarding(reprise, "p", ":7000")
    try:
        with socket.create_connection(("127.0.0.1", it.port(7000)), timeout=10) as s:
            s.sendall(b"x")
            assert s.recv(1) == b"x"
            running.interrupt()
            running.wait()
            assert s.recv(1) == b""
    finally:
        it.stop()


# --- the runtime goes away ---------------------------------------------------------------------------------------------


@pytest.mark.cri
def test_lost_connection(reprise, running, containerd):
    ours = subprocess.Popen([reprise.program, "exec", "-q", *where(reprise), "p", "--", "sh", "-c", "echo ready; exec sleep 100"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert ours.stdout.readline() == "ready\n"
    containerd.kill()
    try:
        out, errors = ours.communicate(timeout=20)
    finally:
        containerd.start()
    assert (ours.returncode, out, errors) == (1, "", "reprise: lost connection to the container\n")
