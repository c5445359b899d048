"""Every field of the security contexts, set in a Pod and seen from inside its container. What the fields mean one by one is
test_security.py's (both OCI runtimes); here the whole way from the manifest is."""
import json
import os
import time

import pytest

IMAGE = "localhost/reprise-examples:1"
STATUS = "cat /proc/self/status"
DEFAULT_CAPS = 0xa80425fb


def manifest(command, sec=None, pod=None, name="sec", volumes=(), mounts=(), **container):
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, **(pod or {}), "volumes": list(volumes),
            "containers": [{"name": "main", "image": IMAGE, "command": ["sh", "-c", command],
                            "volumeMounts": list(mounts), **({"securityContext": sec} if sec is not None else {}), **container}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}, indent=1) + "\n"


def own_caps():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1], 16) for line in f if line.startswith("CapBnd"))


def fields(text):
    return {k: v.strip() for k, _, v in (line.partition(":") for line in text.splitlines())}


@pytest.fixture
def inside(reprise):
    """Runs a command in a Pod to its good end; gives what it wrote."""
    def call(command, **kw):
        run = reprise.run_pod(manifest(command, **kw), "--until=Succeeded", "--keep", timeout=60)
        assert run.returncode == 0, run.explain()
        deadline = time.monotonic() + 5
        while not (text := reprise.log(run.pod, "main")) and time.monotonic() < deadline:
            time.sleep(0.05)  # output follows the end by a moment
        reprise.delete(run.pod)
        return text
    return call


@pytest.fixture
def waiting(reprise):
    """The waiting state of the container of a Pod that cannot start."""
    def call(command="true", **kw):
        pod = reprise.start_pod(manifest(command, **kw))

        def state(p):
            return next((c["state"].get("waiting") or {} for c in p["status"].get("containerStatuses", [])), {})
        seen = pod.wait_for(lambda p: state(p).get("reason", "").startswith("CreateContainer"), timeout=30, what="a refusal")
        pod.interrupt()
        pod.wait(30)
        return state(seen)
    return call


# --- who ------------------------------------------------------------------------------------------------------------

# 1234: a number that the image's passwd does not know; 1000 has groups of its own there.
@pytest.mark.parametrize("sec, pod_sec, uid, gid, groups", [
    ({"runAsUser": 1234}, {}, 1234, 0, {0}),
    ({"runAsUser": 1234, "runAsGroup": 3000}, {}, 1234, 3000, {3000}),
    ({}, {"runAsUser": 1234, "runAsGroup": 3000, "fsGroup": 2000, "supplementalGroups": [4000]}, 1234, 3000, {2000, 3000, 4000}),
    ({"runAsUser": 7}, {"runAsUser": 1234, "runAsGroup": 3000}, 7, 3000, {3000}),
    ({"runAsUser": 7, "runAsNonRoot": True}, {"supplementalGroups": [9], "supplementalGroupsPolicy": "Strict"}, 7, 0, {0, 9}),
])
def test_users_and_groups(inside, sec, pod_sec, uid, gid, groups):
    s = fields(inside(STATUS, sec=sec, pod={"securityContext": pod_sec}))
    assert (s["Uid"].split(), s["Gid"].split()) == ([str(uid)] * 4, [str(gid)] * 4)
    assert set(map(int, s["Groups"].split())) == groups


@pytest.mark.parametrize("where", ["container", "pod"])
def test_run_as_non_root_refuses_root(waiting, where):
    kw = {"sec": {"runAsNonRoot": True}} if where == "container" else {"pod": {"securityContext": {"runAsNonRoot": True}}}
    state = waiting(**kw)
    assert state["reason"] == "CreateContainerConfigError"
    assert "container has runAsNonRoot and image will run as root" in state["message"]


def test_fs_group_owns_volumes(inside):
    out = inside("ls -ldn /data | awk '{print $4}'; touch /data/x && ls -ln /data/x | awk '{print $4}'",
                 sec={"runAsUser": 1000, "runAsGroup": 3000}, pod={"securityContext": {"fsGroup": 2000}},
                 volumes=[{"name": "data", "emptyDir": {}}], mounts=[{"name": "data", "mountPath": "/data"}])
    assert out.split() == ["2000", "2000"]


# --- what it may ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("caps, want", [
    (None, DEFAULT_CAPS),
    ({"drop": ["ALL"]}, 0),
    ({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, 1 << 10),
    ({"add": ["NET_ADMIN"], "drop": ["MKNOD"]}, (DEFAULT_CAPS | 1 << 12) & ~(1 << 27)),
])
def test_capabilities(inside, caps, want):
    s = fields(inside(STATUS, sec={"capabilities": caps} if caps else {}))
    assert int(s["CapBnd"], 16) == int(s["CapEff"], 16) == want & own_caps()


def test_privileged(inside):
    s = fields(inside("cat /proc/self/status; grep -c ' /proc/' /proc/mounts | sed s/^/Masks:/; ls /dev | wc -l | sed s/^/Devices:/",
                      sec={"privileged": True}))
    assert int(s["CapEff"], 16) == own_caps() and s["Masks"] == "0" and int(s["Devices"]) > 20


