"""kubectl against src/apiserver: exec, attach, port-forward and logs. The Pods are objects in a file; what runs is the fake runtime, which
gives back what it is sent, or (test_embedded) a real container."""
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest
from conftest import BUILD, RUNTIME
from host import echo, sanitized
from pods import container, is_running, pod

SERVER = os.path.join(BUILD, "tests/tools/api_server")
KUBECTL = shutil.which("kubectl")
pytestmark = [pytest.mark.oci("the API does not know which runtime is below"),
              pytest.mark.skipif(not KUBECTL, reason="kubectl is not installed"),
              pytest.mark.skipif(not os.access(SERVER, os.X_OK), reason="api_server is not built")]
STAMP = "2026-01-02T15:04:05.5Z stdout F "


def a_pod(running=True, count=0, **status):
    state = {"running": {}} if running else {"terminated": {"containerID": "reprise://c", "exitCode": 0}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "u1"},
            "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "i", "stdin": True}, {"name": "second", "image": "i"}],
                     "initContainers": [{"name": "setup", "image": "i"}]},
            "status": dict({"phase": "Running", "containerStatuses": [
                {"name": "main", "restartCount": count, "containerID": "reprise://c", "state": state},
                {"name": "second", "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}]}, **status)}


class Api:
    def __init__(self, folder, *args, env=None):
        self.folder, self.objects = str(folder), os.path.join(folder, "objects")
        self.logs = os.path.join(folder, "logs")
        self.config = os.path.join(folder, "kubeconfig")
        if not os.path.exists(self.objects):
            self.write(a_pod(), tell=False)
        self.process = subprocess.Popen([SERVER, "--port=0", f"--kubeconfig={self.config}", f"--objects={self.objects}",
                                         f"--log-dir={self.logs}", *args], stdout=subprocess.PIPE, text=True, env=env)
        self.port = int(self.process.stdout.readline().split()[1])
        with open(self.config) as f:  # our certificates have no names that Go would take
            text = re.sub(r"tls-server-name: localhost, certificate-authority-data: [^}]*}", "insecure-skip-tls-verify: true}", f.read())
        with open(self.config, "w") as f:
            f.write(text)

    def write(self, *pods, tell=True):
        with open(self.objects + ".new", "w") as f:
            f.writelines(json.dumps(p) + "\n" for p in pods)
        os.rename(self.objects + ".new", self.objects)
        if tell:
            self.process.send_signal(signal.SIGHUP)

    def env(self, spdy=False):
        more = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"} if spdy else {}
        return dict(os.environ, KUBECONFIG=self.config, HOME=self.folder, **more)

    def kubectl(self, *args, data=b"", spdy=False, timeout=60):
        return subprocess.run([KUBECTL, *args], input=data, capture_output=True, timeout=timeout, env=self.env(spdy))

    def start(self, *args, spdy=False, **kw):
        return subprocess.Popen([KUBECTL, *args], env=self.env(spdy), **dict({"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}, **kw))

    def log(self, text, attempt="0.log", mode="a"):
        folder = os.path.join(self.logs, "default_p_u1/main")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, attempt), mode) as f:
            f.write(text)
        return os.path.join(folder, attempt)

    def resident(self):
        if sanitized(self.process.pid):
            return 0
        with open(f"/proc/{self.process.pid}/statm") as f:
            return int(f.read().split()[1]) * 4096

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def connect(self):
        context = ssl._create_unverified_context()
        with open(self.config) as f:
            data = f.read()
        with tempfile.NamedTemporaryFile(dir=self.folder) as pem:
            for key in ("client-certificate-data", "client-key-data"):
                pem.write(base64.b64decode(re.search(key + r": ([\w+/=]+)", data).group(1)))
            pem.flush()
            context.load_cert_chain(pem.name)
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=10))

    def raw(self, text):
        """The answer to a request as it stands."""
        with self.connect() as s:
            s.sendall(text.replace("\n", "\r\n").encode())
            got = b""
            while part := s.recv(65536):
                got += part
        return got.decode()

    def close(self):
        self.process.terminate()
        code = self.process.wait(20)
        self.process.stdout.close()
        return code


@pytest.fixture
def api(tmp_path):
    it = Api(tmp_path, "--pod=u1=main,second")
    yield it
    assert it.close() == 0


@pytest.mark.parametrize("spdy", [False, True])
def test_exec(api, spdy):
    data = os.urandom(3_000_000)
    done = api.kubectl("exec", "-i", "p", "-c", "main", "--", "exit", "3", data=data, spdy=spdy)
    assert (done.returncode, done.stderr) == (3, b"command terminated with exit code 3\n") and done.stdout == data
    done = api.kubectl("exec", "-i", "p", "-c", "main", "--", "exit", "0", data=b"x", spdy=spdy)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"x", b"")
    done = api.kubectl("exec", "p", "-c", "main", "--", "fail", "it cannot", spdy=spdy)
    assert (done.returncode, done.stderr) == (1, b"error: Internal error occurred: it cannot\n")


@pytest.mark.parametrize("spdy", [False, True])
def test_port_forward(api, spdy):
    forward = api.start("port-forward", "p", ":80", ":1", spdy=spdy)
    try:
        ports = {}
        while len(ports) < 2:
            line = forward.stdout.readline().decode()
            if match := re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)", line):
                ports[int(match.group(2))] = int(match.group(1))
        data = os.urandom(5_000_000)
        got = []

        def through():
            got.append(echo(ports[80], data) == data)
        threads = [threading.Thread(target=through) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        assert got == [True] * 4
        with socket.create_connection(("127.0.0.1", ports[1]), timeout=30) as s:
            assert s.recv(1) == b""
    finally:
        forward.terminate()
        _, err = forward.communicate(timeout=10)
    assert b"connection refused" in err


def test_refusals(api):
    for args, want in ((("-c", "nope"), "Error from server (BadRequest): container nope is not valid for pod p\n"),
                       (("-c", "setup"), 'error: unable to upgrade connection: container not found ("setup")\n')):
        done = api.kubectl("exec", "p", *args, "--", "x")
        assert (done.returncode, done.stderr.decode()) == (1, want)
    done = api.kubectl("exec", "nope", "--", "x")
    assert done.stderr.decode() == 'Error from server (NotFound): pods "nope" not found\n'
    path = "/api/v1/namespaces/default/pods/p"
    head = "Host: x\nContent-Length: 0\nConnection: close\n\n"
    for request, code, want in (
            (f"POST {path}/exec?command=x&stdout=1&container=main HTTP/1.1\n{head}", 400, "Upgrade request required"),
            (f"POST {path}/portforward HTTP/1.1\n{head}", 400, "Upgrade request required"),
            (f"POST {path}/exec?stdout=1&container=main HTTP/1.1\n{head}", 400, "you must specify a command to execute"),
            (f"POST {path}/exec?command=x&container=main HTTP/1.1\n{head}", 400, "you must specify at least 1 of stdin, stdout, stderr"),
            (f"POST {path}/exec?command=x&stdout=1 HTTP/1.1\n{head}", 400,
             "a container name must be specified for pod p, choose one of: [setup main second]"),
            (f"GET {path}/exec?command=x&stdout=1&container=main HTTP/1.1\nUpgrade: websocket\n{head.replace('close', 'Upgrade')}", 400,
             "unable to upgrade: a WebSocket begins with GET"),
            (f"POST {path}/exec?command=x&stdout=1&container=main HTTP/1.1\nUpgrade: SPDY/3.1\n{head.replace('close', 'Upgrade')}", 400,
             "unable to upgrade: X-Stream-Protocol-Version is required"),
            (f"POST {path}/exec?command=x&stdout=1&container=main HTTP/1.1\nUpgrade: SPDY/3.1\nX-Stream-Protocol-Version: v9\n"
             f"{head.replace('close', 'Upgrade')}", 403, "unable to upgrade: unable to negotiate protocol: client supports [v9]")):
        answer = api.raw(request.replace("Connection: Upgrade\n", "Connection: Upgrade, close\n"))
        assert answer.startswith(f"HTTP/1.1 {code} ") and want in answer, answer


def test_a_slow_reader_does_not_fill_the_server(api):
    """What an exec says waits with the command, what a client sends waits with the client."""
    ours = api.start("exec", "-i", "p", "-c", "main", "--", "cat")
    stop = threading.Event()

    def feed():
        chunk = b"x" * (1 << 20)
        try:
            while not stop.is_set():
                ours.stdin.write(chunk)
        except OSError:
            pass
    before = api.resident()
    writer = threading.Thread(target=feed, daemon=True)
    writer.start()
    time.sleep(3)  # nobody reads: everything comes to a stand
    high = api.resident()
    stop.set()
    ours.kill()
    ours.wait()
    writer.join(10)
    for f in (ours.stdin, ours.stdout, ours.stderr):
        try:
            f.close()
        except OSError:
            pass
    assert high - before < 24 << 20


def test_streams_that_are_left_open_end_with_the_server(tmp_path):
    it = Api(tmp_path, "--pod=u1=main")
    idle = it.fds()
    gone = it.start("attach", "-i", "p", "-c", "main")
    gone.stdin.write(b"hello\n")
    gone.stdin.flush()
    assert gone.stdout.readline() == b"hello\n"
    gone.kill()
    gone.communicate()
    deadline = time.monotonic() + 10
    while it.fds() != idle:
        assert time.monotonic() < deadline, "a client that was killed left something open"
        time.sleep(0.05)
    ours = it.start("exec", "-i", "p", "-c", "main", "--", "cat")
    ours.stdin.write(b"hello\n")
    ours.stdin.flush()
    assert ours.stdout.readline() == b"hello\n"
    it.log(STAMP + "one\n")
    follower = it.start("logs", "-f", "p", "-c", "main")
    assert follower.stdout.readline() == b"one\n"
    assert it.close() == 0
    assert ours.wait(10) != 0 and follower.wait(10) == 0
    ours.communicate()
    follower.communicate()


def test_base64_over_websocket(api):
    """What browsers speak: text messages, the channel as a digit."""
    path = "/api/v1/namespaces/default/pods/p/exec?container=main&stdin=1&stdout=1&command=exit&command=3"
    with api.connect() as s:
        s.sendall((f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: base64.channel.k8s.io, v4.base64.channel.k8s.io\r\n\r\n").encode())
        f = s.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += f.readline()
        assert head.startswith(b"HTTP/1.1 101 ") and b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        assert b"Sec-WebSocket-Protocol: v4.base64.channel.k8s.io\r\n" in head
        text = b"0" + base64.b64encode(b"hello")
        s.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        got = []
        while len(got) < 2 or not got[-1].startswith(b"1" + base64.b64encode(b"hello")):
            kind, n = f.read(2)
            assert kind == 0x81 and n < 126
            got.append(f.read(n))
        assert got[0] == b"1"  # empty: it may begin


# --- logs -------------------------------------------------------------------------------------------------------------


def test_logs(api):
    api.log("".join(f"{STAMP}line {i}\n" for i in range(3)), "0.log.20260101-000000")
    api.log("".join(f"2026-01-02T15:04:0{i}.25Z stderr F line {i}\n" for i in range(3, 6)) + STAMP.replace(" F ", " P ") + "long\n" + STAMP + "er\n")
    whole = b"".join(b"line %d\n" % i for i in range(6)) + b"longer\n"
    for args, want in (((), whole), (("--tail=0",), b""), (("--tail=2",), b"longer\n"), (("--tail=3",), b"line 5\nlonger\n"),
                       (("--tail=6",), b"line 2\nline 3\nline 4\nline 5\nlonger\n"), (("--tail=50",), whole), (("--limit-bytes=9",), b"line 0\nli"),
                       (("--since-time=2026-01-02T15:04:05Z", "--tail=4"), b"line 5\nlonger\n"), (("--since=1s",), b""),
                       (("--timestamps", "--tail=3"), b"2026-01-02T15:04:05.250000000Z line 5\n2026-01-02T15:04:05.500000000Z longer\n")):
        done = api.kubectl("logs", "p", "-c", "main", *args)
        assert (done.returncode, done.stdout) == (0, want), (args, done.stderr)
    for args, want in ((("-c", "second"), 'container "second" in pod "p" is waiting to start: ContainerCreating'),
                       (("-c", "main", "--previous"), 'previous terminated container "main" in pod "p" not found'),
                       (("-c", "setup"), 'container "setup" in pod "p" is not available'),
                       (("-c", "nope"), "container nope is not valid for pod p")):
        done = api.kubectl("logs", "p", *args)
        said = "error: " if "nope" in args else "Error from server (BadRequest): "  # kubectl looks for the container itself
        assert (done.returncode, done.stderr.decode()) == (1, f"{said}{want}\n")
    log = "/api/v1/namespaces/default/pods/p/log"
    end = "Host: x\nConnection: close\n\n"
    for query, want in (("container=nope", "container nope is not valid for pod p"),
                        ("", "a container name must be specified for pod p, choose one of: [setup main second]"),
                        ("container=main&tailLines=-1", "must be greater than or equal to 0")):
        assert want in api.raw(f"GET {log}?{query} HTTP/1.1\n{end}")


def test_follow_across_rotation_until_the_end(api):
    path = api.log(STAMP + "one\n")
    ours = api.start("logs", "-f", "p", "-c", "main")
    assert ours.stdout.readline() == b"one\n"
    api.log(STAMP + "two\n")
    assert ours.stdout.readline() == b"two\n"
    os.rename(path, path + ".20260101-000000")
    api.log(STAMP + "three\n", "0.log.20260101-000000")
    assert ours.stdout.readline() == b"three\n"
    api.log(STAMP + "four\n")
    assert ours.stdout.readline() == b"four\n"
    assert ours.poll() is None
    api.log(STAMP + "last\n")
    api.write(a_pod(running=False))
    out, err = ours.communicate(timeout=10)
    assert (ours.returncode, out, err) == (0, b"last\n", b"")


def test_follow_ends_at_the_next_instance(api):
    api.log(STAMP + "one\n")
    ours = api.start("logs", "-f", "p", "-c", "main")
    assert ours.stdout.readline() == b"one\n"
    api.log(STAMP + "new\n", "1.log")
    api.write(a_pod(count=1))
    out, _ = ours.communicate(timeout=10)
    assert (ours.returncode, out) == (0, b"")
    assert api.kubectl("logs", "p", "-c", "main").stdout == b"new\n"


def test_a_large_log(api):
    """The tail of it is at hand at once; all of it costs a slow client's server no memory."""
    path = api.log("")
    with open(path, "wb") as f:
        line = b"2026-01-02T15:04:05.5Z stdout F " + b"x" * 967 + b"\n"
        for _ in range(200):
            f.write(line * 1000)
        f.write(b"2026-01-02T15:04:05.5Z stdout F last\n")
    began = time.monotonic()
    assert api.kubectl("logs", "p", "-c", "main", "--tail=1").stdout == b"last\n"
    assert time.monotonic() - began < 5
    before = api.resident()
    ours = api.start("logs", "p", "-c", "main")
    first = ours.stdout.read(1)
    time.sleep(1)
    high, digest, total = api.resident(), hashlib.sha256(first), 1
    while part := ours.stdout.read(1 << 20):
        digest.update(part)
        total += len(part)
        high = max(high, api.resident())
    ours.communicate()
    assert total == 200_000 * 968 + 5
    assert high - before < 16 << 20


# --- real containers --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(RUNTIME != "oci", reason="over the embedded runtime")
def test_embedded(reprise, tmp_path):
    ready = "nc -ll -p 7000 -e cat & echo started; while read x; do echo \"got $x\"; done; wait"
    it = reprise.start_pod(pod(container(script=ready, stdin=True)))
    p = it.wait_for(is_running, timeout=40)
    p["spec"]["nodeName"] = "node-1"
    with open(os.path.join(tmp_path, "objects"), "w") as f:
        f.write(json.dumps({k: p[k] for k in ("apiVersion", "kind", "metadata", "spec", "status")}) + "\n")
    run_dir = next(a.split("=", 1)[1] for a in reprise.node if a.startswith("--run-dir"))
    shim = os.path.join(BUILD, "src/shim")
    api = Api(tmp_path, f"--embedded={reprise.root},{run_dir}", env=dict(os.environ, PATH=f"{shim}:{os.environ['PATH']}"))
    try:
        data = os.urandom(20_000_000)
        for spdy in (False, True):
            done = api.kubectl("exec", "-i", "p", "--", "sh", "-c", "md5sum; echo err >&2; exit 7", data=data, spdy=spdy)
            assert done.stdout.split()[0].decode() == hashlib.md5(data).hexdigest(), done.stderr
            assert (done.returncode, done.stderr) == (7, b"err\ncommand terminated with exit code 7\n")
            done = api.kubectl("exec", "p", "--", "sh", "-c", "yes | head -c 50000000 | tee /dev/stderr | md5sum >/tmp/sum", spdy=spdy)
            assert done.returncode == 0 and len(done.stderr) == 50_000_000
        done = api.kubectl("exec", "p", "--", "/nope")
        assert done.returncode == 1
        assert b"error: Internal error occurred: error executing command in container: failed to exec in container: OCI runtime exec failed: " in done.stderr
        ours = api.start("attach", "-i", "p")
        ours.stdin.write(b"me\n")
        ours.stdin.flush()
        assert ours.stdout.readline() == b"got me\n"
        out, _ = ours.communicate(timeout=20)
        assert (ours.returncode, out) == (0, b"")
        forward = api.start("port-forward", "p", ":7000")
        port = int(re.search(rb"127\.0\.0\.1:(\d+)", forward.stdout.readline()).group(1))
        assert echo(port, data) == data
        forward.terminate()
        forward.communicate()
        assert api.kubectl("get", "pod", "p").returncode == 0
    finally:
        assert api.close() == 0
