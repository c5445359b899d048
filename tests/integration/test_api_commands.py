"""The commands for the node's API against the API alone (tests/tools/api_server): no container is started. Where kubectl is installed, its
output and ours are compared, byte by byte."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest

BUILD = os.path.abspath(os.path.join(os.path.dirname(__file__), "../..", os.environ.get("REPRISE_BUILD", "build")))
PROGRAM = os.path.join(BUILD, "src/cli/reprise")
SERVER = os.environ.get("REPRISE_TEST_API_SERVER") or os.path.join(BUILD, "tests/tools/api_server")
KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.oci("the API is the same over both runtimes")

OTHERS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: ml}}
data: {c: "1", long: "line\\nline2\\n"}
binaryData: {b: aGVsbG8=}
---
apiVersion: v1
kind: Secret
metadata: {name: token}
data: {k: aGlkZGVu}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Event
metadata: {name: began}
involvedObject: {kind: Pod, name: trainer, namespace: default, apiVersion: v1}
reason: Started
message: "  Started container main "
type: Normal
source: {component: kubelet}
firstTimestamp: "2026-01-01T08:00:00Z"
lastTimestamp: "2026-01-01T08:30:00Z"
count: 3
"""
POD = """
apiVersion: v1
kind: Pod
metadata:
  name: trainer
  labels: {app: ml, tier: gpu}
spec:
  restartPolicy: Never
  initContainers:
  - {name: setup, image: "x:1"}
  containers:
  - name: main
    image: "x:1"
    resources: {requests: {cpu: 250m, memory: 64Mi}}
    restartPolicy: Never
    restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [88]}}]
  - {name: second, image: "x:1"}
"""


