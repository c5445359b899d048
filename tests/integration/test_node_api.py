"""Pods of the API on the node, with real containers: over the socket, through deaths of the daemon at each of its steps."""
import json
import os
import subprocess
import time

import pytest

import host
from kube_api import Api, ApiError
from pods import condition, container, is_running, pod, status

RESTART = {"restartPolicy": "Never",
           "restartPolicyRules": [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]}


@pytest.fixture
def api(node):
    node.start()
    it = Api(f"{node.reprise.run_dir}/api.sock")
    yield it
    if node.process.poll() is not None:
        node.start()
    for p in it.call("GET", "/api/v1/pods")["items"]:
        meta = p["metadata"]
        if meta.get("finalizers"):
            it.patch("pods", meta["name"], {"metadata": {"finalizers": None}}, meta["namespace"], kind="merge-patch")
        if "kubernetes.io/config.mirror" not in meta.get("annotations", {}):
            try:
                it.delete("pods", meta["name"], meta["namespace"], grace=0)
            except ApiError as e:
                assert e.code == 404


def ended(p):
    return p is not None and p["status"]["phase"] in ("Succeeded", "Failed")


def running(p):
    return p is not None and is_running(p)


def printed(node, p, name="main", attempt=0):
    """What a container has printed, from its log file."""
    meta = p["metadata"]
    path = f"{node.reprise.log_dir}/{meta['namespace']}_{meta['name']}_{meta['uid']}/{name}/{attempt}.log"
    return "".join(line.split(" ", 3)[3] for line in open(path)) if os.path.exists(path) else ""


def reasons(api, name):
    return [e["reason"] for e in api.events(name)]


def test_life(node, api):
    made = api.create("pods", pod(container(script="echo hello; exec sleep 1000"), name="p"))
    assert made["status"]["phase"] == "Pending"
    p = api.wait("pods", "p", running)
    assert p["spec"]["nodeName"] == "n1" and p["metadata"]["uid"] == made["metadata"]["uid"]
    assert condition(p, "Ready") == "True" and condition(p, "PodScheduled") == "True"
    assert p["status"]["podIP"] and p["status"]["hostIP"]
    node.wait(lambda: api.logs("p") == "hello\n", 10, "its output")
    assert len(host.containers_of(p)) == 1
    api.wait("pods", "p", lambda _: {"Scheduled", "Pulled", "Created", "Started"} <= set(reasons(api, "p")))
    started = next(e for e in api.events("p") if e["reason"] == "Started")
    assert started["message"] == "Container started" and started["involvedObject"]["fieldPath"] == "spec.containers{main}"
    assert started["source"] == {"component": "kubelet", "host": "n1"} and started["count"] == 1
    api.delete("pods", "p")
    api.wait_gone("pods", "p")
    node.wait_gone("p")
    assert not host.processes_of(p)


def test_generate_name_and_job_like(node, api):
    """Ends by itself: stays to be looked at until it is deleted, over a death of the daemon."""
    o = json.loads(pod(container(script="exit 3")))
    del o["metadata"]["name"]
    o["metadata"]["generateName"] = "job-"
    name = api.create("pods", o)["metadata"]["name"]
    p = api.wait("pods", name, ended)
    assert p["status"]["phase"] == "Failed" and status(p, "main")["state"]["terminated"]["exitCode"] == 3
    node.kill()
    node.start()
    time.sleep(0.5)
    now = api.get("pods", name)
    assert status(now, "main")["state"] == status(p, "main")["state"] and status(now, "main")["restartCount"] == 0, "not run again"
    api.delete("pods", name)
    api.wait_gone("pods", name, timeout=5)
    node.wait_gone(name)


