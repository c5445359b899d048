"""The node's API as Kubernetes' Python client uses it (Debian's python3-kubernetes, of Kubernetes 1.22: what is old must go on working).
$KUBECONFIG: an admin's. Prints "ok NAME" for each part."""
import faulthandler
import sys
import time

from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException
from kubernetes.stream import portforward, stream

faulthandler.dump_traceback_later(60, exit=True)
config.load_kube_config()
core = client.CoreV1Api()
NS, IMAGE = "default", "localhost/reprise-examples:1"


def pod_of(name, script):
    return client.V1Pod(metadata=client.V1ObjectMeta(name=name, labels={"app": name}), spec=client.V1PodSpec(
        termination_grace_period_seconds=1, containers=[client.V1Container(name="main", image=IMAGE, command=["sh", "-c", script])]))


def is_ready(p):
    return any(c.type == "Ready" and c.status == "True" for c in p.status.conditions or [])


def until(fits, resource_version=None, **query):
    """Events of a watch of the Pods until one fits."""
    seen, w = [], watch.Watch()
    for event in w.stream(core.list_namespaced_pod, NS, resource_version=resource_version, timeout_seconds=40, **query):
        seen.append((event["type"], event["object"]))
        if fits(event["type"], event["object"]):
            w.stop()
            return seen
    raise AssertionError(f"the watch ended without it: {[(t, o.metadata.name) for t, o in seen]}")


def status_of(call, *args, **more):
    try:
        call(*args, **more)
    except ApiException as e:
        return e.status
    return 0


def create_list_watch():
    before = core.list_namespaced_pod(NS)
    core.create_namespaced_pod(NS, pod_of("py", "echo from python; exec httpd -f -p 8080"))
    seen = until(lambda kind, p: p.metadata.name == "py" and is_ready(p), before.metadata.resource_version)
    assert seen[0][0] == "ADDED" and {kind for kind, _ in seen[1:]} == {"MODIFIED"}
    versions = [int(p.metadata.resource_version) for _, p in seen]
    assert versions == sorted(set(versions))
    p = core.read_namespaced_pod("py", NS)
    assert p.spec.node_name == "n1" and p.status.phase == "Running"
    assert [x.metadata.name for x in core.list_pod_for_all_namespaces(label_selector="app=py").items] == ["py"]
    assert core.list_node().items[0].metadata.name == "n1"


def patch_and_replace():
    p = core.patch_namespaced_pod("py", NS, {"metadata": {"labels": {"strategic": "1"}}})  # this client's default
    assert p.metadata.labels == {"app": "py", "strategic": "1"}
    p = core.patch_namespaced_pod("py", NS, [{"op": "add", "path": "/metadata/labels/json", "value": "1"}])
    assert p.metadata.labels["json"] == "1"
    stale = core.read_namespaced_pod("py", NS)
    core.patch_namespaced_pod("py", NS, {"metadata": {"annotations": {"a": "b"}}})
    assert status_of(core.replace_namespaced_pod, "py", NS, stale) == 409
    p = core.read_namespaced_pod("py", NS)
    p.metadata.labels["replaced"] = "1"
    assert core.replace_namespaced_pod("py", NS, p).metadata.labels["replaced"] == "1"
    assert status_of(core.read_namespaced_pod, "nobody", NS) == 404
    assert status_of(core.create_namespaced_pod, NS, pod_of("py", "true")) == 409
    assert status_of(core.create_namespaced_pod, NS, pod_of("Not_A_Name", "true")) == 422


def logs():
    assert core.read_namespaced_pod_log("py", NS) == "from python\n"
    w = watch.Watch()
    for line in w.stream(core.read_namespaced_pod_log, "py", NS):  # follows
        assert line == "from python"
        w.stop()


def execute():
    out = stream(core.connect_get_namespaced_pod_exec, "py", NS, command=["sh", "-c", "echo out; echo err >&2"], stdout=True, stderr=True,
                 stdin=False, tty=False)
    assert sorted(out.split()) == ["err", "out"], out
    session = stream(core.connect_get_namespaced_pod_exec, "py", NS, command=["sh"], stdout=True, stderr=True, stdin=True, tty=False,
                     _preload_content=False)
    session.write_stdin("echo typed\n")
    assert session.readline_stdout(timeout=10) == "typed"
    session.write_stdin("exit 4\n")
    session.run_forever(timeout=10)
    assert session.returncode == 4
    session.close()


def forward():
    connection = portforward(core.connect_get_namespaced_pod_portforward, "py", NS, ports="8080")
    socket = connection.socket(8080)
    socket.setblocking(True)
    socket.sendall(b"GET /no-such-file HTTP/1.0\r\n\r\n")
    text = b""
    while chunk := socket.recv(4096):
        text += chunk
    assert b"404" in text.splitlines()[0], text
    assert connection.error(8080) is None
    socket.close()


def delete():
    version = core.list_namespaced_pod(NS).metadata.resource_version
    core.delete_namespaced_pod("py", NS, grace_period_seconds=1)
    until(lambda kind, p: kind == "DELETED" and p.metadata.name == "py", version)
    assert status_of(core.read_namespaced_pod, "py", NS) == 404


began = time.monotonic()
for part in (create_list_watch, patch_and_replace, logs, execute, forward, delete):
    part()
    print("ok", part.__name__, flush=True)
print(f"{time.monotonic() - began:.1f} s", file=sys.stderr)