class Api:
    def __init__(self, folder):
        self.folder, self.socket, self.port = folder, os.path.join(folder, "api.sock"), None
        self.process = subprocess.Popen([SERVER, "--socket", self.socket, "--node", "here"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().startswith("ready")
        self.listener = None

    def env(self):
        return dict(os.environ, REPRISE_API_SOCKET=self.socket, NO_COLOR="1")

    def __call__(self, *args, input=None, code=0):
        done = subprocess.run([PROGRAM, *args], input=input, capture_output=True, text=True, timeout=60, env=self.env())
        assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *args):
        return subprocess.Popen([PROGRAM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env())

    def apply(self, text, *args):
        return self("apply", "-f", "-", *args, input=text)

    def get(self, *args):
        return json.loads(self("get", *args, "-o", "json").stdout)

    def kubectl(self, *args):
        """kubectl speaks TCP: a bridge to the socket."""
        if not self.listener:
            self.listener = socket.create_server(("127.0.0.1", 0))
            threading.Thread(target=self._bridge, daemon=True).start()
        server = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        return subprocess.run([KUBECTL, "--kubeconfig=/dev/null", f"--server={server}", f"--cache-dir={self.folder}/cache", *args],
                              capture_output=True, text=True, timeout=60)

    def _bridge(self):
        def copy(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
            except OSError:
                pass
            for s in (a, b):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self.socket)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=copy, args=pair, daemon=True).start()

    def close(self):
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        self.process.terminate()
        assert self.process.wait(30) == 0
        self.process.stdout.close()


@pytest.fixture
def api(tmp_path):
    server = Api(str(tmp_path))
    yield server
    server.close()


def test_life_of_objects(api):
    assert api.apply(POD).stdout == "pod/trainer created\n"
    assert api.apply(OTHERS, "--dry-run=server").stdout.splitlines()[0] == "configmap/settings created (server dry run)"
    assert "NotFound" in api("get", "cm", "settings", code=1).stderr
    assert api.apply(OTHERS).stdout.split() == ["configmap/settings", "created", "secret/token", "created", "persistentvolumeclaim/data",
                                                "created", "event/began", "created"]
    changed = OTHERS.replace('c: "1"', 'c: "2"')
    assert api.apply(changed).stdout.startswith("configmap/settings configured\n")
    before = api.get("cm", "settings")["metadata"]["resourceVersion"]
    assert api.apply(changed).stdout.startswith("configmap/settings unchanged\n")
    assert api.get("cm", "settings")["metadata"]["resourceVersion"] == before
    assert api.get("cm", "settings")["data"]["c"] == "2" and "managedFields" not in api.get("cm", "settings")["metadata"]
    assert api("delete", "cm", "settings").stdout == 'configmap "settings" deleted from default namespace\n'
    assert api("get", "cm").stderr == "No resources found in default namespace.\n"
    assert api("delete", "-f", "-", "-o", "name", "--ignore-not-found", input=OTHERS).stdout.split() == [
        "secret/token", "persistentvolumeclaim/data", "event/began"]
    assert api("delete", "pod/trainer").stdout == 'pod "trainer" deleted from default namespace\n'
    assert api("delete", "pods", "--all").stdout == "No resources found\n"


def test_apply_says_who_owns_a_field(api):
    api.apply(OTHERS)
    other = OTHERS.replace('c: "1"', 'c: "9"')
    refused = api("apply", "-f", "-", "--field-manager=somebody", input=other, code=1).stderr
    assert 'conflict with "reprise"' in refused and "--force-conflicts" in refused
    assert api.apply(other, "--field-manager=somebody", "--force-conflicts").stdout.startswith("configmap/settings configured")
    shown = api("get", "cm", "settings", "-o", "yaml", "--show-managed-fields").stdout
    assert "manager: somebody" in shown


def test_apply_refuses(api):
    for text, says in (("kind: ConfigMap\napiVersion: v1\nmetadata: {name: Bad_Name}\n", 'The ConfigMap "Bad_Name" is invalid: metadata.name: '),
                       ("kind: Pod\napiVersion: v1\nmetadata: {name: x}\nspec: {containers: [{name: c, image: i, imge: j}]}\n", "imge"),
                       ("kind: Deployment\napiVersion: apps/v1\nmetadata: {name: x}\n", 'no matches for kind "Deployment" in version "apps/v1"'),
                       ("kind: Pod\napiVersion: v1\nspec: {}\n", "resource name may not be empty"),
                       ("a: [1\n", "line"), ("", "no objects passed to apply")):
        assert says in api("apply", "-f", "-", input=text, code=1).stderr
    assert api.get("cm,pods")["items"] == []
    refused = api("apply", "-n", "kube-public", "-f", "-", input=OTHERS.replace("name: settings", "name: settings, namespace: default"), code=1)
    assert 'the namespace from the provided object "default" does not match the namespace "kube-public"' in refused.stderr


def test_edit(api):
    api.apply(OTHERS)
    assert api("label", "cm", "settings", "app=web", code=1).stderr == "error: 'app' already has a value (ml), and --overwrite is false\n"
    assert api("label", "cm", "settings", "app=web", "x=", "--overwrite").stdout == "configmap/settings labeled\n"
    assert api.get("cm", "settings")["metadata"]["labels"] == {"app": "web", "x": ""}
    assert api("label", "cm/settings", "app=web").stdout == "configmap/settings not labeled\n"
    assert api("label", "cm", "-l", "app=web", "app-").stdout == "configmap/settings unlabeled\n"
    assert api("annotate", "cm", "--all", "note=one two", "--dry-run=server").stdout == "configmap/settings annotated (server dry run)\n"
    assert "annotations" not in api.get("cm", "settings")["metadata"]
    assert api("annotate", "cm", "settings", "note=one two", "-o", "jsonpath={.metadata.annotations.note}").stdout == "one two"
    for words, says in ((["cm", "settings"], "at least one label update is required"), (["cm", "a=b", "settings"], "all resources must be specified"),
                        (["cm", "settings", "a=b", "a-"], "can not both modify and remove"), (["cm", "settings", "=b"], "invalid label spec"),
                        (["cm", "nope", "a=b"], "NotFound"), (["cm", "settings", "b@d=c"], "is invalid"), (["a=b"], "one or more resources")):
        assert says in api("label", *words, code=1).stderr, words
    assert api("patch", "cm", "settings", "-p", "data: {c: null, d: new}").stdout == "configmap/settings patched\n"
    assert api("patch", "cm/settings", "-p", '{"data": {"d": "new"}}', "--type=merge").stdout == "configmap/settings patched (no change)\n"
    assert api("patch", "cm", "settings", "--type=json", "--patch-file=-", input='[{"op": "remove", "path": "/data/d"}]').returncode == 0
    assert set(api.get("cm", "settings")["data"]) == {"long"}
    assert "must specify exactly one" in api("patch", "cm", "settings", code=1).stderr
    assert "invalid" in api("patch", "cm", "settings", "--type=json", "-p", '[{"op": "remove", "path": "/nope"}]', code=1).stderr


def test_selectors_of_files(api):
    assert api.apply(OTHERS, "-l", "app=ml").stdout == "configmap/settings created\n"
    assert "no objects passed to apply" in api("apply", "-f", "-", "-l", "app=nope", input=OTHERS, code=1).stderr
    api.apply(OTHERS)
    assert api("delete", "-f", "-", "-l", "app=ml", input=OTHERS).stdout == 'configmap "settings" deleted from default namespace\n'
    assert "cannot be used with" in api("delete", "-f", "-", "--field-selector", "metadata.name=token", input=OTHERS, code=1).stderr
    assert api("get", "secret,pvc", "-o", "name").stdout.split() == ["secret/token", "persistentvolumeclaim/data"]


def test_raw(api):
    assert json.loads(api("get", "--raw", "/version").stdout)["major"] == "1"
    assert api("get", "--raw", "/readyz").stdout == "ok"
    assert "NotFound" in api("get", "--raw", "/nope", code=1).stderr
    assert "must be a path" in api("get", "--raw", "nope", code=1).stderr


def test_wait_and_watch(api):
    watch = api.start("get", "cm", "-w", "--output-watch-events", "--no-headers")
    api.apply("kind: ConfigMap\napiVersion: v1\nmetadata: {name: marker}\n")
    assert watch.stdout.readline().split()[:2] == ["ADDED", "marker"], "it is there, and sees all that follows"
    names = api.start("get", "cm", "-w", "-o", "name", "--watch-only")
    created = api.start("wait", "--for=create", "cm/settings", "--timeout=30s")
    api.apply(OTHERS)
    assert created.communicate(timeout=30) == ("configmap/settings condition met\n", "") and created.returncode == 0
    gone = api.start("wait", "--for=delete", "cm/settings", "--timeout=30s")
    value = api.start("wait", "--for=jsonpath={.data.c}=2", "cm/settings", "--timeout=30s", "-o", "name")
    api.apply(OTHERS.replace('c: "1"', 'c: "2"'))
    assert value.communicate(timeout=30)[0] == "configmap/settings\n"
    api("delete", "cm", "settings")
    assert gone.communicate(timeout=30)[0] in ("configmap/settings condition met\n", ""), "nothing if it went before it was asked for"
    assert gone.returncode == 0
    lines = [watch.stdout.readline().split()[:2] for _ in range(3)]
    assert lines == [["ADDED", "settings"], ["MODIFIED", "settings"], ["DELETED", "settings"]]
    for process in (watch, names):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
        process.communicate()


def test_wait_refuses(api):
    api.apply(POD)
    assert api("wait", "pod/trainer", "--for=condition=Ready", "--timeout=0", code=1).stderr == "error: condition not met for pods/trainer\n"
    assert api("wait", "pod/trainer", "--for=condition=Ready", "--timeout=50ms", code=1).stderr == \
        "error: timed out waiting for the condition on pods/trainer\n"
    assert "NotFound" in api("wait", "pod/nope", "--for=condition=Ready", code=1).stderr
    assert api("wait", "pods", "-l", "app=nope", "--for=condition=Ready", code=1).stderr == "error: no matching resources found\n"
    assert "unrecognized condition" in api("wait", "pod/trainer", "--for=sunshine", code=1).stderr
    assert api("wait", "pod/trainer", "--for=jsonpath={.status.phase}=Pending").stdout == "pod/trainer condition met\n"


def test_lists_come_in_chunks(api):
    api.apply("---".join(f"\nkind: ConfigMap\napiVersion: v1\nmetadata: {{name: c{i:02}}}\n" for i in range(23)))
    whole = api("get", "cm", "--chunk-size=0").stdout
    assert re.sub(r"\d+s", "", api("get", "cm", "--chunk-size=5").stdout) == re.sub(r"\d+s", "", whole)
    assert len(whole.splitlines()) == 24
    assert api("get", "cm", "-o", "name", "--chunk-size=7").stdout.split() == [f"configmap/c{i:02}" for i in range(23)]
    assert api("get", "cm", "--sort-by=.metadata.name", "-o", "jsonpath={.items[-1].metadata.name}").stdout == "c22"


def test_describe(api):
    api.apply(POD)
    api.apply(OTHERS)
    text = api("describe", "pod", "trainer").stdout
    for line in ("Name:             trainer", "Restart Policy:   Never", "    Restart Rules:", "      RestartAllContainers:  exit code In [88]",
                 "QoS Class:        Burstable"):
        assert line in text.splitlines(), text
    uid = api.get("pod", "trainer")["metadata"]["uid"]
    api.apply(OTHERS.replace("name: began", "name: about-it").replace("name: trainer", f"uid: {uid}, name: trainer"))
    assert "(x3 over " in api("describe", "pod", "trainer").stdout.split("Events:\n")[1]
    assert "Events:" not in api("describe", "pod", "trainer", "--show-events=false").stdout
    assert "hidden" not in api("describe", "secret", "token").stdout
    assert "Name:         settings" in api("describe", "cm").stdout
    assert api("describe", "pod", "train").stdout.startswith("Name:"), "what begins so"
    assert "NotFound" in api("describe", "pod", "other", code=1).stderr


def test_logs_without_a_container(api):
    api.apply(POD)
    missing = api("logs", "trainer", "-c", "nope", code=1).stderr
    assert missing == "error: container nope is not valid for pod trainer out of: main, second, setup (init)\n"
    assert api("logs", "trainer").stderr == 'Defaulted container "main" out of: main, second, setup (init)\n', "it is on no node: no log"
    assert "NotFound" in api("logs", "nope", code=1).stderr
    assert "only one of -c" in api("logs", "trainer", "main", "-c", "main", code=1).stderr
    assert "maximum allowed concurrency is 1" in api("logs", "trainer", "-f", "--all-containers", "--max-log-requests=1", code=1).stderr


def test_no_daemon(tmp_path):
    path = str(tmp_path / "api.sock")
    for command in (["get", "pods"], ["describe", "pods"], ["logs", "x"], ["delete", "pod", "x"], ["events"], ["wait", "pod/x", "--for=delete"]):
        done = subprocess.run([PROGRAM, *command, "--api-socket", path], capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and path in done.stderr and "is the daemon running?" in done.stderr and not done.stdout, done
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    done = subprocess.run([PROGRAM, "get", "pods", "--api-socket", path], capture_output=True, text=True, timeout=30)
    assert "connection refused" in done.stderr and done.returncode == 1


def test_reader_that_goes_away(api):
    api.apply(OTHERS)
    process = api.start("get", "cm", "-w")
    assert process.stdout.readline().startswith("NAME")
    process.stdout.readline()
    process.stdout.close()
    api.apply(OTHERS.replace('c: "1"', 'c: "2"'))
    assert process.wait(30) == -signal.SIGPIPE
    process.stderr.close()


def test_completion(api):
    api.apply(POD)
    script = api("completion", "bash").stdout
    ask = "source /dev/stdin; COMP_WORDS=(reprise {0}); COMP_CWORD={1}; _reprise; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    env = dict(api.env(), PATH=os.path.dirname(PROGRAM) + ":" + os.environ["PATH"])
    for words, n, want in (("get po", 2, "pods"), ("get pods tr", 3, "trainer"), ("describe pods/tr", 2, "pods/trainer"),
                           ("logs tr", 2, "trainer"), ("logs trainer -c se", 4, "second"), ("logs trainer se", 3, "setup"),
                           ("get pods -n kube-p", 4, "kube-public"), ("get pods --namespace = kube-s", 5, "kube-system"),
                           ("exec tr", 2, "trainer"), ("delete cm ", 3, ""), ("get pods -n kube-system tr", 5, "")):
        done = subprocess.run(["bash", "-c", ask.format(words + (" ''" if words.endswith(" ") else ""), n)], input=script, capture_output=True,
                              text=True, timeout=30, env=env)
        got = done.stdout.split()
        assert (want in got) if want else "trainer" not in got, (words, done)


@pytest.mark.skipif(not KUBECTL, reason="kubectl is not installed")
def test_as_kubectl(api):
    """The same words to both: the same output, errors and status. What differs between versions of kubectl is left out."""
    api.apply(POD)
    api.apply(OTHERS)
    api.apply(POD.replace("trainer", "web").replace("app: ml", "app: web"), "-n", "kube-public")
    for words in ("get pods", "get po -o wide", "get pods,cm,secrets,pvc", "get pods trainer --no-headers", "get pods -A",
                  "get pods -A -o wide --show-labels", "get pod/trainer cm/settings", "get pods -L app,tier", "get pods -l app=ml",
                  "get pods -l app=nope", "get pod nope", "get pod nope trainer", "get nope", "get pods,cm -o name", "get pods,cm trainer",
                  "get pods -o jsonpath={.items[*].metadata.name}", "get pods -o jsonpath={.items[?(@.metadata.name==\"trainer\")].spec.restartPolicy}",
                  "get pods -o jsonpath={range|.items[*]}{.metadata.name}{\"\\t\"}{.status.phase}{\"\\n\"}{end}",
                  "get pod trainer -o jsonpath={.spec.containers[0,1]['name','image']}", "get pod trainer -o jsonpath={..image}",
                  "get pod trainer -o jsonpath={.spec.containers[-1:].name}", "get pod trainer -o jsonpath={.metadata.labels}",
                  "get pods -o custom-columns=N:.metadata.name,I:.spec.containers[*].image,X:.spec.nope", "get pods --sort-by=.metadata.name",
                  "get pod trainer -o json", "get pods -o json", "get pod trainer -o yaml", "get cm settings -o yaml", "get secret,cm -o yaml",
                  "get pods --field-selector metadata.name=trainer", "get events", "get all", "get pods/x/y", "get pods -n kube-system",
                  "get nodes", "get ns", "get pod nope --ignore-not-found", "get pod trainer -A", "describe cm settings",
                  "describe secret token", "describe pvc data", "describe ns default", "describe event began", "describe pod nope", "events",
                  "events --for pod/trainer", "events -A", "events --types=Warning", "events --types=Foo",
                  "wait pod/trainer --for=condition=Ready --timeout=0", "wait pod/trainer --for=jsonpath={.status.phase}=Pending",
                  "wait pod/nope --for=condition=Ready", "wait pod/nope --for=delete", "wait pods --all --for=condition=Ready --timeout=50ms",
                  "wait pods -A --all --for=condition=Ready --timeout=50ms", "delete pod nope", "delete pods", "delete cm -l x=y",
                  "delete pod trainer --force --grace-period=5"):
        args = [w.replace("|", " ") for w in words.split()]
        for attempt in range(5):  # ages go on between the two
            theirs = api.kubectl(*args)
            ours = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=60, env=api.env())
            same = (theirs.stdout, theirs.stderr, theirs.returncode) == (ours.stdout, ours.stderr, ours.returncode)
            if same:
                break
        assert same, f"{words}\n--- kubectl {theirs.returncode}\n{theirs.stdout}{theirs.stderr}\n--- reprise {ours.returncode}\n{ours.stdout}{ours.stderr}"
