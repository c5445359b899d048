"""The agent over CRI: what only a runtime behind a socket can show. What a Pod's user sees is in the common tests.

Faults come from the proxy (tests/cri_proxy.py) between agent and containerd, or happen to containerd itself. However it is disturbed,
a restart ends as one restart: every container once, nothing of the others' touched, nothing forgotten in containerd."""
import json
import os
import re
import signal
import threading
import time

import pytest

from host import cgroups_of, containers_of, pause_of, processes_of, sandbox_id, sandboxes_of, shim_of, statuses
from test_crash import end, go, manifest, runs
from test_pod_restart import condition, restarts, running, worker

pytestmark = pytest.mark.cri
grpc = pytest.importorskip("grpc")

from cri_proxy import Action, drop, fail, hang, late, twice  # noqa: E402

PATIENCE = int(os.environ.get("REPRISE_TEST_PATIENCE", 180))  # seconds; the agent's own deadline of a call may be minutes, as the kubelet's


@pytest.fixture
def through(proxy, reprise):
    """The program, with the proxy before containerd. Set up in this order, so that Pods end before the proxy does."""
    reprise.endpoint, reprise.proxy = proxy.endpoint, proxy
    yield reprise
    proxy.clear()


def listed(containerd, pod):
    """name -> ids of the Pod's containers that containerd has, whatever their state; nothing is prepared ahead in these tests."""
    found = {}
    for sandbox in sandboxes_of(pod):
        for c in containerd.cri.containers(pod_sandbox_id=sandbox.id):
            found.setdefault(c.metadata.name, []).append(c.id)
    return found


def ahead(containerd, pod):
    """name -> ids of those that were created and never started."""
    created = containerd.cri.pb.CONTAINER_CREATED
    return {c.metadata.name: c.id for s in sandboxes_of(pod) for c in containerd.cri.containers(pod_sandbox_id=s.id) if c.state == created}


def ids(pod):
    return {name: c["containerID"].split("//")[-1] for name, c in statuses(pod).items() if c.get("containerID")}


def began(run):
    """How often an in-place restart began: AllContainersRestarting became True."""
    seen = [condition(e["object"], "AllContainersRestarting").get("status") for e in run.events]
    return sum(1 for before, now in zip([None] + seen, seen) if now == "True" and before != "True")


def one_restart(reprise, run, first, patience=40):
    """The Pod runs again after exactly one in-place restart, in the sandbox it had; containerd has each container once."""
    containerd = reprise.containerd
    last = run.wait_for(restarts(1), patience, "the restart to be completed")
    deadline = time.monotonic() + 10  # what was left behind by a lost answer may be removed afterwards
    while time.monotonic() < deadline and sorted(map(len, listed(containerd, last).values())) != [1, 1, 1]:
        time.sleep(0.1)
    last = run.pod
    assert listed(containerd, last) == {name: [ident] for name, ident in ids(last).items()}, "each once, and the ones of the status"
    assert len(containers_of(last)) == 2, "watch and main, once each"
    assert {name: c["restartCount"] for name, c in statuses(last).items()} == {"setup": 1, "watch": 1, "main": 1}
    assert runs(reprise) == 2, "the init container ran once for the start and once for the restart"
    ended = {name: c["lastState"]["terminated"] for name, c in statuses(last).items()}
    assert ended["setup"]["exitCode"] == 0 and ended["watch"]["exitCode"] == 88 and ended["main"]["exitCode"] == 137, ended
    assert last["metadata"]["uid"] == first["metadata"]["uid"] and last["status"]["podIP"] == first["status"]["podIP"]
    assert not {ids(last)[n] for n in ids(last)} & {ids(first)[n] for n in ids(first)}
    return last


