"""`reprise node`: the Pods of a directory, through changes of the files and deaths of the daemon."""
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

import host
from pods import container, pod, status

LONG = 60


def started(p):
    return p["status"].get("phase") == "Running" and "running" in status(p, "main")["state"]


def identity(p):
    return p["metadata"]["uid"], p["status"].get("podIP"), status(p, "main").get("containerID")


def errors(node, file=None):
    return [x for x in node.lines() if x.get("level") == "error" and (file is None or x.get("file", "").endswith(file))]


def test_added_changed_removed(node):
    node.start()
    node.write("a.yaml", pod(container(), name="a"))
    first = node.wait_pod("a-n1", started)
    notes = first["metadata"]["annotations"]
    assert notes["kubernetes.io/config.source"] == "file"
    assert notes["kubernetes.io/config.hash"] == notes["kubernetes.io/config.mirror"] == first["metadata"]["uid"]
    assert first["spec"]["nodeName"] == "n1"
    node.write("a.yaml", pod(container(), name="a"))  # the same content: nothing happens
    time.sleep(1)
    assert identity(node.pods()["a-n1"]) == identity(first)
    node.write("a.yaml", pod(container(script="trap 'exit 3' TERM; sleep 1000 & wait"), name="a"))
    second = node.wait_pod("a-n1", lambda p: started(p) and p["metadata"]["uid"] != first["metadata"]["uid"])
    assert len(host.containers_of(second)) == 1 and not host.containers_of(first)
    node.remove("a.yaml")
    node.wait_gone("a-n1")
    assert not host.processes_of(second)


def test_broken_harms_no_other(node):
    node.write("good.yaml", pod(container(), name="good"))
    node.write("bad.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec:\n  containers:\n  - {name: c, image: i, imagge: x}\n")
    node.write(".good.yaml.swp", "b0VIM")
    node.write("notes.txt", "no manifest")
    node.start()
    good = node.wait_pod("good-n1", started)
    said = errors(node, "bad.yaml")
    assert len(said) == 1 and 'unknown field "spec.containers[0].imagge"' in said[0]["err"], said
    node.write("good.yaml", "apiVersion: v1\nkind: Pod\n metadata: {")  # broken now: what ran from it goes on
    node.wait(lambda: errors(node, "good.yaml"), 10, "the error to be said")
    node.process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert identity(node.pods()["good-n1"]) == identity(good) and len(host.containers_of(good)) == 1
    assert len(errors(node, "good.yaml")) == 1 and len(errors(node, "bad.yaml")) == 1, "each once"
    node.write("good.yaml", "")
    node.wait(lambda: any("empty" in x["err"] for x in errors(node, "good.yaml")), 10, "the empty file to be said")
    node.write("good.yaml", pod(container(), name="good"))
    node.wait(lambda: any(x["msg"] == "manifest is sound again" for x in node.lines()), 10, "the file to be sound again")
    time.sleep(0.5)
    assert identity(node.pods()["good-n1"]) == identity(good)


def test_same_name_and_rename(node):
    node.start()
    node.write("b.yaml", pod(container(), name="x"))
    first = node.wait_pod("x-n1", started)
    node.write("a.yaml", pod(container(), name="x"))  # sorts before, but the other one runs
    said = node.wait(lambda: [x for x in node.lines() if "another file has a Pod of that name" in x.get("err", "")], 10, "the clash")
    assert len(said) == 1 and said[0]["pod"] == "default/x-n1" and "a.yaml" in said[0]["err"]
    assert identity(node.pods()["x-n1"]) == identity(first)
    node.remove("b.yaml")  # now it is a's turn, after the first has ended
    second = node.wait_pod("x-n1", lambda p: started(p) and p["metadata"]["uid"] != first["metadata"]["uid"])
    os.rename(f"{node.manifests}/a.yaml", f"{node.manifests}/c.yaml")  # the kubelet's UID has the file's name in it
    node.wait_pod("x-n1", lambda p: started(p) and p["metadata"]["uid"] != second["metadata"]["uid"])


