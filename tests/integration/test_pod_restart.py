"""The in-place restart with real containers: what stays, what starts anew, and every disturbance that issue 2 names."""
import json
import os
import re
import subprocess
import time

import pytest

from host import containers_of, pause_of, processes_of, shim_of, statuses

IMAGE = "localhost/reprise-examples:1"
ALL = "restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [88]}}]"


def worker(watch="sleep 0.5; [ $(wc -l < /work/runs) -gt 2 ] && sleep 1000; exit 88", main="exec sleep 1000", name="worker",
           extra="", setup="echo run >> /work/runs", grace=0):
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: {grace}
{extra}
  volumes: [{{name: work, emptyDir: {{}}}}]
  initContainers:
  - name: setup
    image: {IMAGE}
    command: [sh, -c, {json.dumps(setup)}]
    volumeMounts: [{{name: work, mountPath: /work}}]
  - name: watch
    image: {IMAGE}
    restartPolicy: Always
    {ALL}
    command: [sh, -c, {json.dumps(watch)}]
    volumeMounts: [{{name: work, mountPath: /work}}]
  containers:
  - name: main
    image: {IMAGE}
    command: [sh, -c, {json.dumps(main)}]
    volumeMounts: [{{name: work, mountPath: /work}}]
"""


def condition(pod, kind):
    return next((c for c in pod["status"].get("conditions", []) if c["type"] == kind), {})


def running(pod):
    return pod["status"].get("phase") == "Running" and all(
        "running" in c["state"] for c in pod["status"].get("containerStatuses", [{"state": {}}]))


def restarts(n):
    return lambda pod: running(pod) and all(c["restartCount"] >= n for c in statuses(pod).values())


def test_what_stays_and_what_starts_anew(reprise):
    pod = reprise.start_pod(worker())
    first = pod.wait_for(running, 30, "the Pod to run")
    net = set(processes_of(first).values())
    assert len(net) == 1
    last = pod.wait_for(restarts(2), 30, "two restarts")
    assert set(processes_of(last).values()) == net
    assert last["metadata"]["uid"] == first["metadata"]["uid"]
    assert last["status"]["podIP"] == first["status"]["podIP"]
    for name, c in statuses(last).items():
        assert c["restartCount"] == 2, name
        assert c["containerID"] != statuses(first)[name]["containerID"], name
    # The truth is kept: the source's own code, the others killed by us, the init container's good end.
    ended = {n: c["lastState"]["terminated"] for n, c in statuses(last).items()}
    assert ended["watch"]["exitCode"] == 88
    assert (ended["main"]["exitCode"], ended["main"]["reason"]) == (137, "RestartingAllContainers")
    assert ended["setup"]["exitCode"] == 0
    for name, t in ended.items():
        assert t["containerID"] and t["startedAt"] and t["finishedAt"], name
    seen = [condition(e["object"], "AllContainersRestarting") for e in pod.events]
    true = [c for c in seen if c.get("status") == "True"]
    assert true and all(c["reason"] == "RestartAllContainersStarted" for c in true)
    assert all("watch" in c["message"] and "88" in c["message"] for c in true)
    assert condition(last, "AllContainersRestarting")["status"] == "False"
    assert reprise.log(last, "setup") == "" and os.path.exists(
        os.path.join(reprise.log_dir, f"default_worker_{last['metadata']['uid']}", "main", "0.log"))
    pod.interrupt()
    assert pod.wait().returncode == 130


def test_until_restarts_and_exit_status(reprise):
    run = reprise.run_pod(worker(), "--until=restarts=2", "--timeout=40")
    assert run.returncode == 0, run.explain()
    assert max(c["restartCount"] for c in statuses(run.pod).values()) == 2


@pytest.mark.parametrize("source", ["init", "sidecar", "regular"])
def test_trigger_from_each_kind_of_container(reprise, source):
    once = "[ -e /work/once ] || {{ touch /work/once; exit 88; }}; {}"
    rule = {"init": "", "sidecar": "", "regular": ""}
    rule[source] = ALL
    manifest = f"""