def restarted_or_unknown(reprise, run, first):
    """containerd died around the trigger's exit. If it lost the code, nobody guesses it: the watcher is then started anew by itself,
    its exit is told as unknown, and nothing else was touched. Gives the Pod, None if that is over."""
    def unknown(p):
        return running(p) and statuses(p)["watch"].get("lastState", {}).get("terminated", {}).get("reason") == "ContainerStatusUnknown"
    def over(p):
        """It was the init container's code, which is final where the policy is Never."""
        t = statuses(p).get("setup", {}).get("state", {}).get("terminated", {})
        return p["status"].get("phase") == "Failed" and t.get("reason") == "ContainerStatusUnknown"
    last = run.wait_for(lambda p: restarts(1)(p) or unknown(p) or over(p), PATIENCE, "a restart, or an exit code that was lost")
    if over(last):
        assert run.wait(40).returncode == 1 and began(run) == 1
        return None
    if not unknown(last):
        return one_restart(reprise, run, first, PATIENCE)
    time.sleep(1)
    last = run.pod
    counts = {name: c["restartCount"] for name, c in statuses(last).items()}
    if began(run):  # it was containerd that ended the first watcher, on its way up: the second one has triggered
        last = run.wait_for(lambda p: running(p) and condition(p, "AllContainersRestarting").get("status") == "False" and restarts(1)(p), PATIENCE, "it")
        assert {name: c["restartCount"] for name, c in statuses(last).items()} == {"setup": 1, "watch": 2, "main": 1} and began(run) == 1
        return last
    assert counts == {"setup": 0, "watch": 1, "main": 0}
    assert ids(last)["main"] == ids(first)["main"] and len(containers_of(last)) == 2 and runs(reprise) == 1 and began(run) == 0
    return last


def up(reprise, name, *args, env=None):
    """A Pod that restarts itself when go() is called: (run, Pod). Without containers made ahead, so that what containerd has is
    what the Pod has."""
    run = reprise.start_pod(manifest(reprise, name), "--prepare=off", *args, env=env)
    return run, run.wait_for(running, 40, "the Pod to run")


# --- what stays -----------------------------------------------------------------------------------------------------

def sandbox_facts(containerd, pod):
    ident, pause = sandbox_id(pod), pause_of(pod)
    status = containerd.cri.PodSandboxStatus(pod_sandbox_id=ident).status
    uid = pod["metadata"]["uid"]
    with open(f"/proc/{pause}/stat") as f:
        born = f.read().rsplit(")", 1)[1].split()[19]
    with open(f"/proc/{pause}/cgroup") as f:
        group = f.read()
    return {"id": ident, "attempt": status.metadata.attempt, "created": status.created_at, "ip": status.network.ip, "pause": (pause, born),
            "shim": shim_of(pod), "cgroup": group, "namespaces": {n: os.stat(f"/proc/{pause}/ns/{n}").st_ino for n in ("net", "ipc", "uts")},
            "cgroups": {path: os.stat(path).st_ino for path in cgroups_of(pod) if uid in os.path.basename(path)}}


def test_sandbox_stays(reprise, containerd):
    run, first = up(reprise, "stays")
    before = sandbox_facts(containerd, first)
    assert before["ip"] == first["status"]["podIP"] and before["cgroups"], before
    assert all(c["containerID"].startswith("containerd://") for c in statuses(first).values())
    assert set(processes_of(first).values()) == {f"net:[{before['namespaces']['net']}]"}
    go(reprise)
    last = one_restart(reprise, run, first)
    assert sandbox_facts(containerd, last) == before
    assert len(sandboxes_of(last)) == 1 and began(run) == 1
    end(run)


def test_attempts_and_names_are_kubernetes(reprise, containerd):
    """What crictl and log collectors read: names, attempts, the labels that the kubelet gives, and where the log lies."""
    run, first = up(reprise, "names")
    go(reprise)
    last = one_restart(reprise, run, first)
    uid = last["metadata"]["uid"]
    sandbox = sandboxes_of(last)[0]
    assert (sandbox.metadata.name, sandbox.metadata.namespace, sandbox.metadata.uid) == ("names", "default", uid)
    for name, ident in ids(last).items():
        status = containerd.cri.ContainerStatus(container_id=ident).status
        assert (status.metadata.name, status.metadata.attempt) == (name, 1)
        assert {k: status.labels.get(f"io.kubernetes.{k}") for k in ("container.name", "pod.name", "pod.namespace", "pod.uid")} == {
            "container.name": name, "pod.name": "names", "pod.namespace": "default", "pod.uid": uid}
        assert status.log_path == f"{reprise.log_dir}/default_names_{uid}/{name}/1.log" and os.path.exists(status.log_path)
    end(run)


# --- many containers ------------------------------------------------------------------------------------------------