def test_objects_beside(node):
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: %s}\n"
    node.write("config.yaml", config % "one")
    node.write("p.yaml", pod(container(volumeMounts=[{"name": "c", "mountPath": "/c"}], script="cat /c/level; echo; exec sleep 1000"), name="p",
                             volumes=[{"name": "c", "configMap": {"name": "settings"}}]))
    node.start()
    first = node.wait_pod("p-n1", started)
    level = f"{node.reprise.root}/pods/{first['metadata']['uid']}/volumes/kubernetes.io~configmap/c/level"
    assert open(level).read() == "one"
    node.write("config.yaml", config % "two")
    node.wait(lambda: open(level).read() == "two", 15, "the volume to be updated")
    assert identity(node.pods()["p-n1"]) == identity(first), "the Pod goes on"


def test_what_is_large_is_removed_beside(node):
    """By a helper, after the Pod itself is gone; what a daemon that died left of it goes at the next start."""
    script = "i=0; while [ $i -lt 3000 ]; do : > /v/f$i; i=$((i + 1)); done; exec sleep 1000"
    node.write("big.yaml", pod(container(volumeMounts=[{"name": "v", "mountPath": "/v"}], script=script), name="big",
                               volumes=[{"name": "v", "emptyDir": {}}]))
    node.start()
    first = node.wait_pod("big-n1", started)
    volume = f"{node.reprise.root}/pods/{first['metadata']['uid']}/volumes/kubernetes.io~empty-dir/v"
    node.wait(lambda: os.path.exists(f"{volume}/f2999"), 20, "the files")
    node.remove("big.yaml")
    node.wait_gone("big-n1")
    deleted = f"{node.reprise.root}/deleted"
    node.wait(lambda: not os.path.exists(deleted), 20, "the files to be gone")
    assert not os.path.exists(volume)
    node.kill()
    os.makedirs(f"{deleted}/left/behind")
    node.start()
    node.wait(lambda: not os.path.exists(deleted), 20, "what was left to be gone")


def test_kill_9_and_back(node):
    for name in "abc":
        node.write(f"{name}.yaml", pod(container(), name=name))
    node.start()
    before = {f"{n}-n1": node.wait_pod(f"{n}-n1", started) for n in "abc"}
    time.sleep(0.5)  # told to the records
    node.kill()
    assert all(len(host.containers_of(p)) == 1 for p in before.values()), "the Pods go on"
    node.remove("c.yaml")  # while nobody looks
    node.start()
    node.wait_gone("c-n1")
    for name in ("a-n1", "b-n1"):
        now = node.wait_pod(name, started)
        assert identity(now) == identity(before[name]) and status(now, "main")["restartCount"] == 0


def test_exit_while_dead(node):
    """A trigger's exit that nobody saw: RestartAllContainers exactly once."""
    work = f"{node.reprise.folder}/work"
    os.makedirs(work)
    mount = [{"name": "w", "mountPath": "/work"}]
    watch = container("watch", "until [ -e /work/go ]; do sleep 0.05; done; [ -e /work/gone ] && exec sleep 1000; touch /work/gone; exit 88",
                      volumeMounts=mount, restartPolicy="Never",
                      restartPolicyRules=[{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}])
    node.write("r.yaml", pod(container(script="echo run >> /work/runs; exec sleep 1000", volumeMounts=mount), watch, name="r",
                             volumes=[{"name": "w", "hostPath": {"path": work}}]))
    node.start()
    before = node.wait_pod("r-n1", started)
    time.sleep(0.5)
    node.kill()
    open(f"{work}/go", "w").close()
    time.sleep(1)
    node.start()
    after = node.wait_pod("r-n1", lambda p: p["restarts"] == 1 and started(p) and status(p, "main")["restartCount"] == 1)
    assert after["metadata"]["uid"] == before["metadata"]["uid"] and after["status"]["podIP"] == before["status"]["podIP"]
    assert status(after, "watch")["lastState"]["terminated"]["exitCode"] == 88
    time.sleep(1)
    assert node.pods()["r-n1"]["restarts"] == 1
    assert len(open(f"{work}/runs").readlines()) == 2


