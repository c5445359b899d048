"""src/grpc against another implementation, in both directions: tests/tools/grpc_peer against python3-grpcio (gRPC's C core).

Requests and answers are plain bytes: no protobuf is needed for what is tested here."""
import concurrent.futures
import os
import queue
import signal
import socket
import subprocess
import threading
import time
import zlib

import pytest

grpc = pytest.importorskip("grpc")

BUILD = os.path.abspath(os.environ.get("REPRISE_BUILD", os.path.join(os.path.dirname(__file__), "../../build")))
PEER = os.path.join(BUILD, "tests/tools/grpc_peer")
BIG = 16 << 20
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
UTF8 = "größer als 100 % ✓"

pytestmark = pytest.mark.skipif(not os.access(PEER, os.X_OK), reason="grpc_peer is not built")


def pattern(n):
    """grpc_peer's body of n bytes."""
    return (bytes((i * 31 + (i >> 8)) & 255 for i in range(min(n, 65536))) * (n // 65536 + 1))[:n]


@pytest.fixture
def sock(folder):
    return os.path.join(folder, "grpc.sock")


# --- grpcio serves -----------------------------------------------------------------------------------------------------------

class Handlers(grpc.GenericRpcHandler):
    def __init__(self):
        self.seen = queue.Queue()
        self.release = threading.Event()

    def service(self, details):
        name = details.method.rsplit("/", 1)[1]
        if name in ("Count", "Trickle"):
            return grpc.unary_stream_rpc_method_handler(getattr(self, name))
        return grpc.unary_unary_rpc_method_handler(getattr(self, name)) if hasattr(self, name) else None

    def Echo(self, request, context):
        return request

    def Meta(self, request, context):
        meta = dict(context.invocation_metadata())
        return f"{meta.get('x-test')} {meta['user-agent'].split('/')[0]} {context.time_remaining() is not None}".encode()

    def Count(self, request, context):
        n, size = map(int, request.split())
        for _ in range(n):
            yield pattern(size)

    def Trickle(self, request, context):
        yield b"first"
        self.release.wait(20)
        yield b"second"

    def Fail(self, request, context):
        code, text = request.decode().split(" ", 1)
        context.abort(next(c for c in grpc.StatusCode if c.value[0] == int(code)), text)

    def Huge(self, request, context):
        return bytes(BIG + 1)

    def Hang(self, request, context):
        ended = threading.Event()
        context.add_callback(ended.set)
        self.seen.put("hanging")
        ended.wait(20)
        self.seen.put("ended")
        return b""


def serve(path, handlers=None, **options):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=OPTIONS + [(k.replace("_", "."), v) for k, v in options.items()])
    handlers = handlers or Handlers()
    server.add_generic_rpc_handlers((handlers,))
    assert server.add_insecure_port("unix:" + path)
    server.start()
    server.handlers = handlers
    return server


class Client:
    """grpc_peer as client: lines in, lines out."""

    def __init__(self, path, *flags):
        self.p = subprocess.Popen([PEER, "client", path, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, bufsize=1)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.p.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def say(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()

    def next(self, want, timeout=20):
        """The next line that begins so; others are passed over."""
        end = time.monotonic() + timeout
        while True:
            line = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            assert line is not None, f"ended without {want}: {self.p.stderr.read()}"
            if line.startswith(want):
                return line

    def call(self, line, timeout=20):
        """(code, messages, bytes, crc, text) of one call."""
        self.say("call id=1 " + line)
        _, _, code, messages, size, crc, *text = self.next("done 1 ", timeout).split(" ", 6)
        return int(code), int(messages), int(size), int(crc), text[0] if text else ""

    def end(self):
        self.p.stdin.close()
        assert self.p.wait(20) == 0, self.p.stderr.read()


@pytest.fixture
def client(sock):
    made = []

    def make(*flags):
        made.append(Client(sock, *flags))
        return made[-1]
    yield make
    for c in made:
        if c.p.poll() is None and not c.p.stdin.closed:
            c.p.kill()
            c.p.wait()


def test_calls(sock, client):
    server, c = serve(sock), client()
    assert c.call("path=/x.Y/Echo text=hello") == (0, 1, 5, zlib.crc32(b"hello"), "")
    assert c.call("path=/x.Y/Echo size=0")[:3] == (0, 1, 0)
    assert c.call("path=/x.Y/Meta timeout_ms=5000 meta=x-test:yes")[:3] == (0, 1, len("yes grpc-c-reprise True"))
    code, _, _, _, text = c.call("path=/x.Y/None size=1")
    assert (code, text) == (12, "Method not found!")
    for code in range(1, 17):
        assert c.call(f"path=/x.Y/Fail text={code} {UTF8}")[::4] == (code, UTF8)
    c.end()
    server.stop(None)


def test_sizes(sock, client):
    """16 MiB both ways, and one byte more."""
    server, c = serve(sock), client()
    for size in (1, 16379, 16380, 65531, 1 << 20, BIG):
        assert c.call(f"path=/x.Y/Echo size={size}")[:4] == (0, 1, size, zlib.crc32(pattern(size)))
    assert c.call(f"path=/x.Y/Echo size={BIG + 1}")[::4] == (8, f"trying to send message larger than max ({BIG + 1} vs. {BIG})")
    assert c.call("path=/x.Y/Huge size=1")[::4] == (8, f"grpc: received message larger than max ({BIG + 1} vs. {BIG})")
    assert c.call("path=/x.Y/Echo size=1")[0] == 0  # the connection is as it was
    c.end()
    server.stop(None)


def test_streams(sock, client):
    server, c = serve(sock), client()
    assert c.call("path=/x.Y/Count stream=1 text=1000 100")[:3] == (0, 1000, 100000)
    assert c.call("path=/x.Y/Count stream=1 text=3 5000000")[:3] == (0, 3, 15000000)
    assert c.call("path=/x.Y/Count stream=1 text=0 0")[:3] == (0, 0, 0)
    code, _, _, _, text = c.call("path=/x.Y/Count text=2 1")
    assert code == 13 and text.startswith("cardinality violation: expected <EOF>")
    c.end()
    server.stop(None)


def test_many(sock, client):
    """500 calls at once, with a server that takes 20 at a time."""
    server, c = serve(sock, grpc_max__concurrent__streams=20), client()
    c.say("call id=m path=/x.Y/Echo count=500 size=1000")
    for _ in range(500):
        assert c.next("done m ").startswith("done m 0 1 1000 ")
    c.end()
    server.stop(None)


def test_deadline_and_cancel(sock, client):
    server, c = serve(sock), client()
    began = time.monotonic()
    assert c.call("path=/x.Y/Hang size=1 timeout_ms=300")[::4] == (4, "context deadline exceeded")
    assert 0.25 < time.monotonic() - began < 5
    seen = server.handlers.seen
    assert [seen.get(timeout=5), seen.get(timeout=5)] == ["hanging", "ended"]
    c.say("call id=h path=/x.Y/Hang size=1")
    assert seen.get(timeout=5) == "hanging"
    c.say("cancel id=h")
    assert seen.get(timeout=5) == "ended"
    assert c.call("path=/x.Y/Echo size=1")[0] == 0
    c.end()
    server.stop(None)


def test_nobody_there(sock, client):
    c = client()
    want = f'connection error: desc = "transport: Error while dialing: dial unix {sock}: connect: no such file or directory"'
    assert c.call("path=/x.Y/Echo size=1")[::4] == (14, want)
    assert c.call("path=/x.Y/Echo size=1", timeout=0.5)[::4] == (14, want)  # at once, while it waits for the next try
    assert c.call("path=/x.Y/Echo size=1 wait=1 timeout_ms=200")[::4] == (4, "context deadline exceeded")
    c.say("call id=w path=/x.Y/Echo size=1 wait=1")
    server = serve(sock)
    c.next("done w 0 ", timeout=10)
    c.end()
    server.stop(None)


def test_server_restarts(sock, client):
    server, c = serve(sock), client()
    assert c.call("path=/x.Y/Echo size=1")[0] == 0
    c.say("call id=h path=/x.Y/Hang size=1")
    assert server.handlers.seen.get(timeout=5) == "hanging"
    server.stop(0).wait()
    assert c.next("done h ").split()[2] in ("14", "1")
    c.next("state 0")
    server = serve(sock)
    c.say("now")
    assert c.call("path=/x.Y/Echo size=1 wait=1")[0] == 0
    c.end()
    server.stop(None)


def test_goaway(sock, client):
    """A server that stops with grace: what is open goes on, what is new goes to the next server."""
    server, c = serve(sock), client()
    c.say("call id=t path=/x.Y/Trickle stream=1 size=1")
    assert c.call("path=/x.Y/Echo size=1")[0] == 0
    stopped = server.stop(10)
    c.next("state 0 the server is draining the connection")
    if os.path.exists(sock):
        os.unlink(sock)
    other = serve(sock)
    assert c.call("path=/x.Y/Echo size=1 wait=1")[0] == 0
    server.handlers.release.set()
    assert c.next("done t ").split()[2:4] == ["0", "2"]
    stopped.wait()
    c.end()
    other.stop(None)


def plain_server(path, answer):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(4)

    def run():
        held = []
        while True:
            try:
                held.append(s.accept()[0])
                if answer is not None:
                    held[-1].recv(1000)
                    held[-1].sendall(answer)
            except ConnectionError:
                pass
            except OSError:  # closed: the test is over
                return
    threading.Thread(target=run, daemon=True).start()
    return s


SETTINGS = bytes.fromhex("000000040000000000")


def test_mute_peer(sock, client):
    s, c = plain_server(sock, None), client()
    assert c.call("path=/x.Y/Echo size=1 timeout_ms=300")[::4] == (4, "context deadline exceeded")
    c.end()
    s.close()


def test_keepalive(sock, client):
    """It said its SETTINGS and then nothing any more."""
    s, c = plain_server(sock, SETTINGS), client("keepalive_ms=300", "keepalive_timeout_ms=300")
    c.next("state 1")
    time.sleep(1)  # no call, no PING
    began = time.monotonic()
    assert c.call("path=/x.Y/Echo size=1")[::4] == (14, "keepalive ping failed to receive ACK within timeout")
    assert 0.5 < time.monotonic() - began < 5
    c.end()
    s.close()


def test_http1_peer(sock, client):
    s, c = plain_server(sock, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), client()
    assert c.call("path=/x.Y/Echo size=1")[::4] == \
        (14, 'connection error: desc = "error reading server preface: http2: the peer does not speak HTTP/2"')
    c.end()
    s.close()


# --- grpcio calls ------------------------------------------------------------------------------------------------------------

class Server:
    def __init__(self, path):
        self.p = subprocess.Popen([PEER, "server", path], stdout=subprocess.PIPE, text=True)
        assert self.p.stdout.readline() == "ready\n"
        self.path = path

    def channel(self, **options):
        return grpc.insecure_channel("unix:" + self.path,
                                     options=OPTIONS + [(k.replace("_", "."), v) for k, v in options.items()])

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        out = self.p.communicate(timeout=20)[0]
        assert self.p.returncode == 0
        return out


@pytest.fixture
def served(sock):
    s = Server(sock)
    yield s
    if s.p.poll() is None:
        s.stop()
    assert not os.path.exists(sock)


def status_of(call, *args, **more):
    with pytest.raises(grpc.RpcError) as e:
        result = call(*args, **more)
        if not isinstance(result, bytes):
            list(result)
    return e.value.code().value[0], e.value.details()


def test_served_calls(served):
    with served.channel() as ch:
        echo, fail = ch.unary_unary("/test.Peer/Echo"), ch.unary_unary("/test.Peer/Fail")
        for size in (0, 1, 70000, BIG):
            assert echo(bytes(size), timeout=20) == bytes(size)
        assert status_of(echo, bytes(BIG + 1))[0] == 8
        for code in range(1, 17):
            assert status_of(fail, f"{code} {UTF8}".encode()) == (code, UTF8)
        assert status_of(ch.unary_unary("/test.Peer/Nope"), b"") == (12, "unknown method Nope for service test.Peer")
        assert status_of(ch.unary_unary("/other.Peer/Nope"), b"") == (12, "unknown service other.Peer")
        assert status_of(ch.unary_unary("/test.Peer/Echo"), b"x" * 100, compression=grpc.Compression.Gzip)[0] == 12
        calls = [echo.future(b"%d" % i) for i in range(500)]
        assert [c.result() for c in calls] == [b"%d" % i for i in range(500)]


def test_served_streams(served):
    with served.channel() as ch:
        count = ch.unary_stream("/test.Peer/Count")
        assert [len(m) for m in count(b"1000 100")] == [100] * 1000
        assert [len(m) for m in count(b"3 5000000")] == [5000000] * 3
        assert list(count(b"0 0")) == []


def test_served_deadline_and_cancel(served):
    with served.channel() as ch:
        hang = ch.unary_unary("/test.Peer/Hang")
        assert status_of(hang, b"", timeout=0.3)[0] == 4
        assert served.p.stdout.readline() == "hanging\n" and served.p.stdout.readline() == "cancelled\n"
        call = hang.future(b"")
        assert served.p.stdout.readline() == "hanging\n"
        call.cancel()
        assert served.p.stdout.readline() == "cancelled\n"
        call = hang.future(b"")
        assert served.p.stdout.readline() == "hanging\n"
        assert served.stop() == "cancelled\n"  # and the client hears of it
        assert call.exception(timeout=10).code() == grpc.StatusCode.UNAVAILABLE


def test_served_slow_reader(served):
    """A client that does not read: the server's queue stays small, and others are served."""
    with served.channel() as ch:
        flood = iter(ch.unary_stream("/test.Peer/Flood")(b""))
        assert len(next(flood)) == 65536
        time.sleep(1)
        with served.channel(grpc_use__local__subchannel__pool=1) as other:
            assert other.unary_unary("/test.Peer/Echo")(b"x", timeout=5) == b"x"
        rss = int(open(f"/proc/{served.p.pid}/statm").read().split()[1]) * 4096
        assert rss < 64 << 20
        flood.cancel() if hasattr(flood, "cancel") else None
        assert int(served.p.stdout.readline().split()[1]) < 256 << 20


def test_served_odd_clients(served):
    """Connections that say nothing, or no HTTP/2, or too much; more of them than are allowed."""
    held = []
    for i in range(80):
        s = socket.socket(socket.AF_UNIX)
        s.connect(served.path)
        if i % 2:
            s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        held.append(s)
    with served.channel() as ch:
        assert ch.unary_unary("/test.Peer/Echo")(b"x", timeout=10) == b"x"
    for s in held:
        s.close()