apiVersion: v1
kind: Pod
metadata: {{name: t}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  volumes: [{{name: work, emptyDir: {{}}}}]
  initContainers:
  - {{name: init, image: "{IMAGE}", restartPolicy: Never, {rule['init'] + ',' if rule['init'] else ''} volumeMounts: [{{name: work, mountPath: /work}}],
     command: [sh, -c, "{once.format('true') if source == 'init' else 'true'}"]}}
  - {{name: sidecar, image: "{IMAGE}", restartPolicy: Always, {rule['sidecar'] + ',' if rule['sidecar'] else ''} volumeMounts: [{{name: work, mountPath: /work}}],
     command: [sh, -c, "{once.format('exec sleep 1000') if source == 'sidecar' else 'exec sleep 1000'}"]}}
  containers:
  - {{name: regular, image: "{IMAGE}", restartPolicy: Never, {rule['regular'] + ',' if rule['regular'] else ''} volumeMounts: [{{name: work, mountPath: /work}}],
     command: [sh, -c, "{once.format('exec sleep 1000') if source == 'regular' else 'exec sleep 1000'}"]}}
"""
    run = reprise.run_pod(manifest, "--until=restarts=1", "--timeout=40", "--restart-backoff=off")
    assert run.returncode == 0, run.explain()
    done = statuses(run.pod)
    assert done[source]["restartCount"] == 1
    assert all(c["restartCount"] <= 1 for c in done.values())


def test_second_trigger_during_a_restart_is_one_restart(reprise):
    """Two containers exit with the code at the same moment: one restart."""
    both = f"""
apiVersion: v1
kind: Pod
metadata: {{name: two}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  volumes: [{{name: work, emptyDir: {{}}}}]
  initContainers:
  - {{name: count, image: "{IMAGE}", command: [sh, -c, "echo x >> /work/runs"], volumeMounts: [{{name: work, mountPath: /work}}]}}
  containers:
""" + "".join(f"""
  - name: {n}
    image: {IMAGE}
    restartPolicy: Never
    {ALL}
    volumeMounts: [{{name: work, mountPath: /work}}]
    command: [sh, -c, "if [ $(wc -l < /work/runs) -gt 1 ]; then exec sleep 1000; fi; while [ ! -e /work/go ]; do {'sleep 0.1' if n == 'b' else 'touch /work/go'}; done; exit 88"]
""" for n in ("a", "b"))
    run = reprise.run_pod(both, "--until=restarts=1", "--timeout=40")
    assert run.returncode == 0, run.explain()
    assert {c["restartCount"] for c in statuses(run.pod).values()} == {1}


def test_deletion_during_a_restart(reprise):
    pod = reprise.start_pod(worker(setup="echo run >> /work/runs; sleep 3", grace=1))
    pod.wait_for(lambda p: condition(p, "AllContainersRestarting").get("status") == "True", 30, "a restart to begin")
    pod.interrupt()
    done = pod.wait(30)
    assert done.returncode == 130, done.explain()
    assert done.events[-1]["type"] == "DELETED"


def test_init_container_that_fails_after_a_restart(reprise):
    run = reprise.run_pod(worker(setup="echo run >> /work/runs; [ $(wc -l < /work/runs) -lt 2 ]"), "--timeout=40")
    assert run.returncode == 1, run.explain()
    assert run.pod["status"]["phase"] == "Failed"
    assert statuses(run.pod)["setup"]["state"]["terminated"]["exitCode"] == 1
    assert condition(run.pod, "AllContainersRestarting").get("reason") == "PodFailed"


def test_deadline_during_a_restart(reprise):
    run = reprise.run_pod(worker(setup="echo run >> /work/runs; [ $(wc -l < /work/runs) -lt 2 ] || sleep 100",
                                 extra="  activeDeadlineSeconds: 3"), "--timeout=40")
    assert run.returncode == 1, run.explain()
    assert (run.pod["status"]["phase"], run.pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")


def test_sandbox_that_dies(reprise):
    pod = reprise.start_pod(worker(watch="exec sleep 1000").replace("restartPolicy: Never\n  term", "restartPolicy: Always\n  term"))
    first = pod.wait_for(running, 30, "the Pod to run")
    os.kill(pause_of(first), 9)
    pod.wait_for(restarts(1), 40, "the Pod to run again in a new sandbox")
    pod.interrupt()
    assert pod.wait(30).returncode == 130


def test_no_prestop_hook_at_a_restart_but_at_a_deletion(reprise):
    manifest = worker().replace("  - name: main\n", """  - name: main
    lifecycle: {preStop: {exec: {command: [sh, -c, "echo stopped >> /work/stops"]}}}
""").replace('name: worker', 'name: prestop')
    manifest = manifest.replace("emptyDir: {}", f"hostPath: {{path: {reprise.folder}/work, type: DirectoryOrCreate}}").replace(
        "terminationGracePeriodSeconds: 0", "terminationGracePeriodSeconds: 3")
    run = reprise.run_pod(manifest, "--until=restarts=2", "--timeout=40")
    assert run.returncode == 0, run.explain()
    with open(f"{reprise.folder}/work/stops") as f:
        assert f.read() == "stopped\n"


def test_backoff_holds_a_restart_without_progress(reprise):
    """The source exits before the Pod was initialized: Kubernetes' numbers apply, scaled by the flag."""
    manifest = f"""
apiVersion: v1
kind: Pod
metadata: {{name: loop}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  initContainers:
  - {{name: bad, image: "{IMAGE}", restartPolicy: Never, {ALL}, command: [sh, -c, "exit 88"]}}
  containers:
  - {{name: main, image: "{IMAGE}", command: [sleep, "1000"]}}
"""
    pod = reprise.start_pod(manifest, "--restart-backoff=3s,6s")
    held = pod.wait_for(lambda p: statuses(p).get("bad", {}).get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff",
                        30, "the back-off")
    assert re.search(r"back-off \d+s restarting", statuses(held)["bad"]["state"]["waiting"]["message"])
    begin = time.monotonic()
    count = statuses(held)["bad"]["restartCount"]
    pod.wait_for(lambda p: statuses(p).get("bad", {}).get("restartCount", 0) > count, 30, "the restart after the back-off")
    assert time.monotonic() - begin > 1
    pod.interrupt()
    assert pod.wait(30).returncode == 130


def open_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.slow
def test_many_restarts_of_ten_containers(reprise):
    """Nothing is left behind and nothing is wrong: counts, ids, descriptors, processes, mounts, cgroups."""
    names = [f"c{i}" for i in range(8)]
    many = 40 if os.environ.get("REPRISE_TEST_RUNTIME") == "cri" else 200  # 0.9 s each over containerd
    manifest = f"""
apiVersion: v1
kind: Pod
metadata: {{name: many}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  volumes: [{{name: work, emptyDir: {{}}}}]
  initContainers:
  - {{name: setup, image: "{IMAGE}", command: [sh, -c, "echo x >> /work/runs; rm -f /work/up-*"], volumeMounts: [{{name: work, mountPath: /work}}]}}
  - name: watch
    image: {IMAGE}
    restartPolicy: Always
    {ALL}
    volumeMounts: [{{name: work, mountPath: /work}}]
    command: [sh, -c, "until [ $(ls /work/up-* 2>/dev/null | wc -l) = 8 ]; do sleep 0.02; done; while [ $(wc -l < /work/runs) = 6 ] && [ ! -e /work/go ]; do sleep 0.05; done; [ $(wc -l < /work/runs) -gt {many} ] && exec sleep 1000; exit 88"]
  containers:
""" + "".join(f"""
  - {{name: {n}, image: "{IMAGE}", command: [sh, -c, "touch /work/up-{n}; exec sleep 1000"], volumeMounts: [{{name: work, mountPath: /work}}]}}
""" for n in names)
    pod = reprise.start_pod(manifest)
    early = pod.wait_for(restarts(5), 120, "five restarts")
    shim, agent = shim_of(early), pod.process.pid
    time.sleep(2)  # it waits for us here, so this is a quiet Pod as the last one will be
    fds = (open_fds(shim), open_fds(agent))
    mounts = len(open("/proc/self/mountinfo").readlines())
    with open(f"{reprise.root}/pods/{early['metadata']['uid']}/volumes/kubernetes.io~empty-dir/work/go", "w"):
        pass
    last = pod.wait_for(restarts(many), 550, f"{many} restarts")
    assert {c["restartCount"] for c in statuses(last).values()} == {many}
    assert last["metadata"]["uid"] == early["metadata"]["uid"] and last["status"]["podIP"] == early["status"]["podIP"]
    assert shim_of(last) == shim
    time.sleep(2)  # what is removed off the critical path is gone now
    assert open_fds(shim) <= fds[0] + 4 and open_fds(agent) <= fds[1] + 4
    assert len(open("/proc/self/mountinfo").readlines()) <= mounts + 2
    assert len(containers_of(last)) == 9
    cgroups = [d for top, dirs, _ in os.walk("/sys/fs/cgroup") for d in dirs if last["metadata"]["uid"] in top]
    assert len(set(cgroups)) <= 22, cgroups  # ten that run, ten that are prepared
    assert all(t.get("exitCode") in (0, 88, 137) for e in pod.events for c in statuses(e["object"]).values()
               for t in [c.get("lastState", {}).get("terminated", {"exitCode": 0})])
    pod.interrupt()
    assert pod.wait(30).returncode == 130


def eventually(look, want, seconds=5):
    """What is seen when it is as wanted, else the last look: output follows the status by a moment."""
    deadline = time.monotonic() + seconds
    while look() != want and time.monotonic() < deadline:
        time.sleep(0.05)
    return look()


def test_logs_of_the_attempt_before_can_be_read(reprise):
    run = reprise.start_pod(worker(main="echo attempt $(wc -l < /work/runs); exec sleep 1000"))
    last = run.wait_for(restarts(2), 30)
    want = ["attempt 1\n", "attempt 2\n", "attempt 3\n"]
    assert eventually(lambda: [reprise.log(last, "main", n) for n in (0, 1, 2)], want) == want
    run.interrupt()
    run.wait(30)


def test_ephemeral_volumes_and_writable_layer(reprise):
    """Volumes keep their content; the container's own layer is fresh each time."""
    run = reprise.start_pod(worker(main="ls /mark 2>/dev/null; touch /mark; cat /work/runs | wc -l; exec sleep 1000"))
    last = run.wait_for(restarts(2), 30)
    assert eventually(lambda: reprise.log(last, "main", 2).split(), ["3"]) == ["3"]
    run.interrupt()
    run.wait(30)


@pytest.mark.parametrize("manifest", ["examples/announcement.yaml", "examples/announcement-onexit.yaml"])
def test_announcement(reprise, manifest):
    run = reprise.run_pod(manifest, "--until=restarts=1", "--timeout=60", timeout=90)
    assert run.returncode == 0, run.explain()
    assert run.pod["metadata"]["name"] == "ml-worker-pod"
    assert ("onExit" in run.stderr) == ("onexit" in manifest)


def test_debug_dump_can_be_replayed(reprise):
    pod = reprise.start_pod(worker(watch="exec sleep 1000"))
    pod.wait_for(running, 30)
    dump = reprise.command("debug", "dump", *reprise.node, "worker", check=True)
    facts = json.loads(dump.stdout)
    assert facts["pod"]["metadata"]["name"] == "worker" and len(facts["runtime"]["containers"]) == 3
    plan = subprocess.run([reprise.program, "debug", "plan", "-"], input=dump.stdout, capture_output=True, text=True, timeout=20)
    assert plan.returncode == 0, plan.stderr
    out = json.loads(plan.stdout)
    assert [a for a in out["actions"] if a["do"] not in ("wait", "prepare")] == [] and out["status"]["phase"] == "Running"
    pod.interrupt()
    pod.wait(30)