def test_done_stays_until_its_file_goes(node):
    node.write("d.yaml", pod(container(script="exit 0"), name="d"))
    node.start()
    done = node.wait_pod("d-n1", lambda p: p["status"].get("phase") == "Succeeded")
    node.kill()
    node.start()
    time.sleep(0.5)
    assert node.pods()["d-n1"]["metadata"]["uid"] == done["metadata"]["uid"], "not run again"
    assert status(node.pods()["d-n1"], "main")["restartCount"] == 0
    node.remove("d.yaml")
    node.wait_gone("d-n1")


def test_crash_loop(node):
    node.write("c.yaml", pod(container(script="exit 1"), name="c", restartPolicy="Always"))
    node.start()
    node.wait_pod("c-n1", lambda p: (status(p, "main")["state"].get("waiting") or {}).get("reason") == "CrashLoopBackOff")


def test_sigterm_leaves_the_pods(node):
    node.write("a.yaml", pod(container(), name="a"))
    node.start()
    before = node.wait_pod("a-n1", started)
    assert node.stop() == 0
    assert len(host.containers_of(before)) == 1
    node.start()
    time.sleep(0.3)
    assert identity(node.wait_pod("a-n1", started)) == identity(before)


def test_one_daemon_for_a_root(node):
    node.start()
    second = node.reprise.command("node", *node.reprise.dirs)
    assert second.returncode == 1
    assert second.stderr == f"reprise: another reprise node drives {node.reprise.root}: process {node.process.pid}\n"


@pytest.mark.slow
def test_twenty_pods(node):
    for i in range(20):
        node.write(f"p{i}.yaml", pod(container(), name=f"p{i}"))
    node.start()
    names = {f"p{i}-n1" for i in range(20)}
    node.wait(lambda: all(n in node.pods() and started(node.pods()[n]) for n in names), 120, "20 Pods")
    before = {n: identity(p) for n, p in node.pods().items()}
    time.sleep(1)
    node.kill()
    node.start()
    node.wait(lambda: all(started(p) for p in node.pods().values()), 30, "20 Pods again")
    assert {n: identity(p) for n, p in node.pods().items()} == before


def test_admission(node):
    asks = {"resources": {"requests": {"cpu": "1000"}}}
    node.write("a.yaml", pod(container(ports=[{"containerPort": 80, "hostPort": 18080}]), name="a"))
    node.start("--max-pods=2")
    node.wait_pod("a-n1", started)
    node.write("b.yaml", pod(container(ports=[{"containerPort": 80, "hostPort": 18080}]), name="b"))
    b = node.wait_pod("b-n1", lambda p: p["status"].get("phase") == "Failed")
    assert (b["status"]["reason"], b["status"]["message"]) == ("NodePorts", "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free "
                                                               "ports for the requested pod ports")
    node.write("c.yaml", pod(container(**asks), name="c"))
    c = node.wait_pod("c-n1", lambda p: p["status"].get("phase") == "Failed")
    assert c["status"]["reason"] == "OutOfcpu"
    assert c["status"]["message"] == ("Pod was rejected: Node didn't have enough resource: cpu, requested: 1000000, used: 0, "
                                      f"capacity: {os.cpu_count() * 1000}")
    node.write("d.yaml", pod(container(), name="d"))
    node.wait_pod("d-n1", started)  # what was refused takes no place
    node.write("e.yaml", pod(container(), name="e"))
    e = node.wait_pod("e-n1", lambda p: p["status"].get("phase") == "Failed")
    assert e["status"]["reason"] == "OutOfpods" and e["status"]["message"].endswith("pods, requested: 1, used: 2, capacity: 2")
    node.remove("c.yaml")
    node.wait_gone("c-n1")


