"""CRI for tests: messages made from src/runtime/cri/cri.proto by protoc when first used, and a client of one socket.

    cri = Client("/run/x/containerd.sock")
    print(cri.Version().runtime_version)
    cri.StopContainer(container_id="...", timeout=0)
    cri.ListPodSandbox(filter={"label_selector": {"a": "b"}}).items

A method's name is CRI's, its arguments are the request's fields. Needs protobuf-compiler, python3-protobuf and python3-grpcio."""
import atexit
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # subprocess only: what is forked execs at once
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROTO = os.path.join(ROOT, "src/runtime/cri/cri.proto")
RUNTIME, IMAGES = "/runtime.v1.RuntimeService/", "/runtime.v1.ImageService/"
IMAGE_METHODS = {"ListImages", "ImageStatus", "PullImage", "RemoveImage", "ImageFsInfo"}
RESPONSES = {"GetContainerEvents": "ContainerEventResponse"}
REQUESTS = {"GetContainerEvents": "GetEventsRequest"}
STREAMS = {"GetContainerEvents"}
# No proxy of the machine's, and no limit on a message that containerd would not have.
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_messages = None


def missing():
    """What this machine lacks for CRI tests, or None."""
    if not shutil.which("protoc"):
        return "protoc is not installed (protobuf-compiler)"
    for module, package in (("grpc", "python3-grpcio"), ("google.protobuf", "python3-protobuf")):
        try:
            importlib.import_module(module)
        except ImportError:
            return f"{package} is not installed"
    return None


def messages():
    """The module of message classes. Its package is not runtime.v1, which does not show on the wire."""
    global _messages
    if _messages is None:
        out = tempfile.mkdtemp(prefix="cri-pb2-")
        atexit.register(shutil.rmtree, out, True)
        subprocess.run(["protoc", f"--proto_path={os.path.dirname(PROTO)}", f"--python_out={out}", PROTO], check=True)
        sys.path.insert(0, out)
        try:
            _messages = importlib.import_module("cri_pb2")
        finally:
            sys.path.remove(out)
    return _messages


def path_of(method):
    return (IMAGES if method in IMAGE_METHODS else RUNTIME) + method


class Client:
    def __init__(self, socket, timeout=60):
        import grpc
        self.socket, self.timeout, self.pb = socket, timeout, messages()
        # A pool of its own: else grpc gives two clients of one address the same connection.
        self.channel = grpc.insecure_channel(f"unix:{socket}", options=OPTIONS + [("grpc.use_local_subchannel_pool", 1)])

    def __getattr__(self, method):
        if not method[0].isupper():
            raise AttributeError(method)
        request = getattr(self.pb, REQUESTS.get(method, method + "Request"))
        response = getattr(self.pb, RESPONSES.get(method, method + "Response"))
        kind = self.channel.unary_stream if method in STREAMS else self.channel.unary_unary
        call = kind(path_of(method), request_serializer=request.SerializeToString, response_deserializer=response.FromString)

        def invoke(_timeout=None, **fields):
            return call(request(**fields), timeout=_timeout or (None if method in STREAMS else self.timeout))
        setattr(self, method, invoke)
        return invoke

    def sandboxes(self, **filter_):
        return list(self.ListPodSandbox(filter=filter_).items)

    def containers(self, **filter_):
        return list(self.ListContainers(filter=filter_).containers)

    def container_info(self, ident):
        """What only the runtime's verbose answer has: pid, runtimeSpec, ..."""
        return json.loads(self.ContainerStatus(container_id=ident, verbose=True).info["info"])

    def sandbox_info(self, ident):
        return json.loads(self.PodSandboxStatus(pod_sandbox_id=ident, verbose=True).info["info"])

    def close(self):
        self.channel.close()
