"""Lifecycle hooks with real containers: what they do, when they hold things up, and when they do not run."""
import os
import time

import pytest

from pods import container, http_peer, is_running, pod, shared, status, when

TRAP = "trap 'echo term >> /shared/said; exit 0' TERM; while :; do sleep 0.05; done"


def read(folder):
    path = os.path.join(folder, "said")
    return open(path).read().split() if os.path.exists(path) else []


def delete(run, timeout=40):
    """Ctrl-C: a real deletion, with grace. Seconds it took."""
    began = time.monotonic()
    run.interrupt()
    assert run.wait(timeout).returncode == 130
    return time.monotonic() - began


def hook(**handler):
    return {"exec": {"command": ["sh", "-c", handler["sh"]]}} if "sh" in handler else handler


def test_post_start_exec(reprise, folder):
    spec, mount = shared(folder)
    main = container(script="until [ -e /shared/said ]; do sleep 0.05; done", lifecycle={"postStart": hook(sh="echo post >> /shared/said")},
                     **mount)
    run = reprise.run_pod(pod(main, **spec))
    assert run.returncode == 0, run.explain()
    assert read(folder) == ["post"]


@pytest.mark.parametrize("code", [200, 500])
def test_post_start_http(reprise, code):
    """Any answer will do, as for the kubelet: a hook only has to be delivered. The container outlives the 2 s that a kill for a
    failed hook would leave it."""
    with http_peer(code) as (port, requests):
        main = container(script="sleep 4", lifecycle={"postStart": {"httpGet": {"host": "127.0.0.1", "port": port, "path": "/started"}}})
        run = reprise.run_pod(pod(main))
    assert run.returncode == 0, run.explain()
    assert [path for path, _ in requests] == ["/started"]
    assert requests[0][1]["User-Agent"] == "kube-lifecycle/1.35"


def test_post_start_sleep_holds_up_the_next(reprise):
    side = container("side", restartPolicy="Always", lifecycle={"postStart": {"sleep": {"seconds": 2}}})
    run = reprise.run_pod(pod(container(script="true"), init=[side], grace=5))
    assert run.returncode == 0, run.explain()
    began = {n: next(e["object"] for e in run.events if "running" in status(e["object"], n)["state"] or
                     "terminated" in status(e["object"], n)["state"]) for n in ("side", "main")}
    state = status(began["side"], "side")["state"]
    main = status(run.pod, "main")["state"]["terminated"]
    assert when(main["startedAt"]) - when(state["running"]["startedAt"]) >= 2


@pytest.mark.parametrize("bad", [hook(sh="exit 3"), {"httpGet": {"host": "127.0.0.1", "port": 1, "path": "/"}}])
def test_post_start_failure_kills(reprise, bad):
    run = reprise.run_pod(pod(container(lifecycle={"postStart": bad})), timeout=60)
    assert run.returncode == 1, run.explain()
    assert run.pod["status"]["phase"] == "Failed"
    assert status(run.pod, "main")["state"]["terminated"]["exitCode"] in (137, 143)


def test_pre_stop_exec_comes_before_the_signal(reprise, folder):
    spec, mount = shared(folder)
    main = container(script=TRAP, lifecycle={"preStop": hook(sh="sleep 0.5; echo pre >> /shared/said")}, **mount)
    run = reprise.start_pod(pod(main, grace=20, **spec))
    run.wait_for(is_running, 30, "main to run")
    time.sleep(0.3)
    delete(run)
    assert read(folder) == ["pre", "term"]


def test_pre_stop_http(reprise, folder):
    spec, mount = shared(folder)
    with http_peer() as (port, requests):
        main = container(script=TRAP, lifecycle={"preStop": {"httpGet": {"host": "127.0.0.1", "port": port, "path": "/bye"}}}, **mount)
        run = reprise.start_pod(pod(main, grace=20, **spec))
        run.wait_for(is_running, 30, "main to run")
        time.sleep(0.3)
        delete(run)
    assert [path for path, _ in requests] == ["/bye"]
    assert read(folder) == ["term"]


def test_pre_stop_sleep(reprise, folder):
    spec, mount = shared(folder)
    main = container(script=TRAP, lifecycle={"preStop": {"sleep": {"seconds": 2}}}, **mount)
    run = reprise.start_pod(pod(main, grace=20, **spec))
    run.wait_for(is_running, 30, "main to run")
    time.sleep(0.3)
    assert 2 <= delete(run) < 12
    assert read(folder) == ["term"]


def test_pre_stop_that_fails_does_not_keep_the_container(reprise, folder):
    spec, mount = shared(folder)
    main = container(script=TRAP, lifecycle={"preStop": hook(sh="exit 1")}, **mount)
    run = reprise.start_pod(pod(main, grace=20, **spec))
    run.wait_for(is_running, 30, "main to run")
    time.sleep(0.3)
    assert delete(run) < 12
    assert read(folder) == ["term"]


def test_pre_stop_is_cut_off_by_the_grace_period(reprise, folder):
    spec, mount = shared(folder)
    main = container(script="trap '' TERM; while :; do sleep 0.1; done", lifecycle={"preStop": hook(sh="echo pre >> /shared/said; sleep 1000")}, **mount)
    run = reprise.start_pod(pod(main, grace=2, **spec))
    run.wait_for(is_running, 30, "main to run")
    assert 2 <= delete(run) < 15  # the grace, then at least kubelet's 2 s, then SIGKILL
    assert read(folder) == ["pre"]


@pytest.mark.containerd2("CRI's stop_signal is newer than containerd 1.6")
def test_stop_signal(reprise, folder):
    spec, mount = shared(folder)
    script = "trap 'echo usr1 >> /shared/said; exit 0' USR1; trap 'echo term >> /shared/said; exit 0' TERM; while :; do sleep 0.05; done"
    main = container(script=script, lifecycle={"stopSignal": "SIGUSR1"}, **mount)
    run = reprise.start_pod(pod(main, grace=20, os={"name": "linux"}, **spec))
    run.wait_for(is_running, 30, "main to run")
    time.sleep(0.3)
    delete(run)
    assert read(folder) == ["usr1"]


def test_no_pre_stop_in_an_in_place_restart(reprise, folder):
    """The announcement: termination is abrupt."""
    spec, mount = shared(folder)
    rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]
    main = container(script=TRAP, lifecycle={"preStop": hook(sh="echo pre >> /shared/said"), "postStart": hook(sh="echo post >> /shared/said")},
                     **mount)
    source = container("source", "[ -e /shared/once ] && exec sleep 1000; sleep 1; touch /shared/once; exit 88", restartPolicy="Never",
                       restartPolicyRules=rules, **mount)
    run = reprise.run_pod(pod(main, source, grace=20, **spec), "--until=restarts=1", "--timeout=40", timeout=60)
    assert run.returncode == 0, run.explain()
    assert read(folder)[:2] == ["post", "post"]  # once for each start, and nothing of the stop between