@pytest.mark.oci("the embedded runtime's state is all below --run-dir")
def test_reboot(node):
    """Nothing of before runs, the run directory is gone: from the beginning, with UID and volumes kept."""
    node.write("v.yaml", pod(container(script="echo run >> /v/runs; exec sleep 1000", volumeMounts=[{"name": "v", "mountPath": "/v"}]), name="v",
                             volumes=[{"name": "v", "emptyDir": {}}], restartPolicy="Always"))
    node.start()
    before = node.wait_pod("v-n1", started)
    time.sleep(0.5)
    node.kill()
    host.gone_with_the_machine(before, node.reprise.run_dir)
    node.start()
    after = node.wait_pod("v-n1", lambda p: started(p) and status(p, "main").get("containerID") != status(before, "main")["containerID"], LONG)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    runs = f"{node.reprise.root}/pods/{after['metadata']['uid']}/volumes/kubernetes.io~empty-dir/v/runs"
    assert open(runs).read() == "run\nrun\n"


def test_notify_socket(node):
    path = f"{node.reprise.folder}/notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(10)
        node.start(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
        said = ""
        while "READY=1" not in said or said.count("WATCHDOG=1") < 3:
            said += server.recv(4096).decode() + "\n"
        assert "STATUS=0 Pods, 0 running; 0 manifests broken" in said
        assert said.index("STATUS=") < said.index("READY=1")
        node.stop()
        while "STOPPING=1" not in said:
            said += server.recv(4096).decode() + "\n"


CONFIG_ERRORS = """\
CONFIG: logFormat: Unsupported value: "text": supported values: "logfmt", "json"
CONFIG: unknown field "kubeletPort"
CONFIG: maxPods: Invalid value: 0: must be greater than 0
CONFIG: unknown field "systemReserved.disk"
CONFIG: systemReserved.memory: Invalid value: "lots": must be a quantity, not negative
CONFIG: featureGates.ContainerRestartRules: Invalid value: must be true or false
CONFIG: unknown field "featureGates.Nonsense"
CONFIG: runtimeRequestTimeout: Invalid value: "soon": must be a duration, such as "2m"
CONFIG: staticPodPath: Invalid value: "manifests": must be an absolute path
CONFIG: root: Invalid value: must be a string
CONFIG: prepareMemory: Invalid value: "much": must be a quantity of bytes, such as "256Mi"
"""


def test_config_errors(reprise):
    path = f"{reprise.folder}/node.yaml"
    with open(path, "w") as f:
        f.write("""apiVersion: reprise.io/v1alpha1
kind: NodeConfig
logFormat: text
kubeletPort: 10250
maxPods: 0
systemReserved: {disk: 1Gi, memory: lots}
featureGates: {ContainerRestartRules: "yes", Nonsense: true}
runtimeRequestTimeout: soon
staticPodPath: manifests
root: 7
prepareMemory: much
""")
    run = reprise.command("node", f"--config={path}")
    assert (run.returncode, run.stderr.replace(path, "CONFIG")) == (2, CONFIG_ERRORS)
    for text, want in (("kind: NodeConfig", 'apiVersion: Unsupported value: ""'), ("", "there must be one document"),
                       ("apiVersion: reprise.io/v1alpha1\nkind: NodeConfig\nroot: /a\nroot: /b", "root"), ("- 1", "not an object")):
        with open(path, "w") as f:
            f.write(text)
        run = reprise.command("node", f"--config={path}")
        assert run.returncode == 2 and want in run.stderr, run.explain()
    assert reprise.command("node", f"--config={path}.none").returncode == 2
    for flags, want in ((["--node-name=a_b"], "cannot be a part of a Pod's name"), (["--max-pods=0"], "greater than 0"),
                        (["--system-reserved=cpu"], "give cpu=QUANTITY"), (["--prepare=maybe"], "is none of")):
        run = reprise.command("node", *flags)
        assert run.returncode == 2 and want in run.stderr, run.explain()


def test_config_and_flags(node):
    """What the file says counts, and a flag over it."""
    path, other = f"{node.reprise.folder}/node.yaml", f"{node.reprise.folder}/other"
    config = {"apiVersion": "reprise.io/v1alpha1", "kind": "NodeConfig", "root": node.reprise.root, "runDir": node.reprise.run_dir,
              "logDir": node.reprise.log_dir, "nodeName": "FromFile", "staticPodPath": other, "logFormat": "logfmt", "maxPods": 5,
              "systemReserved": {"cpu": "100m", "memory": "16Mi"}, "featureGates": {"ContainerRestartRules": True}, "prepare": "off"}
    text = json.dumps(config).replace('"off"', "off")  # as people write it; YAML 1.1 has that for a boolean
    with open(path, "w") as f:
        f.write(text)
    node.args = [node.reprise.program, "node", f"--config={path}", f"--pod-manifest-path={node.manifests}", "--log-format=json",
                 *[d for d in node.reprise.dirs if "runtime" in d]]
    node.write("a.yaml", pod(container(), name="a"))
    node.start()
    up = node.wait_pod("a-fromfile", started)
    assert up["spec"]["nodeName"] == "FromFile"
    ready = next(x for x in node.lines() if x["msg"] == "ready")
    assert ready["manifests"] == node.manifests


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def listening(address, domain=socket.AF_UNIX):
    sock = socket.socket(domain)
    sock.bind(address)
    sock.listen(16)
    return sock


def test_socket_of_systemd(node):
    """As systemd passes it: number 3, and the environment says so. It is there before the daemon and after it: who asks meanwhile waits."""
    path = f"{node.reprise.folder}/passed.sock"
    sock = listening(path)
    argv = [*node.args, "--api-socket="]

    def start():
        code = "import os,sys\nos.environ['LISTEN_PID'] = str(os.getpid())\nos.execv(sys.argv[1], sys.argv[1:])"
        with open(node.log_file, "a") as f:
            fd = os.dup(sock.fileno())
            try:
                node.process = subprocess.Popen(["/usr/bin/python3", "-c", code, *argv], stdin=subprocess.DEVNULL, stderr=f, close_fds=False,
                                                preexec_fn=lambda: os.dup2(fd, 3), env=dict(os.environ, LISTEN_FDS="1"))
            finally:
                os.close(fd)

    def ask():
        return subprocess.run([node.reprise.program, "get", "nodes", f"--api-socket={path}", "-o", "name"], capture_output=True, text=True,
                              timeout=30)
    start()
    assert ask().stdout == "node/n1\n"
    node.kill()
    assert os.path.exists(path)
    asked = subprocess.Popen([node.reprise.program, "get", "nodes", f"--api-socket={path}", "-o", "name"], stdout=subprocess.PIPE, text=True)
    start()
    assert asked.communicate(timeout=30)[0] == "node/n1\n", "it waited"
    node.stop()
    assert os.path.exists(path), "it is systemd's"
    sock.close()
    sock = listening(("127.0.0.1", 0), socket.AF_INET)
    start()
    assert node.process.wait(15) != 0 and any("no listening unix socket" in x.get("msg", "") for x in node.lines())
    sock.close()


@pytest.mark.parametrize("name", ["reprise.service", "reprise.socket"])
def test_unit_file(tmp_path, name):
    here = os.path.dirname(os.path.abspath(__file__))
    text = open(os.path.join(here, "../../data/reprise.service.in")).read().replace("@bindir@", "/bin")
    (tmp_path / "reprise.service").write_text(text.replace("ExecStart=/bin/reprise", "ExecStart=/bin/true"))
    shutil.copy(os.path.join(here, "../../data/reprise.socket"), tmp_path)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True)
    bad = [x for x in done.stderr.splitlines() if name in x]
    assert not bad, done.stderr
