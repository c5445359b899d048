"""A proxy between the agent and a CRI socket that misbehaves when told to: every call and stream is passed on as bytes.

    with Proxy("/tmp/p.sock", containerd.socket) as proxy:
        rule = proxy.on("StopContainer", hang(), nth=1)      # the first one from now on is never answered
        proxy.on("RemoveContainer", fail("UNAVAILABLE", after=True))   # done, but the answer is lost
        ...
        rule.hits, proxy.calls["StopContainer"]
        proxy.clear()                                        # what hangs is let go: passed on, as if it had been slow

Rules: the first that matches counts. <nth>: only that matching call, from 1; <when>: a predicate on the request's bytes."""
import collections
import contextlib
import os
import socket
import sys
import threading
import time
from concurrent import futures

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cri  # noqa: E402
import grpc  # noqa: E402

THREADS = 128  # each hanging call holds one


class Action:
    """before(call): may end the call instead of passing it on. after(call, answers): may change or lose the answers."""

    def before(self, call):
        pass

    def after(self, call, answers):
        yield from answers


class hang(Action):
    """No answer. <after>: what was asked is done all the same."""

    def __init__(self, after=False):
        self.late = after

    def before(self, call):
        if not self.late:
            call.wait_for_release()

    def after(self, call, answers):
        got = list(answers) if self.late and not call.stream else answers
        if self.late:
            call.wait_for_release()
        yield from got


class fail(Action):
    """Ends with a status. <after>: what was asked was done, only the answer is lost."""

    def __init__(self, code="UNAVAILABLE", details="the proxy says no", after=False):
        self.code, self.details, self.late = grpc.StatusCode[code], details, after

    def before(self, call):
        if not self.late:
            call.context.abort(self.code, self.details)

    def after(self, call, answers):
        for _ in answers:
            break
        call.context.abort(self.code, self.details)
        yield  # a generator, though never this far


class late(Action):
    """Done at once, answered after <seconds>. <before>: done late, too."""

    def __init__(self, seconds, before=False):
        self.seconds, self.early = seconds, before

    def before(self, call):
        if self.early:
            call.wait_for_release(self.seconds)

    def after(self, call, answers):
        got = answers if self.early or call.stream else list(answers)
        if not self.early:
            call.wait_for_release(self.seconds)
        yield from got


class twice(Action):
    """Each answer comes two times: a unary call has two messages then."""

    def after(self, call, answers):
        for answer in answers:
            yield answer
            yield answer


class drop(Action):
    """Every connection of the proxy's clients is closed, without a word. <after>: when it was done."""

    def __init__(self, after=False):
        self.late = after

    def _drop(self, call):
        call.proxy.drop_connections()
        call.context.abort(grpc.StatusCode.UNAVAILABLE, "dropped")

    def before(self, call):
        if not self.late:
            self._drop(call)

    def after(self, call, answers):
        for _ in answers:
            break
        self._drop(call)
        yield


class cut(Action):
    """A stream ends after <messages>: with a status, or in good order (code None)."""

    def __init__(self, messages=0, code="UNAVAILABLE"):
        self.messages, self.code = messages, code and grpc.StatusCode[code]

    def after(self, call, answers):
        for n, answer in zip(range(self.messages), answers):
            yield answer
        call.upstream.cancel()
        if self.code:
            call.context.abort(self.code, "the proxy cut the stream")


class Rule:
    def __init__(self, method, action, nth, when):
        self.method, self.action, self.nth, self.when = method, action, nth, when
        self.seen = self.hits = 0
        self.hit, self.released = threading.Event(), threading.Event()

    def wait(self, seconds=30):
        """Until it has taken effect once."""
        assert self.hit.wait(seconds), f"no {self.method} to disturb within {seconds} s (seen {self.seen})"
        return self


class Call:
    """One call under way."""

    def __init__(self, proxy, method, context, rule):
        self.proxy, self.method, self.context, self.rule = proxy, method, context, rule
        self.stream, self.upstream = method in cri.STREAMS, None
        self.gone = threading.Event()  # the client has given up
        if not context.add_callback(self._end):
            self.gone.set()

    def _end(self):
        self.gone.set()
        if self.upstream is not None:
            self.upstream.cancel()

    def wait_for_release(self, seconds=None):
        deadline = None if seconds is None else time.monotonic() + seconds
        while not (self.gone.is_set() or self.proxy.closed.is_set() or self.rule.released.is_set()):
            if deadline is not None and time.monotonic() >= deadline:
                return
            self.rule.released.wait(0.02)