class Crowd(Action):
    """Notes how many of its calls are under way at the same time."""

    def __init__(self):
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def before(self, call):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.05)  # long enough for all that are sent together

    def after(self, call, answers):
        yield from answers
        with self.lock:
            self.now -= 1


def test_calls_of_one_pod_take_turns(through):
    """With some dozens at the same time, containerd's shim locks up for many seconds."""
    more = "".join(f"\n  - {{name: more-{i}, image: localhost/busybox:1, command: [sleep, '1000']}}" for i in range(20))
    crowds = {m: Crowd() for m in ("CreateContainer", "StartContainer", "StopContainer", "RemoveContainer")}
    for method, crowd in crowds.items():
        through.proxy.on(method, crowd)
    run = through.start_pod(manifest(through, "crowd").rstrip() + more + "\n", "--prepare=off")
    run.wait_for(lambda p: p["status"].get("phase") == "Running" and all(c["ready"] for c in statuses(p).values() if "running" in c["state"])
                 and sum("running" in c["state"] for c in statuses(p).values()) == 22, 40, "the Pod to run")
    go(through)
    run.wait_for(restarts(1), 60, "the restart to be completed")
    assert all(1 < crowd.most <= 8 for crowd in crowds.values()), {m: c.most for m, c in crowds.items()}
    end(run)


# --- the others -----------------------------------------------------------------------------------------------------

@pytest.fixture
def strangers(containerd):
    """Containers of others in the same containerd: by ctr, and by CRI as a kubelet of this machine would have them. Gives what
    they are: pids and states, to be the same afterwards."""
    cri = containerd.cri
    labels = {"io.kubernetes.pod.name": "worker", "io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.uid": "stranger-uid"}
    config = {"metadata": {"name": "worker", "uid": "stranger-uid", "namespace": "default"}, "labels": labels}
    sandbox = cri.RunPodSandbox(config=config).pod_sandbox_id
    made = []
    for name, script in (("main", "exec sleep 1000"), ("ended", "exit 3")):
        made.append(cri.CreateContainer(pod_sandbox_id=sandbox, sandbox_config=config, config={
            "metadata": {"name": name}, "image": {"image": "localhost/busybox:1"}, "command": ["sh", "-c", script],
            "labels": {**labels, "io.kubernetes.container.name": name}, "linux_": {}}).container_id)
        cri.StartContainer(container_id=made[-1])
    made.append(cri.CreateContainer(pod_sandbox_id=sandbox, sandbox_config=config, config={  # created, never started
        "metadata": {"name": "created"}, "image": {"image": "localhost/busybox:1"}, "labels": labels, "linux_": {}}).container_id)
    containerd.ctr("run", "-d", "--runc-root", f"{containerd.folder}/ctr-runc", "localhost/busybox:1", "by-ctr", "sleep", "1000")
    deadline = time.monotonic() + 10
    while cri.ContainerStatus(container_id=made[1]).status.state != cri.pb.CONTAINER_EXITED and time.monotonic() < deadline:
        time.sleep(0.05)

    def look():
        cri = containerd.cri  # a new one after a restart of containerd
        rows = sorted(line.split() for line in containerd.ctr("tasks", "ls").splitlines() if "by-ctr" in line)
        for ident in made:
            status = cri.ContainerStatus(container_id=ident).status
            rows.append((ident, status.state, status.exit_code, status.started_at, cri.container_info(ident).get("pid")))
        status = cri.PodSandboxStatus(pod_sandbox_id=sandbox).status
        return rows + [(sandbox, status.state, status.network.ip, cri.sandbox_info(sandbox)["pid"])]
    yield look
    containerd.cri.StopPodSandbox(pod_sandbox_id=sandbox)
    containerd.cri.RemovePodSandbox(pod_sandbox_id=sandbox)
    containerd.ctr("tasks", "rm", "-f", "by-ctr", check=False)
    containerd.ctr("containers", "rm", "by-ctr", check=False)


def test_others_are_left_alone(strangers, reprise, containerd):
    """Even those of a Pod with our Pod's name, through start, restart, crash, adoption, deletion and a restart of containerd."""
    before = strangers()
    run, first = up(reprise, "worker", "--keep")
    assert len({row[0] for row in before} & set(ids(first).values())) == 0
    go(reprise)
    one_restart(reprise, run, first)
    assert strangers() == before
    run.kill()
    again, _ = up(reprise, "worker")
    containerd.restart()
    time.sleep(1)
    assert strangers() == before
    end(again)
    assert strangers() == before


