"""Pods as Python values, and peers on the host for probes and hooks to call. Used by test_pod_{probes,hooks,network}.py."""
import contextlib
import http.server
import json
import socket
import threading
from datetime import datetime

IMAGE = "localhost/reprise-examples:1"


def sh(script):
    return {"command": ["sh", "-c", script]}


def container(name="main", script="exec sleep 1000", **fields):
    return {"name": name, "image": IMAGE, **sh(script), **fields}


def pod(*containers, name="p", init=(), grace=1, **spec):
    """JSON text of a Pod; <spec> goes into its spec as it is."""
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": grace, "containers": list(containers), **spec}
    if init:
        spec["initContainers"] = list(init)
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}, indent=1)


def shared(path, name="shared"):
    """Pod spec and container fields for a directory of the host, seen as /shared inside."""
    return {"volumes": [{"name": name, "hostPath": {"path": path, "type": "Directory"}}]}, {
        "volumeMounts": [{"name": name, "mountPath": "/shared"}]}


def status(p, name):
    s = p["status"]
    for c in s.get("initContainerStatuses", []) + s.get("containerStatuses", []):
        if c["name"] == name:
            return c
    return {"state": {}, "lastState": {}, "ready": False, "restartCount": 0}


def condition(p, kind):
    return next((c["status"] for c in p["status"].get("conditions", []) if c["type"] == kind), None)


def is_running(p, *names):
    return p["status"].get("phase") == "Running" and all("running" in status(p, n)["state"] for n in names or ["main"])


def is_ready(p):
    return condition(p, "Ready") == "True"


def when(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").timestamp()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def http_peer(code=200, headers=()):
    """An HTTP server on 127.0.0.1; yields (port, list of (path, headers) of the requests so far)."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, dict(self.headers)))
            self.send_response(code)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


class GrpcHealth:
    """As much of HTTP/2 as grpc.health.v1.Health/Check needs, on 127.0.0.1. <status>: 1 SERVING, 2 NOT_SERVING."""

    def __init__(self):
        self.status, self.checks = 1, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(5)

    def _serve(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            with conn, contextlib.suppress(OSError, ValueError):
                conn.settimeout(5)
                self._talk(conn, conn.makefile("rb"))

    def _talk(self, conn, stream):
        if stream.read(24) != b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":
            raise ValueError("not HTTP/2")
        conn.sendall(_frame(4, 0, 0))
        while True:
            head = stream.read(9)
            if len(head) < 9:
                return
            payload = stream.read(int.from_bytes(head[:3], "big"))
            kind, flags, number = head[3], head[4], int.from_bytes(head[5:], "big")
            if kind == 4 and not flags & 1:
                conn.sendall(_frame(4, 1, 0))
            if kind == 0 and flags & 1:  # the end of the request
                assert payload[:1] == b"\0" or not payload
                self.checks += 1
                conn.sendall(_frame(1, 4, number, b"\x88" + _literal(b"content-type", b"application/grpc"))
                             + _frame(0, 0, number, b"\0\0\0\0\2\x08" + bytes([self.status]))
                             + _frame(1, 5, number, _literal(b"grpc-status", b"0")))
