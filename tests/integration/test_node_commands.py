"""The commands for the node's API against a whole `reprise node`: a Pod from `apply` to `delete`, with a restart in place between."""
import json
import os
import subprocess

import pytest

from pods import container, is_running, pod, status

LONG = 60


@pytest.fixture
def ctl(node):
    """reprise COMMAND against the node's socket."""
    node.start()
    env = dict(os.environ, REPRISE_API_SOCKET=os.path.join(node.reprise.run_dir, "api.sock"), NO_COLOR="1")

    def call(*args, input=None, code=0):
        done = subprocess.run([node.reprise.program, *args], input=input, capture_output=True, text=True, timeout=LONG, env=env)
        assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    call.env, call.program, call.root = env, node.reprise.program, node.reprise.root
    yield call
    call("delete", "pods", "--all", "-A", "--now", "--timeout=20s")


def trainer():
    main = container(script="echo run; read go < /w/go; echo again; exit 88", restartPolicy="Never", volumeMounts=[{"name": "w", "mountPath": "/w"}],
                     restartPolicyRules=[{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}])
    setup = container("setup", script="test -p /w/go || mkfifo /w/go", volumeMounts=[{"name": "w", "mountPath": "/w"}])
    return pod(main, name="trainer", init=[setup], volumes=[{"name": "w", "emptyDir": {}}])


def test_life_of_a_pod(ctl):
    def get():
        return json.loads(ctl("get", "pod", "trainer", "-o", "json"))

    assert ctl("apply", "-f", "-", input=trainer()) == "pod/trainer created\n"
    assert ctl("wait", "--for=condition=Ready", "pod/trainer", f"--timeout={LONG}s") == "pod/trainer condition met\n"
    first = get()
    assert is_running(first)
    row = ctl("get", "pods").splitlines()[1].split()
    assert row[:4] == ["trainer", "1/1", "Running", "0"]
    assert ctl("apply", "-f", "-", input=trainer()) == "pod/trainer unchanged\n"
    assert ctl("logs", "trainer") == "run\n"

    follow = subprocess.Popen([ctl.program, "logs", "-f", "trainer", "--prefix"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ctl.env)
    assert follow.stdout.readline() == "[pod/trainer/main] run\n"
    with open(f"{ctl.root}/pods/{first['metadata']['uid']}/volumes/kubernetes.io~empty-dir/w/go", "w") as f:
        f.write("go\n")
    assert ctl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/trainer", f"--timeout={LONG}s")
    assert ctl("wait", "--for=condition=AllContainersRestarting=false", "pod/trainer", f"--timeout={LONG}s")
    assert ctl("wait", "--for=condition=Ready", "pod/trainer", f"--timeout={LONG}s")
    assert follow.stdout.read() == "[pod/trainer/main] again\n" and follow.wait(LONG) == 0, "it ends with the attempt"
    second = get()
    assert second["metadata"]["uid"] == first["metadata"]["uid"] and second["status"]["podIP"] == first["status"]["podIP"]
    assert status(second, "main")["restartCount"] == 1
    assert ctl("logs", "trainer") == "run\n" and ctl("logs", "trainer", "-p") == "run\nagain\n"
    assert ctl("logs", "trainer", "--all-containers", "--prefix", "--tail=1") == "[pod/trainer/main] run\n"

    text = ctl("describe", "pod", "trainer")
    assert "In-Place Restart:" in text and "RestartAllContainers:  exit code In [88]" in text and "Restart Count:   1" in text, text
    assert "Started" in ctl("events", "--for", "pod/trainer") and "Started" in text.split("Events:\n")[1]
    node = ctl("describe", "node")
    assert "Non-terminated Pods:" in node and "trainer" in node

    assert ctl("delete", "pod", "trainer", "--grace-period=1") == 'pod "trainer" deleted from default namespace\n'
    assert ctl("get", "pods") == "", "delete returned when it was gone"

