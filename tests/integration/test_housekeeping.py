"""How a node stays healthy: Pods that are evicted when memory, disk or their own limits run out, images that go, logs that are rotated."""
import glob
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time

import pytest

from pods import condition, container, is_running, pod, status

MI = 1 << 20


def root_working_set():
    """What the daemon takes for this machine's use of memory."""
    for folder, usage, inactive in (("/sys/fs/cgroup/memory", "memory.usage_in_bytes", "total_inactive_file"),
                                    ("/sys/fs/cgroup", "memory.current", "inactive_file")):
        try:
            stat = dict(line.split() for line in open(f"{folder}/memory.stat"))
        except OSError:
            continue
        try:
            used = int(open(f"{folder}/{usage}").read())
        except OSError:
            used = int(stat["anon"]) + int(stat["file"])
        return used - int(stat[inactive])
    pytest.skip("no memory cgroup")


def memory_total():
    return int(re.search(r"MemTotal:\s+(\d+) kB", open("/proc/meminfo").read())[1]) * 1024


def left_running(reprise, text):
    """A Pod that is no static one, for the daemon to take over."""
    run = reprise.run_pod(text, "--until=Ready", "--keep", timeout=60)
    assert run.returncode == 0, run.explain()
    return run.pod


class Api(http.client.HTTPConnection):
    """The node's API at its socket."""

    def __init__(self, node):
        super().__init__("localhost", timeout=20)
        self.path = f"{node.reprise.run_dir}/api.sock"

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def call(self, method, path, body=None):
        self.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"} if body is not None else {})
        answer = self.getresponse()
        text = answer.read().decode()
        assert answer.status < 300, f"{method} {path}: {answer.status} {text}"
        return text, answer.headers["Content-Type"]

    def get(self, path):
        return json.loads(self.call("GET", path)[0])

    def create(self, text):
        return json.loads(self.call("POST", "/api/v1/namespaces/default/pods", json.loads(text))[0])

    def pod(self, name):
        return self.get(f"/api/v1/namespaces/default/pods/{name}")

    def delete(self, name):
        self.call("DELETE", f"/api/v1/namespaces/default/pods/{name}")


def api_of(node):
    """Connected anew for each call: the daemon may have been another one."""
    return Api(node)


@pytest.fixture
def api_node(node):
    """Its Pods of the API are deleted at the end."""
    yield node
    if node.process and node.process.poll() is None:
        for p in api_of(node).get("/api/v1/pods")["items"]:
            if "kubernetes.io/config.mirror" not in p["metadata"].get("annotations", {}):
                api_of(node).delete(p["metadata"]["name"])


