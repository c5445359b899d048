"""Death at every step: kill -9 of the agent, the shim and the OCI runtime in the middle of a restart. The next agent finds
every container, none twice, every exit with its true code or none at all, and the restart is done exactly once."""
import json
import os
import signal
import time

import pytest

from host import containers_of, shim_of, statuses
from test_pod_restart import condition, restarts, running, worker

AGENT_STEPS = ["container.start", "container.create", "container.created", "container.started", "restart.intent",
               "restart.durable", "restart.kill", "restart.killed", "restart.remove", "restart.removed", "status.store",
               "standby.make", "standby.made"]
# Steps of containers that are made in their turn.
PLAIN_STEPS = ["container.create", "container.created"]
SHIM_STEPS = ["shim.prepare", "shim.mounted", "shim.create", "shim.created", "shim.start", "shim.started", "shim.exit.reaped",
              "shim.exit.recorded", "shim.kill", "shim.killed", "shim.remove", "shim.removed", "shim.standby", "shim.release"]
# One restart, begun by a file of ours, so that the fault can be armed by then.
MANIFEST = worker(watch="until [ -e /work/go ]; do sleep 0.05; done; [ -e /work/gone ] && exec sleep 1000; touch /work/gone; exit 88")


def manifest(reprise, name):
    work = f"{reprise.folder}/work"
    os.makedirs(work, exist_ok=True)
    return MANIFEST.replace("emptyDir: {}", f"hostPath: {{path: {work}, type: Directory}}").replace("name: worker", f"name: {name}")


def go(reprise):
    with open(f"{reprise.folder}/work/go", "w"):
        pass


def runs(reprise):
    with open(f"{reprise.folder}/work/runs") as f:
        return len(f.readlines())


def check_after(reprise, pod, exact=True):
    """The Pod runs again after one restart; each container lives once."""
    last = pod.wait_for(restarts(1), 40, "the restart to be completed")
    time.sleep(0.3)
    assert len(containers_of(last)) == 2, "watch and main, once each"
    for name, c in statuses(last).items():
        assert c["restartCount"] == 1 if exact else c["restartCount"] >= 1, (name, c)
        ended = c["lastState"]["terminated"]
        assert ended["exitCode"] in {"setup": (0, 137), "watch": (88, 137), "main": (137,)}[name], (name, ended)
    return last


def end(pod):
    pod.interrupt()
    done = pod.wait(40)
    assert done.returncode == 130, done.explain()


@pytest.mark.parametrize("step", AGENT_STEPS)
def test_agent_dies(reprise, step):
    path, prepare = manifest(reprise, "agent"), "--prepare=off" if step in PLAIN_STEPS else "--prepare=gate"
    first = reprise.start_pod(path, "--keep", prepare)
    up = first.wait_for(running, 40, "the Pod to run")
    time.sleep(0.3)  # its record is written, the next run prepared
    first.kill()  # even that is a crash: the Pod goes on
    dying = reprise.start_pod(path, prepare, env={"REPRISE_FAULT": f"kill@{step}@{reprise.folder}/fault"})
    dying.wait_for(running, 40, "the Pod to be adopted")
    assert statuses(dying.pod)["main"]["containerID"] == statuses(up)["main"]["containerID"], "adopted, not started anew"
    go(reprise)
    deadline = time.monotonic() + 20
    while dying.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert dying.process.returncode == -signal.SIGKILL, f"step {step} was not reached"
    after = reprise.start_pod(path, prepare)
    last = check_after(reprise, after)
    assert last["metadata"]["uid"] == up["metadata"]["uid"] and last["status"]["podIP"] == up["status"]["podIP"]
    assert runs(reprise) == 2, "the init container ran once for the start and once for the restart"
    end(after)