@pytest.mark.parametrize("allow, nnp", [(None, "0"), (True, "0"), (False, "1")])
def test_allow_privilege_escalation(inside, allow, nnp):
    sec = {} if allow is None else {"allowPrivilegeEscalation": allow}
    assert fields(inside(STATUS, sec=sec))["NoNewPrivs"] == nnp


def test_read_only_root_filesystem(inside):
    out = inside("touch /x 2>&1; touch /data/x && echo volume; touch /dev/termination-log && echo log",
                 sec={"readOnlyRootFilesystem": True}, volumes=[{"name": "data", "emptyDir": {}}],
                 mounts=[{"name": "data", "mountPath": "/data"}])
    assert "Read-only file system" in out and "volume" in out and "log" in out


def test_masked_and_read_only_proc(inside):
    out = inside("wc -c < /proc/timer_list; (echo 1 > /proc/sys/kernel/ns_last_pid) 2>&1; cat /proc/keys | wc -c")
    assert "Read-only file system" in out and out.split()[0] == "0" and out.split()[-1] == "0"


def test_default_devices(inside):
    out = inside("ls /dev; mknod /tmp/d c 1 11; head -c 1 /tmp/d 2>&1; true").split()
    assert {"null", "zero", "full", "random", "urandom", "tty", "shm", "pts", "mqueue"} <= set(out)
    assert "permitted" in out  # /dev/kmsg is not in the device cgroup


# --- seccomp, AppArmor ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sec, pod_sec, mode", [
    ({}, {}, "0"),
    ({"seccompProfile": {"type": "RuntimeDefault"}}, {}, "2"),
    ({}, {"seccompProfile": {"type": "RuntimeDefault"}}, "2"),
    ({"seccompProfile": {"type": "Unconfined"}}, {"seccompProfile": {"type": "RuntimeDefault"}}, "0"),
])
def test_seccomp(inside, sec, pod_sec, mode):
    out = inside("cat /proc/self/status; unshare -U true 2>&1 && echo UNSHARED; true", sec=sec, pod={"securityContext": pod_sec})
    assert fields(out)["Seccomp"] == mode and ("UNSHARED" in out) == (mode == "0")


def test_seccomp_localhost(reprise):
    folder = os.path.join(reprise.root, "seccomp", "profiles")
    os.makedirs(folder)
    with open(os.path.join(folder, "no-mkdir.json"), "w") as f:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}, f)
    profile = {"type": "Localhost", "localhostProfile": "profiles/no-mkdir.json"}
    run = reprise.run_pod(manifest("mkdir /tmp/x 2>&1; true", sec={"seccompProfile": profile}), "--until=Succeeded",
                          "--keep")
    assert run.returncode == 0, run.explain()
    text = reprise.log(run.pod, "main")
    reprise.delete(run.pod)
    assert "No space left on device" in text


def test_seccomp_localhost_missing(waiting):
    state = waiting(sec={"seccompProfile": {"type": "Localhost", "localhostProfile": "none.json"}})
    assert state["reason"] == "CreateContainerError" and "none.json" in state["message"]


def test_app_armor_localhost_without_app_armor(waiting):
    if os.path.exists("/sys/kernel/security/apparmor"):
        with open("/sys/module/apparmor/parameters/enabled") as f:
            if f.read().startswith("Y"):
                return  # this machine has it: then "profile not found" is the answer, of the same reason
    state = waiting(sec={"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}})
    assert state["reason"] == "CreateContainerError" and "apparmor" in state["message"].lower()


# --- namespaces, sysctls, devices -------------------------------------------------------------------------------------

def test_sysctls(inside):
    out = inside("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced",
                 pod={"securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "99"},
                                                      {"name": "kernel.shm_rmid_forced", "value": "1"}]}})
    assert out.split() == ["99", "1"]


@pytest.mark.parametrize("pod, same", [
    ({}, set()),
    ({"hostNetwork": True}, {"net"}),
    ({"hostPID": True}, {"pid"}),
    ({"hostIPC": True}, {"ipc"}),
])
def test_host_namespaces(inside, pod, same):
    out = inside("for n in net pid ipc mnt; do readlink /proc/self/ns/$n; done", pod=pod)
    host = {os.readlink(f"/proc/self/ns/{n}") for n in ("net", "pid", "ipc", "mnt")}
    assert {line.split(":")[0] for line in out.split() if line in host} == same


def test_resources_reach_the_container(inside):
    out = inside("cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max",
                 resources={"limits": {"memory": "64Mi", "cpu": "500m"}})
    assert out.split() == [str(64 << 20)]


@pytest.mark.containerd2("containerd 1.6 has no CDI")
def test_device_mount_by_cdi(reprise):
    """/etc/cdi is the host's: only what refuses is tried here, the edits are test_security.py's."""
    text = json.loads(manifest("true"))
    text["metadata"]["annotations"] = {"cdi.k8s.io/test": "reprise.invalid/device=none"}
    pod = reprise.start_pod(json.dumps(text) + "\n\n")
    seen = pod.wait_for(lambda p: "unresolvable CDI devices reprise.invalid/device=none" in json.dumps(p["status"]), timeout=30)
    assert seen["status"]["phase"] == "Pending"
    pod.interrupt()
    pod.wait(30)