class Proxy(grpc.GenericRpcHandler):
    def __init__(self, path, target):
        self.path, self.target = path, target
        self.calls, self.log = collections.Counter(), []  # log: (seconds since the start, method, name of the action or "")
        self.closed, self._began = threading.Event(), time.monotonic()
        self._lock, self._rules, self._streams, self._pairs = threading.Lock(), [], set(), set()

    def __enter__(self):
        # What follows the death of the real one is the real one's: no back-off of our own on top.
        self._channel = grpc.insecure_channel(f"unix:{self.target}", options=cri.OPTIONS + [
            ("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 100)])
        self._server = grpc.server(futures.ThreadPoolExecutor(THREADS), handlers=[self], options=cri.OPTIONS)
        self._inner = self.path + ".in"
        assert self._server.add_insecure_port(f"unix:{self._inner}"), f"cannot listen on {self._inner}"
        self._server.start()
        # grpc's server cannot drop a connection: so a plain one stands before it, which can.
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(self.path)
        self._door.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closed.set()
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self.drop_connections()
        self._server.stop(None).wait(5)
        self._channel.close()
        for path in (self.path, self._inner):
            with contextlib.suppress(OSError):
                os.unlink(path)

    @property
    def endpoint(self):
        return f"unix://{self.path}"

    # --- what a test says

    def on(self, method, action, nth=None, when=None):
        rule = Rule(method, action, nth, when)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self):
        with self._lock:
            rules, self._rules = self._rules, []
        for rule in rules:
            rule.released.set()

    def streams(self):
        """How many event streams are open."""
        with self._lock:
            return len(self._streams)

    def cut_streams(self):
        """Ends every event stream now, with UNAVAILABLE."""
        with self._lock:
            streams = list(self._streams)
        for upstream in streams:
            upstream.cancel()
        return len(streams)

    def drop_connections(self):
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    # --- connections

    def _accept(self):
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self._inner)
            except OSError:
                near.close()
                continue
            pair = (near, far)
            with self._lock:
                self._pairs.add(pair)
            open_ends = [2]
            for a, b in (pair, pair[::-1]):
                threading.Thread(target=self._copy, args=(a, b, pair, open_ends), daemon=True).start()

    def _copy(self, a, b, pair, open_ends):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
        with contextlib.suppress(OSError):
            b.shutdown(socket.SHUT_WR)
        with self._lock:
            open_ends[0] -= 1
            if open_ends[0] == 0:
                self._pairs.discard(pair)
                for end in pair:
                    end.close()

    # --- calls

    def service(self, details):
        # As a stream of answers, whatever it is: on the wire a unary call is a stream of one.
        return grpc.unary_stream_rpc_method_handler(lambda request, context: self._serve(details.method, request, context))

    def _rule_for(self, method, request):
        with self._lock:
            self.calls[method] += 1
            for rule in self._rules:
                if rule.method not in (method, "*") or (rule.when and not rule.when(request)):
                    continue
                rule.seen += 1
                if rule.nth in (None, rule.seen):
                    rule.hits += 1
                    rule.hit.set()
                    return rule
        return None

    @staticmethod
    def _seconds_left(context):
        left = context.time_remaining()
        return None if left is None or left > 1e6 else left  # without a deadline it is a number that grpc itself cannot take

    def _serve(self, path, request, context):
        method = path.rsplit("/", 1)[1]
        rule = self._rule_for(method, request)
        action = rule.action if rule else Action()
        self.log.append((round(time.monotonic() - self._began, 3), method, type(action).__name__ if rule else ""))
        call = Call(self, method, context, rule)
        action.before(call)
        if call.gone.is_set():
            return
        call.upstream = self._channel.unary_stream(path)(request, timeout=self._seconds_left(context))
        if call.gone.is_set():
            call.upstream.cancel()
        if call.stream:
            with self._lock:
                self._streams.add(call.upstream)
        try:
            yield from action.after(call, call.upstream)
        except grpc.RpcError as e:
            if e.code() == grpc.StatusCode.CANCELLED and not call.gone.is_set():
                context.abort(grpc.StatusCode.UNAVAILABLE, "the stream was cut")
            context.abort(e.code(), e.details())
        finally:
            with self._lock:
                self._streams.discard(call.upstream)
