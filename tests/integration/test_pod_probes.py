"""Probes with real containers: every kind, every field, and what follows from their outcome."""
import os
import time

import pytest

from pods import GrpcHealth, condition, container, http_peer, is_ready, is_running, pod, shared, status, when

FAST = {"periodSeconds": 1, "timeoutSeconds": 1}
NEVER_READY = {"exec": {"command": ["false"]}, **FAST}


def test_exec_follows_the_file(reprise, folder):
    spec, mount = shared(folder)
    probe = {"exec": {"command": ["test", "-e", "/shared/ready"]}, "failureThreshold": 1, **FAST}
    run = reprise.start_pod(pod(container(readinessProbe=probe, **mount), **spec))
    first = run.wait_for(is_running, 30, "main to run")
    assert not is_ready(first) and status(first, "main")["started"] is True
    time.sleep(2.2)
    assert not is_ready(run.pod)
    open(f"{folder}/ready", "w").close()
    n = len(run.events)
    run.wait_for(is_ready, 10, "readiness")
    os.unlink(f"{folder}/ready")
    run.wait_for(lambda p: any(is_ready(e["object"]) for e in run.events[n:]) and not is_ready(run.pod), 10, "unreadiness")
    assert status(run.pod, "main")["restartCount"] == 0  # readiness never kills


def test_exec_that_hangs_is_cut_off(reprise):
    probe = {"exec": {"command": ["sleep", "30"]}, "failureThreshold": 1, **FAST}
    run = reprise.start_pod(pod(container(livenessProbe=probe), restartPolicy="Always"))
    p = run.wait_for(lambda p: status(p, "main")["restartCount"] >= 1, 20, "a restart by liveness")
    assert status(p, "main")["lastState"]["terminated"]["exitCode"] in (137, 143)


def test_http_named_port(reprise):
    server = "mkdir /www; echo fine > /www/healthz; exec httpd -f -p 8080 -h /www"
    probe = {"httpGet": {"path": "/healthz", "port": "web"}, **FAST}
    ports = [{"name": "web", "containerPort": 8080}]
    run = reprise.run_pod(pod(container(script=server, ports=ports, readinessProbe=probe)), "--until=Ready", "--timeout=30")
    assert run.returncode == 0, run.explain()
    assert any(status(p, "main")["ready"] and is_ready(p) for p in run.pods)


def test_http_status_decides(reprise):
    server = "mkdir /www; exec httpd -f -p 8080 -h /www"
    probe = {"httpGet": {"path": "/missing", "port": 8080}, "failureThreshold": 2, **FAST}
    run = reprise.start_pod(pod(container(script=server, livenessProbe=probe), restartPolicy="Always"))
    p = run.wait_for(lambda p: status(p, "main")["restartCount"] >= 1, 20, "a restart by liveness")
    t = status(p, "main")["lastState"]["terminated"]
    assert when(t["finishedAt"]) - when(t["startedAt"]) >= 1  # two failures, a second apart


def test_http_request_as_the_kubelet_makes_it(reprise):
    with http_peer() as (port, requests):
        headers = [{"name": "X-Probe", "value": "yes"}, {"name": "Host", "value": "web.example"}]
        probe = {"httpGet": {"host": "127.0.0.1", "path": "/a?b=c", "port": port, "httpHeaders": headers}, **FAST}
        run = reprise.run_pod(pod(container(readinessProbe=probe)), "--until=Ready", "--timeout=30")
    assert run.returncode == 0, run.explain()
    path, got = requests[0]
    assert path == "/a?b=c"
    assert (got["User-Agent"], got["Accept"], got["X-Probe"], got["Host"]) == ("kube-probe/1.35", "*/*", "yes", "web.example")


@pytest.mark.parametrize("code, headers, ready", [(399, (), True), (302, [("Location", "http://elsewhere.invalid/")], True),
                                                  (400, (), False), (503, (), False)])
def test_http_codes(reprise, code, headers, ready):
    with http_peer(code, headers) as (port, requests):
        probe = {"httpGet": {"host": "127.0.0.1", "path": "/", "port": port}, **FAST}
        run = reprise.run_pod(pod(container(readinessProbe=probe)), "--until=Ready", "--timeout=4" if not ready else "--timeout=30")
    assert requests
    assert run.returncode == (0 if ready else 124), run.explain()


def test_tcp_socket(reprise):
    probe = {"tcpSocket": {"port": 9000}, **FAST}
    server = "sleep 2; exec nc -ll -p 9000 -e true"
    run = reprise.start_pod(pod(container(script=server, readinessProbe=probe)))
    first = run.wait_for(is_running, 30, "main to run")
    assert not is_ready(first)
    run.wait_for(is_ready, 15, "readiness")


def test_grpc(reprise):
    with GrpcHealth() as peer:
        probe = {"grpc": {"port": peer.port}, "failureThreshold": 1, **FAST}
        run = reprise.start_pod(pod(container(readinessProbe=probe), hostNetwork=True))
        run.wait_for(is_ready, 30, "readiness")
        peer.status = 2
        run.wait_for(lambda _: not is_ready(run.pod), 10, "unreadiness")
        assert peer.checks >= 2
        run.interrupt()
        run.wait(20)


