"""The tests' own containerd and its audit: what is left in it is seen, and nothing of it is left when it is closed."""
import os
import subprocess

import pytest

import host
import leaks
from conftest import left_behind

pytestmark = pytest.mark.cri
UID = "0815-reprise-test"
POD = {"metadata": {"name": "p", "uid": UID, "namespace": "default"},
       "linux_": {"cgroup_parent": f"/reprise/pod{UID}", "security_context": {"namespace_options": {"pid": 1}}}}


def make(cri):
    """A sandbox with a running container: their ids."""
    sandbox = cri.RunPodSandbox(config=POD).pod_sandbox_id
    container = cri.CreateContainer(pod_sandbox_id=sandbox, sandbox_config=POD, config={
        "metadata": {"name": "main"}, "image": {"image": "localhost/busybox:1"}, "command": ["sleep", "1000"],
        "linux_": {"security_context": {"namespace_options": {"pid": 1}}}}).container_id
    cri.StartContainer(container_id=container)
    return sandbox, container


def test_audit_and_what_the_host_sees(containerd, folder):
    before, had = leaks.take(), containerd.leaks()
    sandbox, container = make(containerd.cri)
    try:
        pod = {"metadata": {"uid": UID}, "status": {"containerStatuses": [{"name": "main", "containerID": f"containerd://{container}"}]}}
        assert host.sandbox_id(pod) == sandbox and host.shim_of(pod) in containerd.shims()
        assert len(host.processes_of(pod)) == 2 and str(host.pause_of(pod)) in host.processes_of(pod)
        assert host.containers_of(pod) == {str(containerd.cri.container_info(container)["pid"])}
        assert host.cgroups_of(pod)
        containerd.kill()
        containerd.start()
        assert host.sandbox_id(pod) == sandbox, "it lives on"
        left = "\n".join(left_behind(before, folder, containerd, had))
        for what in (f"sandbox {sandbox}", f"container {container}", f"shim {host.shim_of(pod)} of", "/netns/cni-", "containerd-shim",
                     f"/{sandbox}/shm", f"/{container}/rootfs", "/leases/", "/var/lib/cni/results/"):
            assert what in left, what
    finally:
        containerd.cri.StopPodSandbox(pod_sandbox_id=sandbox)
        containerd.cri.RemovePodSandbox(pod_sandbox_id=sandbox)
        containerd.remove_cgroup(f"/reprise/pod{UID}/x")
    assert left_behind(before, folder, containerd, had) == []


def test_broken_network(containerd):
    with containerd.broken_network("no net today"), pytest.raises(Exception, match="no net today"):
        containerd.cri.RunPodSandbox(config=POD)
    sandbox, _ = make(containerd.cri)
    containerd.cri.StopPodSandbox(pod_sandbox_id=sandbox)
    containerd.cri.RemovePodSandbox(pod_sandbox_id=sandbox)
    containerd.remove_cgroup(f"/reprise/pod{UID}/x")


@pytest.mark.parametrize("how", ["running", "killed", "broken"])
def test_close_leaves_nothing(containerd, image_layouts, folder, how):
    """A second one beside the first, closed in the middle of things: by itself, restarted for it, and where it cannot be."""
    from containerd import Containerd
    before = leaks.take()
    other = Containerd(f"{folder}/cd", containerd.program)
    try:
        other.start()
        other.import_images(image_layouts)
        make(other.cri)
        if how != "running":
            other.kill()
        if how == "broken":
            with open(f"{other.folder}/config.toml", "a") as f:
                f.write("!\n")
    finally:
        other.close()
    left = [line for line in leaks.diff(before, leaks.take(), [folder, UID]) if f"--config {containerd.folder}/" not in line]
    assert left == []
    assert not os.path.exists(other.folder) and not os.path.exists(f"/sys/class/net/{other.bridge}")
    rules = subprocess.run(["iptables", "-t", "nat", "-S"], capture_output=True, text=True, check=False).stdout
    assert other.network not in rules
