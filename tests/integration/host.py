"""What this machine sees of a Pod, through either runtime: its processes, its sandbox, its helper process.

`containerd` is the tests' own when the runtime is CRI (conftest.py sets it), else None: the embedded runtime."""
import os
import shutil
import signal
import socket
import threading
import time

from leaks import read

containerd = None


def sanitized(pid):
    """A sanitized build keeps what was freed: its memory says nothing."""
    return "libasan" in read(f"/proc/{pid}/maps")


def statuses(pod):
    s = pod["status"]
    return {c["name"]: c for c in s.get("initContainerStatuses", []) + s.get("containerStatuses", [])}


def _pids():
    return filter(str.isdigit, os.listdir("/proc"))


def sandboxes_of(pod):
    """CRI only: the Pod's sandboxes as the runtime lists them, newest first."""
    uid = pod["metadata"]["uid"]
    return sorted((s for s in containerd.cri.sandboxes() if s.metadata.uid == uid), key=lambda s: -s.created_at)


def sandbox_id(pod):
    """CRI only: of the one sandbox that is ready."""
    ready = [s.id for s in sandboxes_of(pod) if s.state == containerd.cri.pb.SANDBOX_READY]
    assert len(ready) == 1, f"{len(ready)} sandboxes are ready"
    return ready[0]


def processes_of(pod):
    """pid -> network namespace of all of the Pod's processes, the sandbox's too. Each is in a cgroup below the Pod's."""
    marks, found = {pod["metadata"]["uid"]}, {}
    if containerd:
        marks |= {s.id for s in sandboxes_of(pod)}
    for pid in _pids():
        if any(mark in read(f"/proc/{pid}/cgroup") for mark in marks):
            try:
                found[pid] = os.readlink(f"/proc/{pid}/ns/net")
            except OSError:
                pass
    return found


def containers_of(pod):
    """The first process of each container of the Pod: pid 1 of its pid namespace."""
    ids = [c["containerID"].split("//")[-1] for c in statuses(pod).values() if c.get("containerID")]
    found = set()
    for pid in _pids():
        group = read(f"/proc/{pid}/cgroup")
        if any(i in group for i in ids):
            line = next((x for x in read(f"/proc/{pid}/status").splitlines() if x.startswith("NSpid:")), "")
            if line.split()[-1:] == ["1"]:
                found.add(pid)
    return found


def pause_of(pod):
    """The process that holds the sandbox."""
    if containerd:
        return containerd.cri.sandbox_info(sandbox_id(pod))["pid"]
    net = set(processes_of(pod).values())
    for pid in _pids():
        try:
            if read(f"/proc/{pid}/comm").strip() == "reprise-pause" and os.readlink(f"/proc/{pid}/ns/net") in net:
                return int(pid)
        except OSError:
            pass
    raise AssertionError("no sandbox process found")


def shim_of(pod):
    """The process that is the parent of the Pod's containers."""
    if containerd:
        return next(pid for pid, ident in containerd.shims().items() if ident == sandbox_id(pod))
    # The oldest: a child of the shim has its command line until it has exec'd.
    uid, found = pod["metadata"]["uid"], []
    for pid in _pids():
        command, stat = read(f"/proc/{pid}/cmdline"), read(f"/proc/{pid}/stat")
        if "reprise-shim" in command and uid in command and stat:
            found.append((int(stat.rsplit(")", 1)[1].split()[19]), int(pid)))
    assert found, "no shim found"
    return min(found)[1]


def cgroups_of(pod):
    """Every cgroup directory that bears the Pod's UID, and those below it."""
    uid, found = pod["metadata"]["uid"], set()
    for top, dirs, _ in os.walk("/sys/fs/cgroup"):
        found |= {os.path.join(top, d) for d in dirs if uid in top or uid in d}
    return found


def gone_with_the_machine(pod, run_dir):
    """What a reboot leaves of a Pod of the embedded runtime: no process, and no run directory."""
    for pid in [shim_of(pod), pause_of(pod), *processes_of(pod)]:
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    time.sleep(0.5)
    shutil.rmtree(run_dir, ignore_errors=True)


def echo(port, data):
    """What a server behind a local port gives back of <data>, which is sent while it comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        writer = threading.Thread(target=s.sendall, args=(data,))
        writer.start()
        back = b""
        while len(back) < len(data) and (part := s.recv(1 << 18)):
            back += part
        writer.join()
    return back