# --- adoption -------------------------------------------------------------------------------------------------------

def test_agent_killed_and_started_again(reprise, containerd):
    run, first = up(reprise, "adopt", "--keep")
    before, had = sandbox_facts(containerd, first), listed(containerd, first)
    pids = containers_of(first)
    time.sleep(0.3)  # its record is written
    run.kill()
    assert containers_of(first) == pids, "they do not need an agent"
    again, adopted = up(reprise, "adopt")
    time.sleep(1)
    last = again.pod
    assert listed(containerd, last) == had and containers_of(last) == pids and sandbox_facts(containerd, last) == before
    assert ids(last) == ids(first) and all(c["restartCount"] == 0 for c in statuses(last).values())
    assert adopted["metadata"]["uid"] == first["metadata"]["uid"] and began(again) == 0 and runs(reprise) == 1
    go(reprise)  # and it is a Pod as any other
    one_restart(reprise, again, first)
    end(again)


@pytest.mark.parametrize("method", ["StopContainer", "RemoveContainer", "CreateContainer", "StartContainer"])
def test_agent_killed_in_the_middle_of_a_restart(through, method):
    """The answer to a request was never read: the next agent finds out what became of it."""
    run, first = up(through, "mid", "--keep")
    time.sleep(0.3)  # its record is written
    rule = through.proxy.on(method, hang(after=True), nth=1)
    go(through)
    rule.wait(20)
    time.sleep(0.2)
    run.kill()
    through.proxy.clear()
    again = through.start_pod(manifest(through, "mid"), "--prepare=off")
    one_restart(through, again, first)
    end(again)


# --- containerd dies ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("delay", [0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_containerd_killed_at_any_time(reprise, containerd, delay):
    run, first = up(reprise, "timed")
    before = sandbox_facts(containerd, first)
    go(reprise)
    time.sleep(delay)
    containerd.kill()
    time.sleep(0.5)
    containerd.start()
    last = restarted_or_unknown(reprise, run, first)
    if not last:
        return
    assert sandbox_facts(containerd, last) == before
    end(run)


class killed(Action):
    """containerd dies at this call, before it hears of it or when it has done it, and is back half a second later."""

    def __init__(self, containerd, after):
        self.containerd, self.late = containerd, after

    def _kill(self, call):
        self.containerd.kill()
        call.proxy.drop_connections()
        time.sleep(0.5)
        self.containerd.start()
        call.context.abort(grpc.StatusCode.UNAVAILABLE, "containerd was killed")

    def before(self, call):
        if not self.late:
            self._kill(call)

    def after(self, call, answers):
        for _ in answers:
            break
        self._kill(call)
        yield from ()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", ["StopContainer", "RemoveContainer", "CreateContainer", "StartContainer"])
def test_containerd_killed_at_a_call(through, containerd, method, after):
    run, first = up(through, "at")
    before = sandbox_facts(containerd, first)
    rule = through.proxy.on(method, killed(containerd, after), nth=1)
    go(through)
    rule.wait(30)
    last = one_restart(through, run, first, PATIENCE)
    assert sandbox_facts(containerd, last) == before
    end(run)


def test_exit_while_containerd_is_away(reprise, containerd):
    """The trigger exits while nobody can tell the agent. 1.6 asks the shim afterwards and knows the code; 2.4.2 says 255, Unknown."""
    run, first = up(reprise, "away")
    containerd.kill()
    go(reprise)
    time.sleep(1)
    containerd.start()
    if containerd.cri.Version().runtime_version.startswith("1.6"):
        one_restart(reprise, run, first, PATIENCE)
    elif not restarted_or_unknown(reprise, run, first):
        return
    end(run)


def test_containerd_away_is_said_and_changes_nothing(reprise, containerd):
    run, first = up(reprise, "gone")
    pids = containers_of(first)
    containerd.kill()
    time.sleep(3)
    assert containers_of(first) == pids and run.process.poll() is None
    assert all("running" in statuses(run.pod)[n]["state"] for n in ("watch", "main")), "unknown is not ended"
    containerd.start()
    time.sleep(2)
    assert containers_of(first) == pids and all(c["restartCount"] == 0 for c in statuses(run.pod).values())
    assert began(run) == 0
    end(run)


