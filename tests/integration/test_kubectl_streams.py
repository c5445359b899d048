"""src/stream's server end against kubectl: exec and port-forward, over SPDY and over WebSocket. What kubectl asks before it streams is
answered here; the upgraded socket goes to stream_peer."""
import base64
import fcntl
import hashlib
import json
import os
import pty
import select
import shutil
import socket
import struct
import subprocess
import termios
import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import BUILD

PEER = os.path.join(BUILD, "tests/tools/stream_peer")
KUBECTL = shutil.which("kubectl")
pytestmark = [pytest.mark.skipif(not KUBECTL, reason="kubectl is not installed"),
              pytest.mark.skipif(not os.access(PEER, os.X_OK), reason="stream_peer is not built")]
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "u"},
       "spec": {"containers": [{"name": "main", "image": "i", "ports": [{"containerPort": 7000}]}]}, "status": {"phase": "Running"}}
ANSWERS = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [
        {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "create"], "shortNames": ["po"]}]},
    "/api/v1/namespaces/default/pods/p": POD,
}


class Server:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.peers, self.upgrades = [], []
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for peer in self.peers:
            peer.kill()
            peer.wait(5)

    def _serve(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(conn,), daemon=True).start()

    def _answer(self, conn):
        with conn:
            conn.settimeout(10)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = conn.recv(1)  # not one byte of the stream behind it
                if not byte:
                    return
                head += byte
            lines = head.decode().split("\r\n")
            target = urlsplit(lines[0].split()[1])
            headers = [(k.lower(), v.strip()) for k, v in (line.split(":", 1) for line in lines[1:] if line)]
            if any(k == "upgrade" for k, _ in headers):
                self._upgrade(conn, target, headers)
                return
            body = json.dumps(ANSWERS.get(target.path, {"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"})).encode()
            code = "200 OK" if target.path in ANSWERS else "404 Not Found"
            conn.sendall(f"HTTP/1.1 {code}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                         .encode() + body)

    def _upgrade(self, conn, target, headers):
        def all_of(name):
            return [x.strip() for k, v in headers if k == name for x in v.split(",")]
        websocket = "websocket" in all_of("upgrade")[0].lower()
        action, query = target.path.rsplit("/", 1)[1], parse_qs(target.query)
        offered = all_of("sec-websocket-protocol" if websocket else "x-stream-protocol-version")
        protocol = offered[0]
        self.upgrades.append((action, "websocket" if websocket else "spdy", protocol))
        if websocket:
            accept = base64.b64encode(hashlib.sha1((all_of("sec-websocket-key")[0] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
            extra = f"Upgrade: websocket\r\nSec-WebSocket-Accept: {accept.decode()}\r\nSec-WebSocket-Protocol: {protocol}\r\n"
        else:
            extra = f"Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {protocol}\r\n"
        conn.sendall(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{extra}\r\n".encode())
        conn.setblocking(False)
        args = ["exec", self.upgrades[-1][1], protocol, *[s for s in ("stdin", "stdout", "stderr", "tty") if query.get(s) == ["true"]]] \
            if action != "portforward" else ["forward", self.upgrades[-1][1]]
        self.peers.append(subprocess.Popen([PEER, str(conn.fileno()), *args], pass_fds=[conn.fileno()]))


@pytest.fixture
def server():
    with Server() as it:
        yield it


def environment(folder, carrier):
    on = "true" if carrier == "websocket" else "false"
    return {**os.environ, "HOME": folder, "KUBECONFIG": "/dev/null", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": on,
            "KUBECTL_PORT_FORWARD_WEBSOCKETS": on}


def kubectl(server, *args):
    return [KUBECTL, f"--server=http://127.0.0.1:{server.port}", *args]


@pytest.mark.parametrize("carrier", ["spdy", "websocket"])
def test_exec(server, folder, carrier):
    data = os.urandom(3_000_000).replace(b"exit", b"____")
    done = subprocess.run(kubectl(server, "exec", "-i", "p", "--", "x"), input=data, capture_output=True, timeout=60,
                          env=environment(folder, carrier))
    assert done.returncode == 3, done.stderr
    assert done.stdout == data
    assert done.stderr.decode().endswith(f"{len(data)} bytes\ncommand terminated with exit code 3\n")
    assert server.upgrades == [("exec", carrier, "v5.channel.k8s.io")]


@pytest.mark.parametrize("carrier", ["spdy", "websocket"])
def test_terminal(server, folder, carrier):
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    ours = subprocess.Popen(kubectl(server, "exec", "-it", "p", "--", "x"), stdin=slave, stdout=slave, stderr=slave,
                            start_new_session=True, env=environment(folder, carrier))
    os.close(slave)
    text, deadline = "", time.monotonic() + 20

    def expect(word):
        nonlocal text
        while word not in text:
            left = deadline - time.monotonic()
            assert left > 0, text
            if select.select([master], [], [], left)[0]:
                text += os.read(master, 65536).decode()
    try:
        expect("size 77x33")
        os.write(master, b"exit")
        expect("exit code 3")
        assert "4 bytes\n" in text.replace("\r", "")
        assert ours.wait(10) == 3
    finally:
        ours.kill()
        ours.wait()
        os.close(master)


@pytest.mark.parametrize("carrier", ["spdy", "websocket"])
def test_port_forward(server, folder, carrier):
    ours = subprocess.Popen(kubectl(server, "port-forward", "p", ":7000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=environment(folder, carrier))
    try:
        line = ours.stdout.readline()
        port = int(line.split(" -> ")[0].rsplit(":", 1)[1])
        results = [None] * 3

        def one(i):
            data = os.urandom(2_000_000)
            with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
                writer = threading.Thread(target=s.sendall, args=(data,))
                writer.start()
                got = bytearray()
                while len(got) < len(data) and (part := s.recv(1 << 16)):
                    got += part
                writer.join(20)
                results[i] = got == data
        threads = [threading.Thread(target=one, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(40)
        assert results == [True] * 3
        assert server.upgrades[0][:2] == ("portforward", carrier)
    finally:
        ours.kill()
        ours.communicate()