def samples(text):
    """{(name, ((label, value), ...)): number}; every line is checked, and promtool looks where it is installed."""
    families, found, family = {}, {}, None
    for line in text.splitlines():
        kind = re.fullmatch(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)", line)
        if kind:
            if kind[1] == "HELP":
                assert kind[2] not in families, line
                family = kind[2]
                families[family] = None
            else:
                assert kind[2] == family and families[family] is None and kind[3] in ("counter", "gauge", "histogram"), line
                families[family] = kind[3]
            continue
        sample = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)( \d+)?', line)
        assert sample, line
        suffixes = ("_bucket", "_sum", "_count") if families[family] == "histogram" else ("",)
        assert sample[1] in {family + x for x in suffixes}, line
        key = sample[1], tuple(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', sample[2] or ""))
        assert key not in found, line
        found[key] = float(sample[3])
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        assert done.returncode in (0, 3), done.stderr  # 3: it would call something by another name
    return found


def end(node, *pods):
    """Deletes what is no static Pod: the daemon does not."""
    node.stop()
    for p in pods:
        node.reprise.delete(p)


def evicted(p):
    return p["status"].get("phase") == "Failed" and p["status"].get("reason") == "Evicted"


def test_memory_pressure(node):
    """Who uses more than it asked for goes first, with the kubelet's words; nobody goes for what it gave back."""
    hog = container(script="dd if=/dev/zero of=/m/f bs=1M count=256 2>/dev/null; touch /tmp/full; exec sleep 1000", volumeMounts=[{"name": "m", "mountPath": "/m"}],
                    readinessProbe={"exec": {"command": ["test", "-e", "/tmp/full"]}, "periodSeconds": 1}, resources={"requests": {"memory": "8Mi"}})
    before = root_working_set()
    hog = left_running(node.reprise, pod(hog, name="hog", volumes=[{"name": "m", "emptyDir": {"medium": "Memory"}}]))
    modest = left_running(node.reprise, pod(container(resources={"requests": {"memory": "64Mi"}}), name="modest"))
    node.write("s.yaml", pod(container(), name="static"))
    threshold = memory_total() - before - 128 * MI
    node.start(f"--eviction-hard=memory.available<{threshold}", "--eviction-pressure-transition-period=2s")
    gone = node.wait_pod("hog", evicted)
    want = (rf"The node was low on resource: memory\. Threshold quantity: {threshold}, available: \d+Ki\. "
            r"Container main was using \d+(Ki|Mi)?, request is 8Mi, has larger consumption of memory\. ")
    assert re.fullmatch(want, gone["status"]["message"]), gone["status"]["message"]
    assert "terminated" in status(gone, "main")["state"] and status(gone, "main")["state"]["terminated"]["exitCode"] == 137
    assert condition(gone, "DisruptionTarget") == "True"
    assert next(c for c in gone["status"]["conditions"] if c["type"] == "DisruptionTarget")["reason"] == "TerminationByKubelet"
    said = node.lines()
    assert any(x["msg"] == "node condition" and x["condition"] == "MemoryPressure" and x["status"] == "True" for x in said)
    assert any(x["msg"] == "Attempting to reclaim memory" and x["reason"] == "EvictionThresholdMet" for x in said)
    assert any(x.get("reason") == "Evicted" and x.get("pod") == "default/hog" and x["msg"] == gone["status"]["message"] for x in said)
    node.wait(lambda: any(x["msg"] == "node condition" and x["status"] == "False" for x in node.lines()), 40, "the pressure to be over")
    assert is_running(node.pods()["modest"]) and is_running(node.pods()["static-n1"])
    assert not os.path.exists(f"{node.reprise.root}/pods/{gone['metadata']['uid']}/volumes"), "what they held is given back"
    end(node, hog, modest)


def test_static_pods_are_never_evicted(node):
    node.write("s.yaml", pod(container(), name="s"))
    node.start("--eviction-hard=memory.available<99.9%")
    node.wait_pod("s-n1", is_running)
    node.wait(lambda: any(x["msg"] == "unable to evict any pods from the node" for x in node.lines()), 30, "an attempt")
    assert is_running(node.pods()["s-n1"])


@pytest.mark.slow
def test_soft_threshold_waits(node):
    left = left_running(node.reprise, pod(container(script="trap 'sleep 1; exit 7' TERM; sleep 1000 & wait"), name="soft", grace=30))
    node.start("--eviction-soft=memory.available<99.9%", "--eviction-soft-grace-period=memory.available=5s", "--eviction-max-pod-grace-period=20")
    node.wait(lambda: any(x["msg"] == "node condition" for x in node.lines()), 10, "the condition")
    assert is_running(node.pods()["soft"]) and not any(x.get("reason") == "EvictionThresholdMet" for x in node.lines())
    gone = node.wait_pod("soft", evicted)
    assert status(gone, "main")["state"]["terminated"]["exitCode"] == 7, "it had time to stop in order"
    end(node, left)


def mount_tmpfs(path, size):
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)


def import_image(reprise, path, *args):
    return reprise.command("image", "import", f"--root={reprise.root}", "--quiet", *args, path, check=True).stdout.split()


def images(reprise):
    text = reprise.command("image", "ls", f"--root={reprise.root}", "-o", "json", check=True).stdout
    return json.dumps(json.loads(text))


@pytest.fixture
def small_disk(reprise, image_layouts):
    """State on a small file system of its own, images too."""
    os.unlink(f"{reprise.root}/images")
    mount_tmpfs(reprise.root, "96m")
    import_image(reprise, f"{image_layouts}/reprise-examples")
    yield reprise
    subprocess.run(["umount", reprise.root], check=True)


@pytest.fixture
def junk(tmp_path):
    """An image of 24 MiB that nobody uses."""
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs" / "file").write_bytes(os.urandom(24 * MI))
    return str(tmp_path / "rootfs")


