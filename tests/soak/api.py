"""The node's API over its unix socket, as the soak's clients use it: requests, watches that go on over the daemon's deaths, and what no decent
client would send."""
import http.client
import json
import socket
import threading
import time
from urllib.parse import urlencode

IMAGE = "localhost/reprise-examples:1"
PODS = "/api/v1/namespaces/default/pods"


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Gone(Exception):
    """The daemon is not there, or died during the request: what became of it is not known."""


class Api:
    def __init__(self, path):
        self.path = path

    def request(self, method, path, body=None, kind="application/json", **query):
        """(status, object)"""
        connection = Connection(self.path)
        try:
            connection.request(method, path + ("?" + urlencode(query) if query else ""), json.dumps(body) if body is not None else None,
                               {"Content-Type": kind, "Accept": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as e:
            raise Gone(str(e)) from e
        finally:
            connection.close()
        return answer.status, json.loads(text) if text.startswith(b"{") else text.decode(errors="replace")

    def must(self, method, path, body=None, seconds=60, good=(200, 201, 202), **more):
        """Tries again while the daemon is away."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                status, answer = self.request(method, path, body, **more)
                if status in good:
                    return answer
                if method == "POST" and status == 409 and time.monotonic() < deadline:
                    return answer  # the try whose answer was lost
                raise AssertionError(f"{method} {path}: {status} {answer}")
            except Gone:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


class Watcher(threading.Thread):
    """Lists, then watches, and connects again from where it was. What it sees must be one history: versions only rise, nothing is added
    twice, changed or deleted before it was added."""

    def __init__(self, api, stop, slow=0.0):
        super().__init__(daemon=True)
        self.api, self.stop, self.slow = api, stop, slow
        self.known, self.version, self.problems = {}, 0, []
        self.events = self.lists = self.connects = 0

    def relist(self):
        found = self.api.must("GET", PODS)
        self.lists += 1
        self.known = {p["metadata"]["uid"]: p for p in found["items"]}
        version = int(found["metadata"]["resourceVersion"])
        if version < self.version:
            self.problems.append(f"a list of version {version} after one of {self.version}")
        self.version = version

    def take(self, event):
        kind, o = event["type"], event["object"]
        if kind == "ERROR":
            if o.get("code") != 410:
                self.problems.append(f"ERROR {o}")
            self.relist()
            return False
        version = int(o["metadata"]["resourceVersion"])
        if version <= self.version and kind != "BOOKMARK":
            self.problems.append(f"{kind} of version {version} after {self.version}")
        self.version = max(self.version, version)
        if kind == "BOOKMARK":
            return True
        uid, name = o["metadata"]["uid"], o["metadata"]["name"]
        if (kind == "ADDED") == (uid in self.known):
            self.problems.append(f"{kind} of {name}, which was {'known' if uid in self.known else 'not known'}")
        if kind == "DELETED":
            self.known.pop(uid, None)
        else:
            self.known[uid] = o
        self.events += 1
        return True

    def follow(self):
        connection = Connection(self.api.path, 5)
        try:
            connection.request("GET", f"{PODS}?watch=1&allowWatchBookmarks=true&resourceVersion={self.version}")
            answer = connection.getresponse()
            self.connects += 1
            if answer.status == 410:
                self.relist()
                return
            if answer.status != 200:
                self.problems.append(f"watch: {answer.status} {answer.read()[:200]}")
                return
            while not self.stop.is_set():
                try:
                    line = answer.readline()
                except (TimeoutError, socket.timeout):
                    return
                if not line.endswith(b"\n") or not self.take(json.loads(line)):
                    return  # ended in the middle: the event is asked for again
                if self.slow:
                    time.sleep(self.slow)
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        finally:
            connection.close()

    def run(self):
        try:
            self.relist()
            while not self.stop.is_set():
                self.follow()
        except Exception as e:  # pylint: disable=broad-except
            self.problems.append(f"the watcher died: {type(e).__name__}: {e}")


def rude(path, rng, stop):
    """What no decent client sends; nothing of it may hurt anybody."""
    def partial(s):
        s.sendall(b"GET /api/v1/pods HTTP/1.1\r\nHost: x\r\nX-Never: ")
        stop.wait(rng.uniform(0, 3))

    def garbage(s):
        s.sendall(rng.randbytes(rng.randrange(1, 5000)))

    def bad_json(s):
        text = b'{"kind":"Pod","metadata":{"name":' + rng.randbytes(20).hex().encode()
        s.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (PODS.encode(), len(text), text))
        s.recv(1000)

    def deaf(s):
        s.sendall(b"GET %s?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n" % PODS.encode())
        stop.wait(rng.uniform(0, 10))  # reads nothing

    def lying(s):
        s.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{" % PODS.encode())

    def upgrade(s):
        s.sendall(b"GET %s/soak-0/exec?command=true&stdout=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
                  % PODS.encode() + rng.randbytes(50))
        stop.wait(rng.uniform(0, 0.5))

    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    try:
        s.connect(path)
        rng.choice((partial, garbage, bad_json, deaf, lying, upgrade))(s)
    except OSError:
        pass
    finally:
        s.close()

