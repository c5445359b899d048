"""kubectl, of this year and an older one, against a real node with real containers: what a person does all day."""
import json
import os
import re
import socket
import subprocess
import time

import pytest
from kube import OLD
from pods import container, free_port, is_ready, pod, status

pytestmark = pytest.mark.oci("the API is the same over CRI; only the time would double")
both = pytest.mark.parametrize("old", [False, pytest.param(True, marks=pytest.mark.skipif(not OLD, reason="kubectl is not installed"))],
                               ids=["websocket", "spdy"])


def rows(text):
    return [re.split(r"\s{2,}", line.strip()) for line in text.strip().splitlines()]


def test_get_describe_events(kube):
    p = kube.up(container(), name="web")
    assert rows(kube("get", "pods"))[:2][0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    wide = rows(kube("get", "pods", "-o", "wide"))
    line = dict(zip(wide[0], wide[1]))
    assert line["NAME"] == "web" and line["READY"] == "1/1" and line["STATUS"] == "Running" and line["NODE"] == "n1"
    assert line["IP"] == p["status"]["podIP"]
    text = kube("get", "pod", "web", "-o", "yaml")
    assert f"uid: {p['metadata']['uid']}" in text and "managedFields" not in text
    assert "manager: kubectl-create" in kube("get", "pod", "web", "-o", "yaml", "--show-managed-fields")
    assert kube("get", "po", "-A", "-o", "jsonpath={.items[*].metadata.name}") == "web"
    assert kube("get", "pods", "--field-selector=status.phase=Running,spec.nodeName=n1", "-o", "name") == "pod/web\n"
    assert kube("get", "pods", "--field-selector=status.phase=Pending", "-o", "name") == ""
    said = kube("describe", "pod", "web")
    for word in ("Status:           Running", "Container ID:", "Ready             True", "Started", "Scheduled"):
        assert word in said, said
    events = rows(kube("get", "events", "--field-selector", "involvedObject.name=web"))
    assert {"Scheduled", "Created", "Started"} <= {e[2] for e in events[1:]}, events
    assert "Started" in kube("events", "--for", "pod/web")
    node = rows(kube("get", "nodes"))
    assert node[1][:2] == ["n1", "Ready"]
    assert "Allocatable:" in kube("describe", "node", "n1")
    missing = kube.fails("get", "pod", "nobody")
    assert missing == 'Error from server (NotFound): pods "nobody" not found\n'
    assert "Running" in kube("get", "pods", old=True) if OLD else True


def test_discovery(kube):
    resources = {r[0]: r for r in rows(kube("api-resources", "--no-headers"))}
    assert {"pods", "configmaps", "secrets", "events", "nodes", "namespaces", "persistentvolumeclaims"} <= set(resources)
    assert "v1" in kube("api-versions").split()
    version = json.loads(kube("version", "-o", "json"))
    assert version["serverVersion"]["major"] == "1" and version["clientVersion"]["gitVersion"].startswith("v1.")
    said = kube("explain", "pod.spec.containers.restartPolicyRules")
    assert "restartPolicyRules" in said and "<[]" in said
    assert kube("get", "--raw", "/readyz") == "ok" and kube("get", "--raw", "/livez") == "ok"
    assert "Metrics API not available" in kube.fails("top", "pods")
    assert "the server doesn't have a resource type" in kube.fails("get", "deployments")


def test_apply_both_ways_and_patches(kube):
    manifest = json.loads(pod(container(), name="a"))
    manifest["metadata"]["labels"] = {"app": "one"}
    assert kube("apply", "-f", "-", input=json.dumps(manifest)) == "pod/a created\n"
    assert kube("apply", "-f", "-", input=json.dumps(manifest)) == "pod/a unchanged\n"
    manifest["metadata"]["labels"] = {"app": "two"}
    assert "-    app: one" in kube.run("diff", "-f", "-", input=json.dumps(manifest)).stdout
    assert kube("apply", "-f", "-", input=json.dumps(manifest)) == "pod/a configured\n"
    assert kube.get("pod", "a")["metadata"]["labels"] == {"app": "two"}
    assert kube("label", "pod", "a", "tier=back") == "pod/a labeled\n"
    assert "already has a value" in kube.fails("label", "pod", "a", "tier=front")
    assert kube("annotate", "pod", "a", "note=hello world") == "pod/a annotated\n"
    assert kube("get", "pods", "-l", "tier=back,app in (one,two)", "-o", "name") == "pod/a\n"
    for kind, text in (("strategic", '{"metadata":{"labels":{"s":"1"}}}'), ("merge", '{"metadata":{"labels":{"m":"1","tier":null}}}'),
                       ("json", '[{"op":"add","path":"/metadata/labels/j","value":"1"}]')):
        assert kube("patch", "pod", "a", f"--type={kind}", "-p", text) == "pod/a patched\n"
    assert kube.get("pod", "a")["metadata"]["labels"] == {"app": "two", "s": "1", "m": "1", "j": "1"}
    refused = kube.fails("patch", "pod", "a", "-p", '{"spec":{"hostNetwork":true}}')
    assert "Forbidden: pod updates may not change fields other than" in refused

    # Server side, with another owner for a label.
    applied = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"app": "three"}}}
    refused = kube.fails("apply", "--server-side", "-f", "-", input=json.dumps(applied))
    assert 'conflict with "kubectl-client-side-apply"' in refused and ".metadata.labels.app" in refused
    assert kube("apply", "--server-side", "--force-conflicts", "--field-manager=ci", "-f", "-", input=json.dumps(applied)) == "pod/a serverside-applied\n"
    assert kube.get("pod", "a")["metadata"]["labels"]["app"] == "three"
    managers = {(m["manager"], m["operation"]) for m in json.loads(kube("get", "pod", "a", "-o", "json", "--show-managed-fields"))["metadata"]["managedFields"]}
    assert ("ci", "Apply") in managers and ("kubectl-annotate", "Update") in managers
    dry = kube("run", "ghost", "--image=x", "--dry-run=server", "-o", "jsonpath={.spec.restartPolicy}")
    assert dry == "Always" and "NotFound" in kube.fails("get", "pod", "ghost")
    bad = kube.fails("create", "-f", "-", input=pod(container(imagePullPolicy="Often"), name="bad"))
    assert 'The Pod "bad" is invalid: spec.containers[0].imagePullPolicy: Unsupported value: "Often"' in bad


