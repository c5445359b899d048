"""What a test may leave behind on this machine: nothing.

`take()` gives a picture of everything that could leak, `diff()` names what a later picture has more. Used around each
integration test (integration/conftest.py) and around the whole run (tests/run)."""
import os
import re
import subprocess


def read(path):
    """A file's text, "" if it cannot be read: processes and cgroups go away at any time."""
    try:
        with open(path, "rb") as f:
            return f.read().decode(errors="replace")
    except OSError:
        return ""


def _processes():
    """Ours, by name or by cgroup, as "pid start-time name": the start time tells a reused pid apart."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        stat = read(f"/proc/{pid}/stat")
        if not stat:
            continue
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        fields = stat[stat.rindex(")") + 2 :].split()
        ours = name.startswith("reprise") or name in ("crun", "runc", "runc:[2:INIT]") or "libcrun" in name
        cgroup = read(f"/proc/{pid}/cgroup")
        ours = ours or "/reprise/" in cgroup
        command = read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()[:300]
        ours = ours or (name.startswith("containerd") and "/reprise-" in command)  # the tests' own: containerd.py
        if ours and fields[0] != "Z":
            pod = re.search(r"/reprise/(\S+)", cgroup)
            found.add(f"{pid} {fields[19]} {name} ({command}) {pod.group(1) if pod else ''}")
    return found


def _zombies():
    """Zombies of ours whose parent is alive and does not reap: only those named like our programs."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        stat = read(f"/proc/{pid}/stat")
        if stat and stat[stat.rindex(")") + 2] == "Z" and stat[stat.index("(") + 1 :].startswith("reprise"):
            parent = stat[stat.rindex(")") + 2 :].split()[1]
            if parent != "1":  # a pid 1 that does not reap is the machine's, not ours
                found.add(f"{pid} of {parent}")
    return found


def _mounts():
    """By mount point, in the test's own mount namespace and in those of all other processes of ours."""
    return {line.split()[4] for line in read("/proc/self/mountinfo").splitlines() if "reprise" in line}


def _network_namespaces():
    named = {f"/run/netns/{n}" for n in (os.listdir("/run/netns") if os.path.isdir("/run/netns") else [])}
    held = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            held.add(os.readlink(f"/proc/{pid}/ns/net"))
        except OSError:
            pass
    return named | held


def _cgroups():
    found = set()
    for top, dirs, _ in os.walk("/sys/fs/cgroup"):
        if "reprise" in os.path.basename(top) or "/reprise/" in top + "/":
            # The node's own top directory stays, as the kubelet's kubepods does; Pods below it may not.
            if os.path.basename(top) != "reprise":
                found.add(top)
        if top.count("/") > 9:
            dirs.clear()
    return found


def _links():
    """Interfaces of this network namespace; CNI bridges stay by design, veths may not."""
    return {n for n in os.listdir("/sys/class/net") if n.startswith("veth")}


def _nat_rules():
    try:
        out = subprocess.run(["iptables-save", "-t", "nat"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return set()
    # One chain for each container of bridge's ipMasq and portmap: CNI-<hash>, CNI-DN-<hash>.
    return set(re.findall(r"^:(CNI-(?:DN-|SN-)?[0-9a-f]{20,})", out, re.M))


def _leases():
    found = set()
    for top, _, files in os.walk("/var/lib/cni/networks"):
        found |= {f"{top}/{name}" for name in files if re.fullmatch(r"[0-9a-f.:]+", name)}
    # libcni's memory of what is attached, for containerd; the embedded runtime's is below its root.
    results = "/var/lib/cni/results"
    return found | {f"{results}/{name}" for name in (os.listdir(results) if os.path.isdir(results) else [])}


def _run_dir():
    found = set()
    for base in ("/run/reprise", "/var/lib/reprise/pods", "/var/log/pods", "/run/containerd/s"):
        if os.path.isdir(base):
            found |= {f"{base}/{name}" for name in os.listdir(base)}
    return found - {"/run/reprise/networks"}  # of every run, the first one makes it; what lies in it would be another's


KINDS = {
    "process": _processes,
    "zombie": _zombies,
    "mount": _mounts,
    "network namespace": _network_namespaces,
    "cgroup": _cgroups,
    "interface": _links,
    "NAT chain": _nat_rules,
    "address lease": _leases,
    "run directory": _run_dir,
}


def take():
    return {kind: look() for kind, look in KINDS.items()}


def diff(before, after, mine=None):
    """A line for each thing that <after> has and <before> has not. On a machine that others use at the same time,
    REPRISE_SHARED_HOST=1 keeps only what bears one of the marks <mine> (a directory, a UID)."""
    lines = [f"{kind} left behind: {item}" for kind in KINDS for item in sorted(after[kind] - before[kind])]
    if mine is None or not os.environ.get("REPRISE_SHARED_HOST"):
        return lines
    return [line for line in lines if any(mark in line for mark in mine)]
