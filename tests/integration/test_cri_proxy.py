"""The fault proxy itself, before a real containerd: what it does to calls is what tests of the agent build on."""
import contextlib
import threading
import time

import pytest

pytestmark = pytest.mark.cri
grpc = pytest.importorskip("grpc")

import cri  # noqa: E402
from cri_proxy import cut, drop, fail, hang, late, twice  # noqa: E402


@pytest.fixture
def client(proxy):
    it = cri.Client(proxy.path, timeout=10)
    yield it
    it.close()


@pytest.fixture
def sandbox(containerd):
    """A sandbox that is not the agent's, and a function that makes containers in it."""
    config = {"metadata": {"name": "other", "uid": "other-uid", "namespace": "x"}}
    ident = containerd.cri.RunPodSandbox(config=config).pod_sandbox_id

    def create(through, name="c"):
        return through.CreateContainer(pod_sandbox_id=ident, sandbox_config=config, config={
            "metadata": {"name": name}, "image": {"image": "localhost/busybox:1"}, "command": ["sleep", "1000"],
            "linux_": {}}).container_id
    create.sandbox = ident
    yield create
    containerd.cri.StopPodSandbox(pod_sandbox_id=ident)
    containerd.cri.RemovePodSandbox(pod_sandbox_id=ident)


def code_of(call, **kw):
    """The name of the status with which the call ends."""
    try:
        call(**kw)
    except grpc.RpcError as e:
        return e.code().name
    return "OK"


def test_passes_everything_on(client, proxy, containerd, sandbox):
    assert client.Version() == containerd.cri.Version()
    ident = sandbox(client)
    client.StartContainer(container_id=ident)
    assert client.ExecSync(container_id=ident, cmd=["echo", "hello"]).stdout_ == b"hello\n"
    assert [c.id for c in client.containers(pod_sandbox_id=sandbox.sandbox)] == [ident]
    with pytest.raises(grpc.RpcError) as direct:
        containerd.cri.ContainerStatus(container_id="none")
    with pytest.raises(grpc.RpcError) as through:
        client.ContainerStatus(container_id="none")
    assert (through.value.code(), through.value.details()) == (direct.value.code(), direct.value.details())
    assert {t for i in client.ListImages().images for t in i.repo_tags} >= {"localhost/busybox:1", "localhost/pause:1"}
    assert proxy.calls["Version"] == 1 and proxy.calls["ListImages"] == 1 and proxy.calls["StopContainer"] == 0


def test_hang_and_release(client, proxy):
    rule = proxy.on("Version", hang(), nth=2)
    assert code_of(client.Version) == "OK"
    assert code_of(client.Version, _timeout=0.5) == "DEADLINE_EXCEEDED"
    assert code_of(client.Version) == "OK", "only the second"
    assert rule.hits == 1 and rule.seen == 3
    proxy.clear()
    proxy.on("Version", hang())
    got = []
    thread = threading.Thread(target=lambda: got.append(code_of(client.Version)))
    thread.start()
    time.sleep(0.3)
    assert not got and code_of(client.Status) == "OK", "others go on meanwhile"
    proxy.clear()
    thread.join(5)
    assert got == ["OK"]


@pytest.mark.parametrize("after", [False, True])
def test_fail(client, proxy, containerd, sandbox, after):
    rule = proxy.on("CreateContainer", fail("RESOURCE_EXHAUSTED", "no room", after=after), nth=1)
    with pytest.raises(grpc.RpcError) as error:
        sandbox(client)
    assert (error.value.code().name, error.value.details()) == ("RESOURCE_EXHAUSTED", "no room")
    assert len(containerd.cri.containers(pod_sandbox_id=sandbox.sandbox)) == (1 if after else 0)
    assert rule.wait(0) and code_of(sandbox, through=client, name="d") == "OK"