def test_success_threshold_and_initial_delay(reprise):
    probe = {"exec": {"command": ["true"]}, "initialDelaySeconds": 2, "successThreshold": 3, **FAST}
    run = reprise.start_pod(pod(container(readinessProbe=probe)))
    first = run.wait_for(is_running, 30, "main to run")
    began = time.monotonic()
    assert not is_ready(first)
    run.wait_for(is_ready, 20, "readiness")
    assert time.monotonic() - began >= 3.0  # 2 s of delay, then three successes a second apart


def test_failure_threshold(reprise, folder):
    spec, mount = shared(folder)
    probe = {"exec": {"command": ["sh", "-c", "echo probe >> /shared/probes; false"]}, "failureThreshold": 3, **FAST}
    run = reprise.start_pod(pod(container(livenessProbe=probe, **mount), restartPolicy="Always", **spec))
    run.wait_for(lambda p: "terminated" in status(p, "main")["lastState"] or "terminated" in status(p, "main")["state"], 20,
                 "the kill by liveness")
    with open(f"{folder}/probes") as f:
        assert len(f.readlines()) >= 3


def test_startup_probe_gates_the_others(reprise, folder):
    spec, mount = shared(folder)
    startup = {"exec": {"command": ["test", "-e", "/shared/up"]}, "failureThreshold": 30, **FAST}
    liveness = {"exec": {"command": ["sh", "-c", "echo alive >> /shared/liveness"]}, **FAST}
    run = reprise.start_pod(pod(container(startupProbe=startup, livenessProbe=liveness, **mount), **spec))
    first = run.wait_for(is_running, 30, "main to run")
    assert status(first, "main")["started"] is False and not is_ready(first)
    time.sleep(2.2)
    assert not os.path.exists(f"{folder}/liveness")
    open(f"{folder}/up", "w").close()
    p = run.wait_for(lambda p: status(p, "main").get("started") is True, 10, "started")
    run.wait_for(is_ready, 10, "readiness")
    assert status(p, "main")["restartCount"] == 0
    deadline = time.monotonic() + 5
    while not os.path.exists(f"{folder}/liveness") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert os.path.exists(f"{folder}/liveness")


def test_startup_probe_of_a_sidecar_gates_the_next(reprise, folder):
    spec, mount = shared(folder)
    probe = {"exec": {"command": ["test", "-e", "/shared/up"]}, "failureThreshold": 30, **FAST}
    side = container("side", "sleep 2.5; touch /shared/up; exec sleep 1000", restartPolicy="Always", startupProbe=probe, **mount)
    main = container(script="test -e /shared/up", **mount)
    run = reprise.run_pod(pod(main, init=[side], **spec), timeout=60)
    assert run.returncode == 0, run.explain()
    assert run.pod["status"]["phase"] == "Succeeded"  # main found the file: it had waited


def test_startup_failure_ends_the_pod(reprise):
    probe = {"exec": {"command": ["false"]}, "failureThreshold": 2, **FAST}
    run = reprise.run_pod(pod(container(startupProbe=probe)), timeout=60)
    assert run.returncode == 1, run.explain()
    assert run.pod["status"]["phase"] == "Failed"
    assert status(run.pod, "main")["state"]["terminated"]["exitCode"] in (137, 143)


def test_liveness_kill_has_a_grace_of_its_own(reprise):
    probe = {"exec": {"command": ["false"]}, "failureThreshold": 1, "terminationGracePeriodSeconds": 1, **FAST}
    stubborn = "trap '' TERM; while :; do sleep 0.1; done"
    run = reprise.start_pod(pod(container(script=stubborn, livenessProbe=probe), restartPolicy="Always", grace=60))
    p = run.wait_for(lambda p: status(p, "main")["restartCount"] >= 1, 30, "the restart")
    t = status(p, "main")["lastState"]["terminated"]
    assert t["exitCode"] == 137
    assert when(t["finishedAt"]) - when(t["startedAt"]) < 15  # not the Pod's 60 s
    run.interrupt()  # two signals that wait together are one: let the first arrive
    run.wait_for(lambda p: p["metadata"].get("deletionTimestamp"), 10, "the deletion")
    run.interrupt()
    run.wait(30)


def test_a_pod_is_ready_only_when_all_its_containers_are(reprise):
    run = reprise.start_pod(pod(container(), container("slow", readinessProbe=NEVER_READY)))
    p = run.wait_for(lambda p: is_running(p, "main", "slow"), 30, "both to run")
    time.sleep(2)
    p = run.pod
    assert status(p, "main")["ready"] is True and status(p, "slow")["ready"] is False
    assert condition(p, "ContainersReady") == "False" and condition(p, "Ready") == "False"


def test_probes_count_from_zero_after_an_in_place_restart(reprise, folder):
    spec, mount = shared(folder)
    rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]
    once = "[ -e /shared/once ] && exec sleep 1000; sleep 3; touch /shared/once; exit 88"
    probe = {"exec": {"command": ["true"]}, "initialDelaySeconds": 2, **FAST}
    run = reprise.start_pod(pod(container(readinessProbe=probe), container("source", once, restartPolicyRules=rules,
                                                                           restartPolicy="Never", **mount), **spec))
    run.wait_for(is_ready, 30, "readiness before")
    again = run.wait_for(lambda p: status(p, "main")["restartCount"] == 1 and "running" in status(p, "main")["state"], 30, "the restart")
    assert status(again, "main")["ready"] is False
    run.wait_for(lambda p: status(p, "main")["restartCount"] == 1 and is_ready(p), 30, "readiness after")