@pytest.mark.oci("about reprise-shim")
@pytest.mark.parametrize("step", SHIM_STEPS)
def test_shim_dies(reprise, step):
    """The fault is armed in the shim from the start, so early steps hit the first start, not the restart."""
    fault = f"{reprise.folder}/fault"
    pod = reprise.start_pod(manifest(reprise, "shim"), env={"REPRISE_FAULT": f"kill@{step}@{fault}"})
    pod.wait_for(running, 60, "the Pod to run")
    go(reprise)
    # An exit whose code died with the shim is not guessed: the watcher's may be lost, and then a person or a second exit
    # must trigger again. What must hold: nothing doubled, nothing hung, no wrong code.
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and not (os.path.exists(fault) and runs(reprise) >= 2 and running(pod.pod)):
        time.sleep(0.05)
    assert os.path.exists(fault), f"step {step} was not reached"
    assert running(pod.pod), json.dumps(pod.pod["status"], indent=1)[-3000:]
    time.sleep(0.5)
    last = pod.pod
    assert len(containers_of(last)) == 2, "watch and main, once each"
    for name, c in statuses(last).items():
        code = c.get("lastState", {}).get("terminated", {}).get("exitCode", 0)
        assert code in {"setup": (0, 137), "watch": (88, 137), "main": (137, 0)}[name], (name, c)
    end(pod)


@pytest.mark.oci("about reprise-shim: containers that lose containerd's are killed by containerd")
def test_shim_killed_while_idle(reprise):
    """Containers live on without it, their output waits, and a new shim adopts them."""
    text = manifest(reprise, "idle").replace("exec sleep 1000\"]\n    volumeMounts: [{name: work, mountPath: /work}]\n",
                                             "exec sleep 1000\"]\n    volumeMounts: [{name: work, mountPath: /work}]\n")
    pod = reprise.start_pod(text)
    up = pod.wait_for(running, 40)
    before = containers_of(up)
    os.kill(shim_of(up), signal.SIGKILL)
    time.sleep(2)
    assert containers_of(pod.pod) == before
    assert all(c["restartCount"] == 0 for c in statuses(pod.pod).values())
    go(reprise)
    check_after(reprise, pod)
    end(pod)


@pytest.mark.oci("crun called by us; how containerd bears the death of its runc is containerd's")
def test_runtime_killed_again_and_again(reprise):
    """crun is killed whenever it is seen, for two seconds of restarts: the Pod comes up all the same."""
    pod = reprise.start_pod(worker(name="runtime"), "--restart-backoff=off")
    pod.wait_for(running, 40)
    stop = time.monotonic() + 2
    while time.monotonic() < stop:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/comm") as f:
                    if f.read().strip() == "crun":
                        os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.005)
    pod.wait_for(lambda p: running(p) and condition(p, "AllContainersRestarting")["status"] == "False", 60)
    end(pod)


def test_agent_sees_exits_that_happened_without_it(reprise):
    path = manifest(reprise, "away")
    first = reprise.start_pod(path)
    first.wait_for(running, 40)
    first.kill()
    go(reprise)  # the watcher exits 88 while nobody is there
    time.sleep(1)
    check_after(reprise, after := reprise.start_pod(path))
    end(after)


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename", "mkdir"])
def test_system_call_fails_in_turn(reprise, call):
    """The nth call fails with ENOSPC, once, in whoever makes it: the Pod still runs, or the error says why it does not."""
    for nth in (2, 12, 33) if os.environ.get("REPRISE_TEST_RUNTIME") == "cri" else (2, 4, 7, 12, 20, 33):
        flag = f"{reprise.folder}/fault-{nth}"
        run = reprise.run_pod(worker(name=f"{call}{nth}", main="exit 0", watch="exec sleep 1000"), "--timeout=30",
                              env={"REPRISE_FAULT": f"{call}:{nth}:ENOSPC@{flag}"}, timeout=60)
        ok = run.returncode == 0 and run.pod["status"]["phase"] == "Succeeded"
        said = run.returncode in (1, 2, 3) and "No space left on device" in run.stderr + run.stdout
        assert ok or said, f"{call} {nth}\n{run.explain()}"
        if not os.path.exists(flag):
            break