def test_late(client, proxy, containerd, sandbox):
    ident = sandbox(client)
    proxy.on("RemoveContainer", late(1.0))
    began, thread = time.monotonic(), threading.Thread(target=lambda: client.RemoveContainer(container_id=ident))
    thread.start()
    while containerd.cri.containers(pod_sandbox_id=sandbox.sandbox):
        assert time.monotonic() - began < 0.9, "it is done at once"
        time.sleep(0.02)
    thread.join(10)
    assert 1.0 <= time.monotonic() - began < 5, "and said late"


def test_twice(proxy):
    """A client that takes any number of answers sees both; grpc's own unary one calls it an error or ignores the second."""
    channel = grpc.insecure_channel(f"unix:{proxy.path}", options=cri.OPTIONS)
    with contextlib.closing(channel):
        call = channel.unary_stream(cri.path_of("Version"))
        one = list(call(b"", timeout=5))
        proxy.on("Version", twice())
        two = list(call(b"", timeout=5))
    assert len(one) == 1 and two == one * 2


@pytest.mark.parametrize("after", [False, True])
def test_drop(client, proxy, containerd, sandbox, after):
    ident = sandbox(client)
    proxy.on("RemoveContainer", drop(after=after), nth=1)
    assert code_of(client.RemoveContainer, container_id=ident) == "UNAVAILABLE"
    assert len(containerd.cri.containers(pod_sandbox_id=sandbox.sandbox)) == (0 if after else 1)
    deadline = time.monotonic() + 10
    while code_of(client.Version) != "OK":
        assert time.monotonic() < deadline, "a new connection is served"
        time.sleep(0.05)


def test_predicate(client, proxy, sandbox):
    first, second = sandbox(client, "a"), sandbox(client, "b")
    proxy.on("RemoveContainer", fail(), when=lambda request: second.encode() in request)
    assert code_of(client.RemoveContainer, container_id=first) == "OK"
    assert code_of(client.RemoveContainer, container_id=second) == "UNAVAILABLE"


def test_containerd_dies_and_comes_back(client, proxy, containerd, sandbox):
    ident = sandbox(client)
    client.StartContainer(container_id=ident)
    containerd.kill()
    assert code_of(client.Version) == "UNAVAILABLE"
    containerd.start()
    deadline = time.monotonic() + 5
    while code_of(client.Version) != "OK":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [c.state for c in client.containers(id=ident)] == [client.pb.CONTAINER_RUNNING]


class Events:
    """The event stream, read in the background."""

    def __init__(self, client):
        self.got, self.code = [], None
        self.stream = client.GetContainerEvents()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for event in self.stream:
                self.got.append(event)
            self.code = "OK"
        except grpc.RpcError as e:
            self.code = e.code().name


def eventually(look, seconds=10):
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_no_events_in_1_6(client, containerd):
    if not client.Version().runtime_version.startswith("1.6"):
        return  # the tests below are for the others
    assert code_of(lambda: list(client.GetContainerEvents())) == "UNIMPLEMENTED"


@pytest.mark.containerd2("containerd 1.6 has no container events")
def test_event_stream_is_cut(client, proxy, sandbox):
    events = Events(client)
    eventually(lambda: proxy.calls["GetContainerEvents"] == 1)
    time.sleep(0.3)
    ident = sandbox(client)
    client.StartContainer(container_id=ident)
    eventually(lambda: client.pb.CONTAINER_STARTED_EVENT in [e.container_event_type for e in events.got if e.container_id == ident])
    assert proxy.cut_streams() == 1
    eventually(lambda: events.code)
    assert events.code == "UNAVAILABLE"


@pytest.mark.containerd2("containerd 1.6 has no container events")
@pytest.mark.parametrize("code, want", [("UNAVAILABLE", "UNAVAILABLE"), (None, "OK")])
def test_event_stream_ends_after_some(client, proxy, sandbox, code, want):
    proxy.on("GetContainerEvents", cut(1, code))
    events = Events(client)
    eventually(lambda: proxy.calls["GetContainerEvents"] == 1)
    time.sleep(0.3)
    client.StartContainer(container_id=sandbox(client))
    eventually(lambda: events.code)
    assert (len(events.got), events.code) == (1, want)