def test_containerd_stands_still(reprise, containerd):
    """It accepts everything and answers nothing for three seconds."""
    run, first = up(reprise, "still")
    containerd.pause()
    try:
        go(reprise)
        time.sleep(3)
    finally:
        containerd.resume()
    one_restart(reprise, run, first, PATIENCE)
    end(run)


def test_no_containerd_at_the_start(reprise, containerd):
    containerd.stop()
    run = reprise.run_pod(worker(name="none"), "--timeout=5", timeout=60)
    assert run.returncode in (3, 124), run.explain()
    assert containerd.socket in run.stdout + run.stderr, run.explain()


# --- the sandbox dies -----------------------------------------------------------------------------------------------

def test_sandbox_killed(reprise, containerd):
    """A new sandbox, and all containers anew in it; that is no in-place restart, and neither the counts nor the condition say so."""
    text = manifest(reprise, "box").replace("restartPolicy: Never\n  term", "restartPolicy: Always\n  term")
    run = reprise.start_pod(text, "--prepare=off")
    first = run.wait_for(running, 40, "the Pod to run")
    go(reprise)
    second = one_restart(reprise, run, first)
    old = sandbox_facts(containerd, second)
    os.kill(pause_of(second), signal.SIGKILL)
    last = run.wait_for(restarts(2), 60, "the Pod to run again")
    assert began(run) == 1, "the second time was not an in-place restart"
    new = sandbox_facts(containerd, last)
    assert new["id"] != old["id"] and new["attempt"] == old["attempt"] + 1
    assert new["namespaces"]["net"] != old["namespaces"]["net"] and new["ip"] == last["status"]["podIP"]
    assert last["metadata"]["uid"] == first["metadata"]["uid"]
    reasons = {n: c["lastState"]["terminated"].get("reason") for n, c in statuses(last).items()}
    assert "RestartingAllContainers" not in reasons.values(), reasons
    assert {name: c["restartCount"] for name, c in statuses(last).items()} == {"setup": 2, "watch": 2, "main": 2}
    assert runs(reprise) == 3
    # The old one may be kept for a moment, but nothing of it runs.
    assert len(containers_of(last)) == 2
    assert [s.id for s in sandboxes_of(last) if s.state == containerd.cri.pb.SANDBOX_READY] == [new["id"]]
    end(run)


# --- calls that go wrong --------------------------------------------------------------------------------------------

FAULTS = {
    "hang": lambda: hang(),
    "hang-done": lambda: hang(after=True),
    "fail": lambda: fail("UNKNOWN"),
    "fail-unavailable": lambda: fail("UNAVAILABLE"),
    "fail-deadline-done": lambda: fail("DEADLINE_EXCEEDED", after=True),
    "fail-done": lambda: fail("UNKNOWN", after=True),
    "late": lambda: late(2),
    "twice": lambda: twice(),
    "drop": lambda: drop(),
    "drop-done": lambda: drop(after=True),
}
PROMPT = "--runtime-request-timeout=3s"  # else what hangs, hangs for two minutes
ACTS = ["StopContainer", "RemoveContainer", "CreateContainer", "StartContainer"]
LOOKS = ["PodSandboxStatus", "ListContainers", "ListPodSandbox", "ContainerStatus"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", ACTS)
def test_call_goes_wrong_once(through, method, fault):
    """In the middle of a restart: it is completed all the same, and it was one."""
    run, first = up(through, "wrong", PROMPT)
    rule = through.proxy.on(method, FAULTS[fault](), nth=1)
    go(through)
    rule.wait(20)
    one_restart(through, run, first, PATIENCE)
    assert began(run) == 1
    end(run)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["fail", "fail-done", "hang-done", "drop-done"])