def test_config_maps_and_secrets(kube):
    kube("create", "configmap", "c", "--from-literal=key=from-map")
    kube("create", "secret", "generic", "s", "--from-literal=word=from-secret")
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "key"}}},
           {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "word"}}}]
    kube.up(container(script="echo $A $B; exec sleep 1000", env=env))
    assert kube("logs", "p") == "from-map from-secret\n"
    assert kube("get", "secret", "s", "-o", "jsonpath={.data.word}") == "ZnJvbS1zZWNyZXQ="
    kube("create", "namespace", "other")
    kube("apply", "-n", "other", "-f", "-", input=pod(container(), name="q"))
    kube("wait", "-n", "other", "pod/q", "--for=condition=Ready", "--timeout=40s")
    assert kube("delete", "namespace", "other", "--timeout=60s") == 'namespace "other" deleted\n'
    assert kube("get", "pods", "-A", "-o", "name") == "pod/p\n"


def test_logs(kube):
    script = 'i=0; while [ $i -lt 5 ]; do echo line $i; i=$((i+1)); done; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo end; [ -e /tmp/stay ] && exec sleep 1000; exit 7'
    kube.up(container(script=script), container("side", "echo from side; exec sleep 1000"), restartPolicy="Always")
    kube.wait_pod("p", lambda p: "running" in status(p, "main")["state"])
    follow = kube.spawn("logs", "-f", "p", "-c", "main", "--tail=2")
    follow.wait_for("line 4")
    assert follow.lines == ["line 3", "line 4"]
    assert kube("logs", "p", "-c", "main", "--tail=1") == "line 4\n"
    assert re.match(r"20\d\d-\d\d-\d\dT\S+ line 4\n", kube("logs", "p", "-c", "main", "--tail=1", "--timestamps"))
    assert kube("logs", "p", "-c", "main", "--limit-bytes=6") == "line 0"
    assert kube("logs", "p", "--all-containers", "--prefix", "--tail=1").splitlines().count("[pod/p/side] from side") == 1
    assert "previous terminated container" in kube.fails("logs", "p", "-c", "main", "--previous")
    kube("exec", "p", "-c", "main", "--", "touch", "/tmp/go")
    follow.wait_for("^end$")
    assert follow.wait() == 0
    kube.wait_pod("p", lambda p: status(p, "main")["restartCount"] == 1 and "running" in status(p, "main")["state"])
    assert kube("logs", "p", "-c", "main", "--previous").splitlines()[-1] == "end"
    assert "container nobody is not valid for pod p" in kube.fails("logs", "p", "-c", "nobody")