@pytest.mark.oci("the embedded runtime's images and layers are below --root")
def test_disk_pressure(small_disk, junk):
    """Unused images go first; when they do not suffice, who wrote most."""
    from conftest import Node
    import_image(small_disk, junk, "--name=junk:1")
    node = Node(small_disk)
    try:
        writer = left_running(small_disk, pod(container(script="head -c 33554432 /dev/zero >/f; touch /done; exec sleep 1000", readinessProbe={
            "exec": {"command": ["test", "-e", "/done"]}, "periodSeconds": 1}), name="writer"))
        modest = left_running(small_disk, pod(container(script="echo x >/f; exec sleep 1000"), name="modest"))
        available = os.statvfs(small_disk.root).f_bavail * os.statvfs(small_disk.root).f_frsize
        node.start(f"--eviction-hard=nodefs.available<{available + 12 * MI}", "--eviction-pressure-transition-period=1s")
        node.wait(lambda: any(x["msg"] == "reduced the pressure without evicting pods" for x in node.lines()), 30, "the images to go")
        assert "junk" not in images(small_disk) and "examples" in images(small_disk)
        assert is_running(node.pods()["writer"])
        node.stop()
        available = os.statvfs(small_disk.root).f_bavail * os.statvfs(small_disk.root).f_frsize
        node.start(f"--eviction-hard=nodefs.available<{available + 4 * MI}", "--eviction-pressure-transition-period=1s")
        gone = node.wait_pod("writer", evicted)
        assert re.search(r"The node was low on resource: ephemeral-storage\. Threshold quantity: \d+(Ki|Mi)?, available: \d+(Ki|Mi)?\. Container main was "
                         r"using 3\d+(Ki|Mi), request is 0, has larger consumption of ephemeral-storage\. ", gone["status"]["message"])
        node.wait(lambda: any(x["msg"] == "node condition" and x["status"] == "False" for x in node.lines()), 40, "the pressure to be over")
        assert is_running(node.pods()["modest"]) and "examples" in images(small_disk)
        node.stop()
        for p in (writer, modest):
            small_disk.delete(p)
    finally:
        if node.process and node.process.poll() is None:
            node.stop()


@pytest.mark.oci("the embedded runtime's images are below --root")
def test_image_garbage_collection(small_disk, junk):
    from conftest import Node
    import_image(small_disk, junk, "--name=junk:1")
    node = Node(small_disk)
    node.write("p.yaml", pod(container(), name="p"))
    try:
        node.start("--image-gc-high-threshold=20", "--image-gc-low-threshold=15", "--minimum-image-ttl-duration=1h")
        node.wait_pod("p-n1", is_running)
        node.wait(lambda: any(x["msg"] == "image removed to free space" for x in node.lines()), 30, "the image to go")
        node.wait(lambda: "junk" not in images(small_disk), 10, "the store to know")
        assert "examples" in images(small_disk), "a Pod uses it"
        assert not any(x["msg"] == "image cannot be removed" for x in node.lines())
        node.remove("p.yaml")
        node.wait_gone("p-n1")
    finally:
        node.close()


@pytest.mark.cri
def test_image_garbage_collection_over_cri(node, containerd, image_layouts):
    """All that nobody uses; never what another one's container has, nor the sandboxes' own image."""
    def there():
        return {t.split("/", 1)[1] for i in containerd.cri.ListImages().images for t in i.repo_tags if "/" in t}
    other = left_running(node.reprise, pod({**container(), "image": "localhost/busybox:1"}, name="other"))
    node.write("p.yaml", pod(container(), name="p"))
    elsewhere = [a.replace(node.reprise.root, f"{node.reprise.folder}/elsewhere") for a in node.args]
    node.args = elsewhere  # another --root: what <other> has is not this daemon's
    try:
        assert any("setup-worker" in t for t in there())
        node.start("--image-gc-high-threshold=1", "--image-gc-low-threshold=0")
        node.wait(lambda: any(x.get("reason") == "FreeDiskSpaceFailed" for x in node.lines()), 40, "the end of the run")
        left = there()
        assert not any("setup-worker" in t or "training-app" in t for t in left), left
        assert {"busybox:1", "reprise-examples:1", "pause:1"} <= left, left
        node.remove("p.yaml")
        node.wait(lambda: any(x["msg"] == "pod removed" for x in node.lines()), 40, "the Pod to be gone")
        node.stop()
        node.reprise.delete(other)
    finally:
        containerd.import_images(image_layouts)


@pytest.mark.slow
def test_own_storage_limit(node):
    left = left_running(node.reprise, pod(container(
        script="head -c 4194304 /dev/zero >/f; touch /done; exec sleep 1000", resources={"limits": {"ephemeral-storage": "1Mi"}},
        readinessProbe={"exec": {"command": ["test", "-e", "/done"]}, "periodSeconds": 1}), name="fat"))
    node.start()
    gone = node.wait_pod("fat", evicted, timeout=100)
    assert gone["status"]["message"] == "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "
    assert condition(gone, "DisruptionTarget") is None
    end(node, left)


