"""A CRI runtime of a few lines: a gRPC server on a unix socket that answers what a test says.

    with FakeCri(path, {"/runtime.v1.RuntimeService/Version": lambda request: messages().VersionResponse(...)}) as fake:
        ...                     # a value: bytes, a message, an iterator of them (a stream), or a Refused
        fake.seen               # [(path, request bytes)]

What is not in the table is UNIMPLEMENTED, in grpc-go's words. Needs protoc, python3-protobuf and python3-grpcio."""
import importlib
import os
import subprocess
import sys
import tempfile
import threading
from concurrent import futures

import pytest

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
grpc = pytest.importorskip("grpc")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUNTIME, IMAGES = "/runtime.v1.RuntimeService/", "/runtime.v1.ImageService/"
_module = None


def messages():
    """The module that protoc makes of our cri.proto."""
    global _module
    if _module is None:
        with tempfile.TemporaryDirectory() as out:
            subprocess.run(["protoc", f"--proto_path={ROOT}/src/runtime/cri", f"--python_out={out}", "cri.proto"], check=True)
            sys.path.insert(0, out)
            try:
                _module = importlib.import_module("cri_pb2")
            finally:
                sys.path.remove(out)
    return _module


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = grpc.StatusCode[code], text


class FakeCri(grpc.GenericRpcHandler):
    def __init__(self, path, answers):
        self.path, self.answers, self.seen, self.closing = str(path), answers, [], threading.Event()
        self.server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[self])
        self.server.add_insecure_port(f"unix:{self.path}")
        self.endpoint = f"unix://{self.path}"

    def service(self, call):
        known = call.method in self.answers or any(p.rpartition("/")[0] == call.method.rpartition("/")[0] for p in self.answers)
        name = call.method.strip("/").split("/")

        def serve(request, context):
            self.seen.append((call.method, request))
            try:
                if call.method not in self.answers:
                    raise Refused("UNIMPLEMENTED", f"method {name[1]} not implemented" if known else f"unknown service {name[0]}")
                answer = self.answers[call.method](request)
                answers = answer if hasattr(answer, "__next__") else [answer]
                for one in answers:
                    yield one if isinstance(one, bytes) else one.SerializeToString()
            except Refused as e:
                context.abort(e.code, e.text)
        return grpc.unary_stream_rpc_method_handler(serve)

    def until_closed(self, *first):
        """A stream that stays open after <first>."""
        yield from first
        self.closing.wait(60)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.stop(0).wait()