def test_objects_late(node, api):
    c = container(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}], script="echo $A; exec sleep 1000")
    api.create("pods", pod(c, name="p"))
    api.wait("pods", "p", lambda p: status(p, "main")["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError")
    begin = time.monotonic()
    api.create("configmaps", {"metadata": {"name": "m"}, "data": {"k": "late"}})
    p = api.wait("pods", "p", running)
    assert time.monotonic() - begin < 5, "at once, not at the next retry"
    node.wait(lambda: printed(node, p) == "late\n", 10, "its output")
    api.create("pods", pod(container(volumeMounts=[{"name": "v", "mountPath": "/v"}]), name="q",
                           volumes=[{"name": "v", "configMap": {"name": "n"}}]))
    api.wait("pods", "q", lambda _: "FailedMount" in reasons(api, "q"))
    api.create("configmaps", {"metadata": {"name": "n"}, "data": {"k": "1"}})
    q = api.wait("pods", "q", running)
    path = f"{node.reprise.root}/pods/{q['metadata']['uid']}/volumes/kubernetes.io~configmap/v/k"
    api.patch("configmaps", "n", {"data": {"k": "2"}})
    node.wait(lambda: open(path).read() == "2", 10, "the volume to follow")


def test_image_update(node, api):
    api.create("pods", pod(container(), name="p"))
    before = api.wait("pods", "p", running)
    api.patch("pods", "p", {"spec": {"containers": [{"name": "main", "image": "localhost/none:1"}]}})
    p = api.wait("pods", "p", lambda p: status(p, "main")["state"].get("waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff"))
    assert "Container main definition changed, will be restarted" in [e["message"] for e in api.events("p")]
    api.patch("pods", "p", {"spec": {"containers": [{"name": "main", "image": "localhost/busybox:1"}]}})
    p = api.wait("pods", "p", running)  # what was wrong with the image of before is over
    assert status(p, "main")["restartCount"] == 1 and p["metadata"]["generation"] == 3
    assert p["status"]["podIP"] == before["status"]["podIP"] and p["metadata"]["uid"] == before["metadata"]["uid"]


def test_ephemeral_container(node, api):
    api.create("pods", pod(container(), name="p"))
    api.wait("pods", "p", running)
    c = container("debug", "echo debugging; exec sleep 1000", targetContainerName="main")
    api.patch("pods", "p", {"spec": {"ephemeralContainers": [c]}}, sub="ephemeralcontainers")
    p = api.wait("pods", "p", lambda p: any("running" in s["state"] for s in p["status"].get("ephemeralContainerStatuses", [])))
    assert status(p, "main")["restartCount"] == 0
    node.wait(lambda: printed(node, p, "debug") == "debugging\n", 10, "its output")


def test_readiness_gate(node, api):
    api.create("pods", pod(container(), name="p", readinessGates=[{"conditionType": "example.com/ready"}]))
    api.wait("pods", "p", lambda p: running(p) and condition(p, "Ready") == "False" and condition(p, "ContainersReady") == "True")
    api.patch("pods", "p", {"status": {"conditions": [{"type": "example.com/ready", "status": "True"}]}}, sub="status")
    p = api.wait("pods", "p", lambda p: condition(p, "Ready") == "True")
    assert condition(p, "example.com/ready") == "True"


def test_scheduling(node, api):
    api.create("pods", pod(container(), name="gated", schedulingGates=[{"name": "example.com/wait"}]))
    p = api.wait("pods", "gated")
    assert next(c for c in p["status"]["conditions"] if c["type"] == "PodScheduled")["reason"] == "SchedulingGated"
    api.patch("nodes", "n1", {"spec": {"unschedulable": True}}, namespace=None)
    api.create("pods", pod(container(), name="p"))
    api.wait("pods", "p", lambda _: "FailedScheduling" in reasons(api, "p"))
    said = next(e for e in api.events("p") if e["reason"] == "FailedScheduling")
    assert said["message"].startswith("0/1 nodes are available: 1 node(s) were unschedulable. ") and said["type"] == "Warning"
    node.kill()
    node.start()
    time.sleep(0.5)
    assert "nodeName" not in api.get("pods", "p")["spec"]
    api.patch("nodes", "n1", {"spec": {"unschedulable": None}}, namespace=None, kind="merge-patch")
    api.wait("pods", "p", running)
    assert "nodeName" not in api.get("pods", "gated")["spec"]
    api.patch("pods", "gated", {"spec": {"schedulingGates": None}}, kind="merge-patch")
    api.wait("pods", "gated", running)


def test_finalizer_and_namespace(node, api):
    api.create("namespaces", {"metadata": {"name": "team"}}, namespace=None)
    o = json.loads(pod(container(), name="p"))
    o["metadata"]["finalizers"] = ["example.com/keep"]
    api.create("pods", o, namespace="team")
    p = api.wait("pods", "p", running, namespace="team")
    api.delete("namespaces", "team", namespace=None)
    p = api.wait("pods", "p", lambda p: ended(p) and p["metadata"]["deletionGracePeriodSeconds"] == 0, namespace="team")
    assert p["metadata"]["deletionTimestamp"] and not host.processes_of(p)
    assert api.get("namespaces", "team", namespace=None)["status"]["phase"] == "Terminating"
    api.patch("pods", "p", {"metadata": {"finalizers": None}}, namespace="team", kind="merge-patch")
    api.wait_gone("namespaces", "team", namespace=None)
    node.wait_gone("p")


def test_claim(node, api):
    api.create("persistentvolumeclaims", {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
                                                                                "resources": {"requests": {"storage": "1Gi"}}}})
    claim = api.wait("persistentvolumeclaims", "data", lambda c: c["status"].get("phase") == "Bound")
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    api.create("pods", pod(container(script="echo x > /d/f; exec sleep 1000", volumeMounts=[{"name": "d", "mountPath": "/d"}]), name="p",
                           volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]))
    api.wait("pods", "p", running)
    where = f"{node.reprise.root}/pvc/default/data"
    node.wait(lambda: os.path.exists(f"{where}/f"), 10, "the file")
    api.delete("persistentvolumeclaims", "data")
    time.sleep(0.3)
    assert api.get("persistentvolumeclaims", "data")["metadata"]["deletionTimestamp"] and os.path.exists(f"{where}/f")
    api.delete("pods", "p")
    api.wait_gone("persistentvolumeclaims", "data")
    node.wait(lambda: not os.path.exists(where), 10, "the data to go")