@both
def test_exec_and_cp(kube, old, tmp_path):
    kube.up(container())
    assert kube("exec", "p", "--", "sh", "-c", "echo out; echo err >&2", old=old) == "out\n"
    done = kube.run("exec", "p", "--", "sh", "-c", "echo err >&2; exit 3", old=old)
    assert done.returncode == 3 and done.stderr == "err\ncommand terminated with exit code 3\n"
    data = os.urandom(300_000).hex()
    assert kube("exec", "-i", "p", "--", "cat", input=data, old=old) == data
    assert kube.run("exec", "p", "--", "no-such-program", old=old).returncode != 0
    # cp, both ways, a directory with a binary file.
    source = tmp_path / "here"
    source.mkdir()
    (source / "bytes").write_bytes(os.urandom(200_000))
    kube("cp", str(source), "p:/tmp/there", old=old)
    kube("cp", "p:/tmp/there", str(tmp_path / "back"), old=old)
    assert (tmp_path / "back/bytes").read_bytes() == (source / "bytes").read_bytes()


@both
def test_a_terminal(kube, old):
    kube.up(container())
    t = kube.terminal("exec", "-it", "p", "--", "sh", old=old, rows=30, columns=100)
    t.expect(r"# ")
    t.type("stty size\n")
    t.expect("30 100")
    t.size(40, 120)
    t.process.send_signal(28)  # SIGWINCH
    t.type("sleep 0.3; stty size; tty\n")
    t.expect(r"40 120[\s\S]*/dev/pts/")
    t.type("exit 5\n")
    assert t.wait() == 5


@both
def test_port_forward(kube, old):
    p = kube.up(container(script="mkdir /w; echo hello >/w/f; exec httpd -f -p 8080 -h /w"))
    local = free_port()
    forward = kube.spawn("port-forward", "pod/p", f"{local}:8080", old=old)
    forward.wait_for("Forwarding from 127.0.0.1")
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", local), 10) as s:
            s.sendall(b"GET /f HTTP/1.0\r\n\r\n")
            text = b""
            while chunk := s.recv(65536):
                text += chunk
            assert text.endswith(b"hello\n")
    closed = free_port()
    other = kube.spawn("port-forward", "pod/p", f"{closed}:9", old=old)
    other.wait_for("Forwarding from")
    with socket.create_connection(("127.0.0.1", closed), 10) as s:
        assert s.recv(10) == b""
    other.wait_for("Connection refused|connection refused")
    assert status(p, "main")["restartCount"] == 0