@pytest.mark.parametrize("method", ACTS)
def test_call_goes_wrong_once_with_containers_made_ahead(through, containerd, method, fault):
    """The same, where the next run's containers are there already: no more than one of each name waits in the end."""
    run = through.start_pod(manifest(through, "ahead"), "--prepare=create", PROMPT)
    first = run.wait_for(running, 40, "the Pod to run")
    deadline = time.monotonic() + 20
    while set(ahead(containerd, first)) != {"setup", "watch", "main"} and time.monotonic() < deadline:
        time.sleep(0.1)
    rule = through.proxy.on(method, FAULTS[fault](), nth=1)
    go(through)
    rule.wait(20)
    last = run.wait_for(restarts(1), PATIENCE, "the restart to be completed")
    deadline = time.monotonic() + 20
    while sorted(map(len, listed(containerd, last).values())) != [2, 2, 2] and time.monotonic() < deadline:
        time.sleep(0.1)
    last = run.pod
    want = {name: {ident, ahead(containerd, last).get(name)} for name, ident in ids(last).items()}
    assert {name: set(found) for name, found in listed(containerd, last).items()} == want
    assert {name: c["restartCount"] for name, c in statuses(last).items()} == {"setup": 1, "watch": 1, "main": 1}
    assert len(containers_of(last)) == 2 and runs(through) == 2 and began(run) == 1
    assert last["status"]["podIP"] == first["status"]["podIP"]
    end(run)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["hang", "fail-unavailable", "twice", "drop-done"])
@pytest.mark.parametrize("method", LOOKS)
def test_question_goes_wrong_once(through, containerd, method, fault):
    """Nothing is concluded from an answer that is not there. (Which of these an agent asks, and when, is its own affair.)"""
    run, first = up(through, "asks", PROMPT)
    before = sandbox_facts(containerd, first)
    through.proxy.on(method, FAULTS[fault](), nth=1)
    go(through)
    last = one_restart(through, run, first, PATIENCE)
    assert sandbox_facts(containerd, last) == before and began(run) == 1
    end(run)


@pytest.mark.parametrize("method", ACTS)
def test_every_second_call_fails(through, method):
    run, first = up(through, "second")
    seen = []

    def odd(_):
        seen.append(1)
        return len(seen) % 2 == 1
    through.proxy.on(method, fail("UNKNOWN"), when=odd)
    go(through)
    one_restart(through, run, first, PATIENCE)
    end(run)


@pytest.mark.parametrize("method", ["RunPodSandbox", *ACTS])
def test_call_that_always_fails_is_said(through, method):
    """The Pod does not get on, and says why, in the words of the runtime. Then it does, and it is one restart."""
    name, proxy = f"always-{method.lower()}", through.proxy
    if method == "RunPodSandbox":
        proxy.on(method, fail("UNKNOWN", "no sandbox for you"))
    path = through.manifest(manifest(through, name))
    go_at = threading.Timer(3, go, [through])
    heal = threading.Timer(9, proxy.clear)
    if method != "RunPodSandbox":
        arm = threading.Timer(2, lambda: proxy.on(method, fail("UNKNOWN", "no sandbox for you")))
        arm.start()
    go_at.start()
    heal.start()
    # Made ahead, the containers would be there before the call fails.
    run = through.run_pod(path, "--until=restarts=1", "--prepare=off", f"--timeout={PATIENCE}", timeout=PATIENCE + 40, output="lines")
    assert run.returncode == 0, run.explain()
    assert "no sandbox for you" in run.stdout + run.stderr, run.explain()
    assert len(re.findall(r"in-place restart \d+ begins", run.stdout)) == 1, run.explain()


@pytest.mark.containerd2("containerd 1.6 has no container events")
def test_event_stream_is_cut(through):
    """An exit that no event tells of is found all the same."""
    run, first = up(through, "events")
    assert through.proxy.calls["GetContainerEvents"] >= 1, "it listens"
    through.proxy.on("GetContainerEvents", fail("UNAVAILABLE"))
    assert through.proxy.cut_streams() == 1
    go(through)
    one_restart(through, run, first, PATIENCE)
    through.proxy.clear()
    calls = through.proxy.calls["GetContainerEvents"]
    deadline = time.monotonic() + 30
    while not through.proxy.streams() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert through.proxy.streams() and through.proxy.calls["GetContainerEvents"] > calls, "it listens again"
    end(run)


def test_few_questions_while_idle(through):
    """An idle Pod costs little: no more than a handful of calls a second, whatever it polls."""
    run, _ = up(through, "idle")
    time.sleep(2)
    before = sum(through.proxy.calls.values())
    time.sleep(5)
    calls = sum(through.proxy.calls.values()) - before
    assert calls <= 5 * 12, json.dumps(through.proxy.calls)
    end(run)