def test_logs_are_rotated(node):
    node.write("l.yaml", pod(container(script="i=0; while [ $i -lt 3000 ]; do echo line $i of many that fill a file; i=$((i+1)); done; "
                                              "while sleep 0.2; do echo more and more; done"), name="l"))
    node.start("--container-log-max-size=20Ki", "--container-log-max-files=3")
    p = node.wait_pod("l-n1", is_running)
    folder = f"{node.reprise.log_dir}/default_l-n1_{p['metadata']['uid']}/main"
    node.wait(lambda: len(glob.glob(f"{folder}/0.log*")) >= 2, 30, "a rotated log")
    time.sleep(1)
    assert 2 <= len(glob.glob(f"{folder}/0.log*")) <= 3


@pytest.mark.slow
def test_metrics_and_summary(api_node):
    """What is served, through the socket, while a Pod of the API and one of a file run, and after an in-place restart."""
    node = api_node
    node.start()
    node.write("s.yaml", pod(container(), name="s"))
    api_of(node).create(pod(
        container("main", "head -c 5000000 /dev/zero >/f; head -c 3000000 /dev/zero >/v/f; until [ -e /v/go ]; do sleep 0.05; done; [ -e /v/gone ] && exec sleep 1000; touch /v/gone; exit 88",
                  volumeMounts=[{"name": "v", "mountPath": "/v"}], restartPolicy="Never",
                  restartPolicyRules=[{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]),
        container("side"), name="a", volumes=[{"name": "v", "emptyDir": {}}]))
    a = node.wait_pod("a", lambda p: is_running(p, "main", "side"))
    node.wait_pod("s-n1", is_running)
    volume = f"{node.reprise.root}/pods/{a['metadata']['uid']}/volumes/kubernetes.io~empty-dir/v"
    node.wait(lambda: os.path.exists(f"{volume}/f") and os.path.getsize(f"{volume}/f") == 3000000, 10, "what it writes")
    open(f"{volume}/go", "w").close()
    node.wait_pod("a", lambda p: p["restarts"] == 1 and is_running(p, "main", "side"))
    text, kind = api_of(node).call("GET", "/metrics")
    assert kind.startswith("text/plain; version=0.0.4"), kind

    def restarted():
        return samples(api_of(node).call("GET", "/metrics")[0]).get(("reprise_pod_restart_duration_seconds_count", ())) == 1
    node.wait(restarted, 10, "the restart to be counted")
    m = samples(api_of(node).call("GET", "/metrics")[0])
    assert m["kubelet_node_name", (("node", "n1"),)] == 1
    assert m["kubelet_active_pods", (("static", ""),)] == 1 and m["kubelet_active_pods", (("static", "true"),)] == 1
    assert m["kubelet_running_pods", ()] == 2 and m["kubelet_running_containers", (("container_state", "running"),)] == 3
    assert m["kubelet_started_containers_total", (("container_type", "container"),)] == 5
    assert m["reprise_pod_restarts_total", ()] == 1 and 0 < m["reprise_pod_restart_duration_seconds_sum", ()] < 10
    assert m["kubelet_pod_start_duration_seconds_count", ()] == 2
    assert m["kubelet_runtime_operations_total", (("operation_type", "run_podsandbox"),)] == 2
    assert m["kubelet_runtime_operations_duration_seconds_count", (("operation_type", "run_podsandbox"),)] == 2
    assert m["reprise_store_objects", ()] > 3 and m["process_open_fds", ()] > 5
    assert any(k[0] == "kubelet_http_requests_total" and ("verb", "create") in k[1] for k in m)

    def measured():
        r = samples(api_of(node).call("GET", "/metrics/resource")[0])
        labels = ("container", "main"), ("namespace", "default"), ("pod", "a")
        return r if ("container_memory_working_set_bytes", labels) in r and r.get(("container_cpu_usage_seconds_total", labels), 0) > 0 else None
    r = node.wait(measured, 40, "the Pod to be measured")
    assert ("pod_memory_working_set_bytes", (("namespace", "default"), ("pod", "s-n1"))) in r and r["scrape_error", ()] == 0

    def summary():
        s = api_of(node).get("/stats/summary")
        p = next((x for x in s["pods"] if x["podRef"]["name"] == "a"), {})
        layer = next((c for c in p.get("containers", []) if c["name"] == "main"), {}).get("rootfs", {}).get("usedBytes", 0)
        volume = next((v for v in p.get("volume", []) if v["name"] == "v"), {}).get("usedBytes", 0)
        return (s, p) if layer >= 5000000 and volume >= 3000000 and p["ephemeral-storage"]["usedBytes"] >= 8000000 else None
    s, p = node.wait(summary, 90, "its disks to be counted")
    assert s["node"]["nodeName"] == "n1" and s["node"]["fs"]["capacityBytes"] > 0 and s["node"]["runtime"]["imageFs"]["usedBytes"] > 0
    assert s["node"]["rlimit"]["maxpid"] > s["node"]["rlimit"]["curproc"] > 0
    assert p["podRef"]["uid"] == a["metadata"]["uid"] and p["process_stats"]["process_count"] >= 2
    main = next(c for c in p["containers"] if c["name"] == "main")
    assert main["memory"]["workingSetBytes"] > 0 and main["cpu"]["usageCoreNanoSeconds"] > 0
    assert 3000000 <= next(v for v in p["volume"] if v["name"] == "v")["usedBytes"] < 4000000


def test_pressure_through_the_api(api_node):
    """The Node says so, new Pods wait, the Pod's end is seen as kubectl would."""
    node = api_node
    node.start("--eviction-hard=memory.available<99.9%", "--eviction-pressure-transition-period=1s")
    node.wait(lambda: condition(api_of(node).get("/api/v1/nodes/n1"), "MemoryPressure") == "True", 20, "the condition")
    says = next(c for c in api_of(node).get("/api/v1/nodes/n1")["status"]["conditions"] if c["type"] == "MemoryPressure")
    assert (says["reason"], says["message"]) == ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
    api_of(node).create(pod(container(resources={"requests": {"memory": "1Mi"}}), name="burstable", nodeName="n1"))
    api_of(node).create(pod(container(), name="besteffort", nodeName="n1"))
    refused = node.wait(lambda: (lambda p: p if p["status"].get("phase") == "Failed" else None)(api_of(node).pod("besteffort")), 20, "the refusal")
    assert refused["status"]["reason"] == "Evicted"
    assert refused["status"]["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. "
    gone = node.wait(lambda: (lambda p: p if evicted(p) else None)(api_of(node).pod("burstable")), 40, "the eviction")
    assert gone["status"]["message"].startswith("The node was low on resource: memory. ")
    events = api_of(node).get("/api/v1/events")["items"]
    assert any(e["reason"] == "Evicted" and e["involvedObject"]["name"] == "burstable" and e["type"] == "Warning" for e in events)
    assert any(e["reason"] == "EvictionThresholdMet" and e["involvedObject"]["kind"] == "Node" for e in events)
    m = samples(api_of(node).call("GET", "/metrics")[0])
    assert m["kubelet_evictions", (("eviction_signal", "memory.available"),)] == 1
    assert m["reprise_node_pressure", (("condition", "MemoryPressure"),)] == 1


CONFIG_ERRORS = """\
CONFIG: evictionHard.memory: Invalid value: "1Gi": unsupported eviction signal memory
CONFIG: evictionHard.memory.available: Invalid value: "lots": eviction threshold memory.available: "lots" is not a quantity
CONFIG: evictionSoftGracePeriod.memory.available: Invalid value: "soon": time: invalid duration "soon"
CONFIG: imageGCHighThresholdPercent: Invalid value: 101: must be between 0 and 100
CONFIG: containerLogMaxFiles: Invalid value: must be an integer
"""


def test_config_errors(reprise):
    path = f"{reprise.folder}/node.yaml"
    with open(path, "w") as f:
        f.write("""apiVersion: reprise.io/v1alpha1
kind: NodeConfig
evictionHard: {memory: 1Gi, memory.available: lots}
evictionSoftGracePeriod: {memory.available: soon}
imageGCHighThresholdPercent: 101
containerLogMaxFiles: many
""")
    run = reprise.command("node", f"--config={path}")
    assert (run.returncode, run.stderr.replace(path, "CONFIG")) == (2, CONFIG_ERRORS)
    for flags, want in ((["--eviction-soft=memory.available<1Gi"], "grace period must be specified for the soft eviction threshold memory.available"),
                        (["--eviction-hard=memory.available>1Gi"], "malformed pair"), (["--image-gc-low-threshold=90"], "must be less than"),
                        (["--container-log-max-files=1"], "greater than 1"), (["--container-log-max-size=0"], "quantity"),
                        (["--eviction-max-pod-grace-period=-2"], "from -1")):
        run = reprise.command("node", *reprise.dirs, *flags)
        assert run.returncode == 2 and want in run.stderr, run.explain()