def test_mirror(node, api):
    node.write("s.yaml", pod(container(), name="s"))
    m = api.wait("pods", "s-n1", running)
    assert m["metadata"]["annotations"]["kubernetes.io/config.mirror"] == m["metadata"]["uid"]
    api.delete("pods", "s-n1", grace=0)
    again = api.wait("pods", "s-n1", lambda p: running(p) and p["metadata"]["resourceVersion"] != m["metadata"]["resourceVersion"])
    api.delete("pods", "s-n1")
    again = api.wait("pods", "s-n1", lambda p: running(p) and "deletionTimestamp" not in p["metadata"])
    assert status(again, "main")["containerID"] == status(m, "main")["containerID"], "the Pod goes on"
    node.remove("s.yaml")
    api.wait_gone("pods", "s-n1")


def test_restart_in_place(node, api):
    api.create("pods", pod(container(), container("watch", "until [ -e /w/go ]; do sleep 0.05; done; rm /w/go; exit 88", **RESTART,
                                                  volumeMounts=[{"name": "w", "mountPath": "/w"}]), name="p",
                           volumes=[{"name": "w", "emptyDir": {}}]))
    before = api.wait("pods", "p", lambda p: p and is_running(p, "main", "watch"))
    work = f"{node.reprise.root}/pods/{before['metadata']['uid']}/volumes/kubernetes.io~empty-dir/w"
    open(f"{work}/go", "w").close()
    after = api.wait("pods", "p", lambda p: status(p, "main")["restartCount"] == 1 and is_running(p, "main", "watch"))
    assert after["status"]["podIP"] == before["status"]["podIP"] and after["metadata"]["uid"] == before["metadata"]["uid"]
    assert condition(after, "AllContainersRestarting") == "False"
    api.wait("pods", "p", lambda _: {"InPlaceRestartStarted", "InPlaceRestartCompleted"} <= set(reasons(api, "p")))