@both
def test_attach(kube, old):
    kube.up(container(script='while read x; do echo "got $x"; [ "$x" = end ] && exit 0; done', stdin=True, stdinOnce=True), restartPolicy="Never")
    a = kube.spawn("attach", "-i", "p", stdin=subprocess.PIPE, old=old)
    for word in ("one", "two"):
        a.process.stdin.write(word + "\n")
        a.process.stdin.flush()
        a.wait_for(f"got {word}")
    a.process.stdin.write("end\n")
    a.process.stdin.close()
    a.wait_for("got end")
    assert a.wait() == 0
    assert kube("wait", "pod/p", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=20s")


def test_debug_with_an_ephemeral_container(kube):
    kube.up(container(script="exec sleep 4321"))
    before = kube.get("pod", "p")
    kube("debug", "p", "--image=localhost/busybox:1", "-c", "look", "--target=main", "--", "sh", "-c", "ps; exec sleep 1000")
    p = kube.wait_pod("p", lambda p: any("running" in c["state"] for c in p["status"].get("ephemeralContainerStatuses", [])))
    assert p["spec"]["ephemeralContainers"][0]["name"] == "look"
    assert "sleep 4321" in kube("exec", "p", "-c", "look", "--", "ps")  # the target's processes
    assert status(p, "main")["containerID"] == status(before, "main")["containerID"]


def test_delete(kube):
    stubborn = "trap '' TERM; while :; do sleep 0.1; done"
    kube.up(container(script="trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done"), name="gentle", grace=30)
    kube.up(container(script=stubborn), name="stubborn", grace=300)
    kube.up(container(script=stubborn), name="forced", grace=300)
    watch = kube.spawn("wait", "pod/gentle", "--for=delete", "--timeout=40s")
    began = time.monotonic()
    assert "deleted" in kube("delete", "pod", "gentle")
    assert time.monotonic() - began < 15 and watch.wait() == 0
    kube("delete", "pod", "stubborn", "--wait=false")
    p = kube.get("pod", "stubborn")
    assert p["metadata"]["deletionGracePeriodSeconds"] == 300 and "Terminating" in kube("get", "pod", "stubborn")
    kube("delete", "pod", "stubborn", "--grace-period=1")  # shortens it
    assert "force deleted" in kube("delete", "pod", "forced", "--grace-period=0", "--force")
    assert kube("get", "pods", "-o", "name") == ""
    kube.node.wait(lambda: not kube.node.pods(), 30, "the records to be gone")


def test_cordon_and_drain(kube):
    kube.up(container(), name="a")
    assert kube("cordon", "n1") == "node/n1 cordoned\n"
    assert "Ready,SchedulingDisabled" in kube("get", "nodes")
    kube("create", "-f", "-", input=pod(container(), name="b"))
    p = kube.wait_pod("b", lambda p: any(c["type"] == "PodScheduled" and c["status"] == "False" for c in p["status"].get("conditions", [])))
    assert p["status"]["phase"] == "Pending" and "nodeName" not in p["spec"]
    out = kube("drain", "n1", "--force", "--timeout=60s")
    assert "evicting pod default/a" in out and "node/n1 drained" in out
    assert "NotFound" in kube.fails("get", "pod", "a")
    assert kube("uncordon", "n1") == "node/n1 uncordoned\n"
    kube("wait", "pod/b", "--for=condition=Ready", "--timeout=40s")


RESTARTS = {"restartPolicy": "Never", "restartPolicyRules": [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]}


def test_an_in_place_restart_in_a_watch(kube):
    trigger = container("trigger", "while [ ! -e /shared/go ]; do sleep 0.05; done; rm /shared/go; exit 88", **RESTARTS,
                        volumeMounts=[{"name": "v", "mountPath": "/shared"}])
    main = container("main", "echo run of main; exec sleep 1000", volumeMounts=[{"name": "v", "mountPath": "/shared"}])
    before = kube.up(trigger, main, init=[container("setup", "echo set up")], volumes=[{"name": "v", "emptyDir": {}}])
    watch = kube.spawn("get", "pod", "p", "-w", "-o", "json", "--output-watch-events")
    table = kube.spawn("get", "pod", "p", "-w")
    table.wait_for(r"^p +2/2 +Running +0 ")
    kube("exec", "p", "-c", "main", "--", "touch", "/shared/go")
    after = kube.wait_pod("p", lambda p: is_ready(p) and status(p, "main")["restartCount"] == 1)
    for key in ("podIP", "startTime"):
        assert after["status"][key] == before["status"][key]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert [status(after, n)["restartCount"] for n in ("setup", "trigger", "main")] == [1, 1, 1]
    assert status(after, "trigger")["lastState"]["terminated"]["exitCode"] == 88
    table.wait_for(r"^p +2/2 +Running +[12] ")
    assert kube("logs", "p", "-c", "main", "--previous") == "run of main\n"
    condition = after["status"]["conditions"]
    assert any(c["type"] == "AllContainersRestarting" and c["status"] == "False" for c in condition)
    watch.wait_for('"restartCount": ?1')
    documents, at, text = [], 0, "\n".join(watch.lines)
    while at < len(text):  # of the last one the end may be lacking
        try:
            event, at = json.JSONDecoder().raw_decode(text, at)
        except ValueError:
            break
        documents.append(event)
        at += len(text[at:]) - len(text[at:].lstrip())
    seen = [c["status"] for e in documents for c in e["object"]["status"].get("conditions", []) if c["type"] == "AllContainersRestarting"]
    assert "True" in seen and "False" in seen[seen.index("True"):], seen
    assert "in-place" in kube("get", "events", "--field-selector", "involvedObject.name=p") or "RestartAllContainers" in kube("describe", "pod", "p")


def test_who_may_what(kube):
    kube("create", "secret", "generic", "s", "--from-literal=a=b")
    kube.up(container(script="echo hi; exec sleep 1000"))
    assert kube("get", "pods", "-o", "name", kubeconfig=kube.view) == "pod/p\n"
    assert kube("logs", "p", kubeconfig=kube.view) == "hi\n"
    for args in (("get", "secrets"), ("get", "secret", "s"), ("delete", "pod", "p"), ("exec", "p", "--", "true"), ("label", "pod", "p", "a=b")):
        refused = kube.fails(*args, kubeconfig=kube.view)
        assert "orbidden" in refused and 'User "view" cannot' in refused, refused
    with open(f"{kube.etc}/pki/tokens.csv") as f:
        tokens = [line.split(",")[0] for line in f]
    bare, where = "/nonexistent", (f"--server={kube.url}", f"--certificate-authority={kube.etc}/pki/ca.crt")
    assert kube(*where, f"--token={tokens[1]}", "get", "pods", "-o", "name", kubeconfig=bare) == "pod/p\n"
    assert "Forbidden" in kube.fails(*where, f"--token={tokens[1]}", "get", "secrets", kubeconfig=bare)
    assert kube(*where, f"--token={tokens[0]}", "get", "secrets", "-o", "name", kubeconfig=bare) == "secret/s\n"
    wrong = kube.fails(*where, "--token=wrong", "get", "pods", kubeconfig=bare)
    assert "Unauthorized" in wrong or "You must be logged in to the server" in wrong
    assert kube("auth", "can-i", "delete", "pods") == "yes\n"
    assert kube.run("auth", "can-i", "get", "secrets", kubeconfig=kube.view).stdout == "no\n"
    assert re.search(r"Username +view", kube("auth", "whoami", kubeconfig=kube.view))


def test_the_api_outlives_the_daemon(kube):
    """kill -9 of the daemon: the API is there again with everything in it, the Pod has not noticed, and a watch goes on from where it was."""
    p = kube.up(container())
    kube("create", "configmap", "kept", "--from-literal=a=b")
    kube.node.kill()
    refused = kube.fails("get", "pods")
    assert "refused" in refused
    kube.node.start()
    after = kube.wait_pod("p", is_ready)
    assert status(after, "main")["containerID"] == status(p, "main")["containerID"] and after["metadata"]["uid"] == p["metadata"]["uid"]
    assert kube("get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "b"
    assert int(after["metadata"]["resourceVersion"]) >= int(p["metadata"]["resourceVersion"])


def test_a_static_pod_is_seen(kube):
    kube.node.write("s.yaml", pod(container(), name="s"))
    deadline = time.monotonic() + 30
    while kube.run("wait", "pod/s-n1", "--for=condition=Ready", "--timeout=20s").returncode and time.monotonic() < deadline:
        time.sleep(0.1)
    p = kube.get("pod", "s-n1")
    assert p["metadata"]["annotations"]["kubernetes.io/config.source"] == "file" and kube("exec", "s-n1", "--", "echo", "hi") == "hi\n"
    kube.node.remove("s.yaml")
    kube("wait", "pod/s-n1", "--for=delete", "--timeout=30s")
