"""Each manifest of examples/ does what its comment says."""
import os

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(HERE)), "examples")


@pytest.fixture
def kept(reprise):
    """Runs an example to its end with --keep, so that the logs stay to be read; deletes its Pod when the test is done."""
    pods = []

    def run(name):
        done = reprise.run_pod(f"examples/{name}.yaml", "--keep")
        pods[:] = [done.pod]  # a Pod that has ended is replaced by the next of its name
        return done
    yield run
    for pod in pods:
        reprise.delete(pod)


def statuses(pod):
    s = pod["status"]
    return {c["name"]: c for c in s.get("initContainerStatuses", []) + s.get("containerStatuses", [])}


def restarting(pod):
    return next((c["status"] for c in pod["status"].get("conditions", []) if c["type"] == "AllContainersRestarting"), None)


def restarts_seen(run):
    """How often AllContainersRestarting became True."""
    states = [restarting(p) for p in run.pods]
    return sum(1 for before, now in zip([None] + states, states) if now == "True" and before != "True")


def check_stayed(run):
    """UID and IP are the same in every status, and each condition True was seen before the first kill."""
    assert len({p["metadata"]["uid"] for p in run.pods}) == 1
    assert len({p["status"]["podIP"] for p in run.pods if p["status"].get("podIP")}) == 1


def check_succeeded(run, restarts, counts):
    assert run.returncode == 0, run.explain()
    assert run.pod["status"]["phase"] == "Succeeded"
    assert restarts_seen(run) == restarts, run.explain()
    assert {n: c["restartCount"] for n, c in statuses(run.pod).items()} == counts
    check_stayed(run)


def test_every_example_is_tested():
    tested = {"announcement.yaml", "announcement-onexit.yaml", "ml-worker.yaml", "reinit-shared-state.yaml", "queue-worker.yaml",
              "game-session.yaml", "lease-sidecar.yaml"}
    assert {n for n in os.listdir(EXAMPLES) if n.endswith((".yaml", ".yml", ".json"))} == tested


@pytest.mark.parametrize("name", sorted(os.listdir(EXAMPLES)))
def test_valid(reprise, name):
    done = reprise.command("validate", os.path.join(EXAMPLES, name))
    assert done.returncode == 0, done.explain()
    assert ("onExit" in done.stderr + done.stdout) == (name == "announcement-onexit.yaml"), done.explain()


def test_ml_worker(reprise, kept):
    run = kept("ml-worker")
    check_succeeded(run, 2, {"setup-environment": 2, "watcher-sidecar": 2, "main-application": 2})
    sources = [statuses(p)["watcher-sidecar"]["state"]["terminated"]["exitCode"] for p in run.pods
               if restarting(p) == "True" and "terminated" in statuses(p)["watcher-sidecar"]["state"]]
    assert sources and set(sources) == {88}
    log = [reprise.log(run.pod, "main-application", n) for n in range(3)]
    assert "from the beginning" in log[0] and "step 5 of 15" in log[0] and "step 6 of 15" not in log[0]
    assert "going on from checkpoint: step 5 of 15" in log[1]
    assert "going on from checkpoint: step 10 of 15" in log[2] and "step 15 of 15" in log[2]
    assert "(run 3)" in reprise.log(run.pod, "setup-environment", 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["announcement.yaml", "announcement-onexit.yaml"])
def test_announcement(reprise, name):
    """Unchanged, against images named as in it. The watcher of these images fails every five seconds."""
    run = reprise.run_pod(os.path.join(EXAMPLES, name), "--until=restarts=2", timeout=90)
    assert run.returncode == 0, run.explain()
    assert ("exitCodes" in run.stderr) == (name == "announcement-onexit.yaml"), run.explain()
    assert restarts_seen(run) == 2
    check_stayed(run)
    up = [p for p in run.pods if restarting(p) == "False" and all("running" in c["state"] for n, c in statuses(p).items()
                                                                   if n != "setup-environment") and statuses(p)]
    assert {n: c["restartCount"] for n, c in statuses(up[-1]).items()} == {
        "setup-environment": 2, "watcher-sidecar": 2, "main-application": 2}
    last = statuses(up[-1])["watcher-sidecar"]["lastState"]["terminated"]
    assert last["exitCode"] == 88, "the source keeps its real exit code"
    last = statuses(up[-1])["main-application"]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (137, "RestartingAllContainers")


def test_reinit_shared_state(reprise, kept):
    run = kept("reinit-shared-state")
    check_succeeded(run, 1, {"make-state": 1, "main": 1})
    assert "shared state is corrupted" in reprise.log(run.pod, "main", 0)
    assert "made, 2 times" in reprise.log(run.pod, "make-state", 1)
    assert "state is sound: 1 2 3 4 5" in reprise.log(run.pod, "main", 1)


def test_queue_worker(reprise, kept):
    run = kept("queue-worker")
    check_succeeded(run, 4, {"fill-queue": 4, "take-item": 4, "worker": 4})
    log = reprise.log(run.pod, "worker")
    assert [line for line in log.splitlines() if line.startswith("working")] == [f"working on task {i}" for i in (1, 2, 3, 4)]
    # The claim is kept after the Pod: the queue is empty for the next Pod too.
    again = kept("queue-worker")
    check_succeeded(again, 0, {"fill-queue": 0, "take-item": 0, "worker": 0})
    assert "the queue is empty" in reprise.log(again.pod, "worker")


def test_game_session(reprise, kept):
    run = kept("game-session")
    check_succeeded(run, 2, {"prepare-arena": 2, "scoreboard": 2, "server": 2})
    for match in (1, 2, 3):
        assert f"match {match} is over: {match}:0" in reprise.log(run.pod, "server", match - 1)
    # The match never began before the scoreboard answered.
    for pod in run.pods:
        now = statuses(pod)
        if now and "running" in now["server"]["state"] and restarting(pod) != "True":
            assert now["scoreboard"]["started"], pod["status"]


def test_lease_sidecar(reprise, kept):
    run = kept("lease-sidecar")
    check_succeeded(run, 1, {"lease-keeper": 1, "main": 1})
    assert "working under lease-1" in reprise.log(run.pod, "main", 0)
    assert "done under lease-2" in reprise.log(run.pod, "main", 1)
    assert "lost lease-1 to somebody-else" in reprise.log(run.pod, "lease-keeper", 0)
    assert "released" in reprise.log(run.pod, "lease-keeper", 1), "a sidecar is stopped with its signal when the Pod ends"