@pytest.mark.parametrize("step", ["restart.intent", "restart.killed", "restart.removed", "api.status"])
def test_death_in_restart(node, api, step):
    """Whatever moment the daemon dies at: once, and the API says so."""
    api.create("pods", pod(container(script="echo run >> /w/runs; exec sleep 1000", volumeMounts=[{"name": "w", "mountPath": "/w"}]),
                           container("watch", "until [ -e /w/go ]; do sleep 0.05; done; rm /w/go; exit 88", **RESTART,
                                     volumeMounts=[{"name": "w", "mountPath": "/w"}]), name="p", volumes=[{"name": "w", "emptyDir": {}}]))
    before = api.wait("pods", "p", lambda p: p and is_running(p, "main", "watch"))
    time.sleep(0.3)
    node.kill()
    node.start(env={"REPRISE_FAULT": f"kill@{step}@{node.reprise.folder}/fault"})
    work = f"{node.reprise.root}/pods/{before['metadata']['uid']}/volumes/kubernetes.io~empty-dir/w"
    open(f"{work}/go", "w").close()
    node.process.wait(20)
    node.start()
    after = api.wait("pods", "p", lambda p: p and status(p, "main")["restartCount"] == 1 and is_running(p, "main", "watch"))
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    time.sleep(0.5)
    assert len(open(f"{work}/runs").readlines()) == 2
    assert status(api.get("pods", "p"), "main")["restartCount"] == 1


CREATE = ["api.bind", "api.bound", "api.add", "api.added", "container.started"]
DELETE = ["api.status", "sandbox.remove", "api.delete", "api.deleted"]


@pytest.mark.parametrize("step", CREATE)
def test_death_while_it_comes(node, api, step):
    node.kill()
    node.start(env={"REPRISE_FAULT": f"kill@{step}@{node.reprise.folder}/fault"})
    try:
        api.create("pods", pod(container(script="echo run; exec sleep 1000"), name="p"))
    except OSError:
        pass  # it died before it could answer
    node.process.wait(20)
    node.start()
    p = api.wait("pods", "p", running)
    time.sleep(0.5)
    p = api.get("pods", "p")
    assert status(p, "main")["restartCount"] == 0 and len(host.containers_of(p)) == 1
    assert printed(node, p) == "run\n"


@pytest.mark.parametrize("step", DELETE)
def test_death_while_it_goes(node, api, step):
    api.create("pods", pod(container(), name="p"))
    p = api.wait("pods", "p", running)
    time.sleep(0.3)
    node.kill()
    node.start(env={"REPRISE_FAULT": f"kill@{step}@{node.reprise.folder}/fault"})
    try:
        api.delete("pods", "p")
    except OSError:
        pass
    node.process.wait(20)
    node.start()
    if api.get("pods", "p") and "deletionTimestamp" not in api.get("pods", "p")["metadata"]:
        api.delete("pods", "p")  # it was not kept, and nobody was told that it was
    api.wait_gone("pods", "p")
    node.wait_gone("p")
    assert not host.processes_of(p)


@pytest.mark.parametrize("step", ["mirror.make", "mirror.made", "mirror.delete"])
def test_death_at_a_mirror(node, api, step):
    node.kill()
    node.start(env={"REPRISE_FAULT": f"kill@{step}@{node.reprise.folder}/fault"})
    node.write("s.yaml", pod(container(), name="s"))
    if step == "mirror.delete":
        api.wait("pods", "s-n1", running)
        node.remove("s.yaml")
    node.process.wait(20)
    node.start()
    if step == "mirror.delete":
        api.wait_gone("pods", "s-n1")
        node.wait_gone("s-n1")
    else:
        p = api.wait("pods", "s-n1", running)
        assert len(host.containers_of(p)) == 1


@pytest.mark.parametrize("step", ["claim.delete", "claim.remove"])
def test_death_at_a_claim(node, api, step):
    api.create("persistentvolumeclaims", {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
                                                                                "resources": {"requests": {"storage": "1Gi"}}}})
    api.wait("persistentvolumeclaims", "data", lambda c: c["status"].get("phase") == "Bound")
    where = f"{node.reprise.root}/pvc/default/data"
    os.makedirs(where)
    node.kill()
    node.start(env={"REPRISE_FAULT": f"kill@{step}@{node.reprise.folder}/fault"})
    try:
        api.delete("persistentvolumeclaims", "data")
    except OSError:
        pass
    node.process.wait(20)
    node.start()
    api.wait_gone("persistentvolumeclaims", "data")
    node.wait(lambda: not os.path.exists(where), 10, "the data to go")


@pytest.mark.oci("its shims go with the machine")
def test_reboot(node, api):
    """Another boot id, nothing of before runs, the run directory is gone: from the beginning, with UID, volumes and the API's objects."""
    api.create("pods", pod(container(script="echo run >> /v/runs; exec sleep 1000", volumeMounts=[{"name": "v", "mountPath": "/v"}]), name="p",
                           volumes=[{"name": "v", "emptyDir": {}}], restartPolicy="Always"))
    api.create("pods", pod(container(script="exit 0"), name="over"))
    before = api.wait("pods", "p", running)
    api.wait("pods", "over", ended)
    time.sleep(0.5)
    node.kill()
    host.gone_with_the_machine(before, node.reprise.run_dir)
    boot = f"{node.reprise.folder}/boot_id"
    with open(boot, "w") as f:
        f.write("0b0b0b0b-0000-4000-8000-000000000000\n")
    subprocess.run(["mount", "--bind", boot, "/proc/sys/kernel/random/boot_id"], check=True)
    try:
        node.start()
        after = api.wait("pods", "p", lambda p: running(p) and status(p, "main")["containerID"] != status(before, "main")["containerID"])
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        runs = f"{node.reprise.root}/pods/{after['metadata']['uid']}/volumes/kubernetes.io~empty-dir/v/runs"
        node.wait(lambda: open(runs).read() == "run\nrun\n", 10, "its second run")
        assert status(api.get("pods", "over"), "main")["restartCount"] == 0 and ended(api.get("pods", "over"))
        said = [e for e in api.list("events") if e["reason"] == "Rebooted"]
        assert said and said[0]["message"] == "Node n1 has been rebooted, boot id: 0b0b0b0b-0000-4000-8000-000000000000"
        for name in ("p", "over"):
            api.delete("pods", name, grace=0)
        node.wait_gone("p", "over")
        node.stop()
    finally:
        subprocess.run(["umount", "/proc/sys/kernel/random/boot_id"], check=True)


def test_node_object(node, api):
    n = api.get("nodes", "n1", namespace=None)
    assert condition(n, "Ready") == "True" and n["status"]["nodeInfo"]["bootID"] == open("/proc/sys/kernel/random/boot_id").read().strip()
    n = api.wait("nodes", "n1", lambda n: n["status"].get("images"), namespace=None)
    assert any(name.endswith("localhost/reprise-examples:1") for i in n["status"]["images"] for name in i["names"])
    api.patch("nodes", "n1", {"metadata": {"labels": {"disk": "ssd"}}}, namespace=None)
    api.create("pods", pod(container(), name="p", nodeSelector={"disk": "ssd"}))
    api.wait("pods", "p", running)
    node.stop()
    node.start()
    assert api.get("nodes", "n1", namespace=None)["metadata"]["labels"]["disk"] == "ssd"


def test_refused_without_authentication(node):
    node.start("--secure-port=16443", f"--tls-cert-file={node.log_file}", f"--tls-private-key-file={node.log_file}", ready=False)
    assert node.process.wait(10) == 2 or node.process.returncode == 1
    assert "it is not served without authentication" in open(node.log_file).read()
    node.process = None
