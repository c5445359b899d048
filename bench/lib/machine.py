"""What was measured on: numbers mean nothing without it."""
import os
import platform
import re
import shutil
import subprocess
import time

from . import cgroups


def _first_line(*command):
    if not shutil.which(command[0]):
        return None
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    text = (out.stdout or out.stderr).strip()
    return text.splitlines()[0] if text else "unknown"


def _package(name):
    if not shutil.which("dpkg-query"):
        return None
    out = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name], capture_output=True, text=True, check=False)
    state, _, version = out.stdout.partition(" ")
    return version if state == "installed" else None


def _cpu():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", f.read(), re.M)
    return found.group(1) if found else platform.machine()


def _memory_gib():
    with open("/proc/meminfo", encoding="ascii") as f:
        return round(int(f.readline().split()[1]) / 2**20, 1)


def filesystem(path):
    """Type of the file system that holds <path>: the longest mount point that it lies below."""
    best, kind = "", "unknown"
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            left, _, right = line.partition(" - ")
            point = left.split()[4]
            if len(point) >= len(best) and (path + "/").startswith(point.rstrip("/") + "/"):
                best, kind = point, right.split()[0]
    return kind


def _busy_now(seconds=1.0):
    """Share of the cores that others keep busy, before anything of ours runs: a benchmark beside other work is worth less."""
    before, ticks = busy()
    time.sleep(seconds)
    after, ticks_after = busy()
    return round((after - before) / max(1, ticks_after - ticks), 2)


def describe(nest, build):
    return {
        "system": next((line.split("=")[1].strip().strip('"') for line in open("/etc/os-release", encoding="utf-8")
                        if line.startswith("PRETTY_NAME=")), "unknown"),
        "kernel": platform.release(), "cpu": _cpu(), "cores": os.cpu_count(), "memory_gib": _memory_gib(), "cgroups": cgroups.mode(),
        "hypervisor": "yes" if "hypervisor" in open("/proc/cpuinfo", encoding="utf-8").read() else "no",
        "state_fs": filesystem(nest.state), "run_fs": filesystem(nest.run), "busy_before": _busy_now(),
        "versions": {
            "reprise": _first_line(os.path.join(build, "reprise"), "version"), "crun": _first_line("crun", "--version"),
            "runc": _first_line("runc", "--version"), "podman": _first_line("podman", "--version"), "conmon": _package("conmon"),
            "s6": _package("s6"), "containerd": _first_line("containerd", "--version"),
            "containerd of tools/build-containerd": _first_line(os.path.join(build, "tools/containerd-2/containerd"), "--version"),
        },
    }


def lines(machine):
    """The description as text, a line a fact."""
    v = ", ".join(f"{k}: {t or 'not installed'}" for k, t in machine["versions"].items())
    return [f"{machine['system']}, kernel {machine['kernel']}, {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
            + (", virtual machine" if machine["hypervisor"] == "yes" else ""),
            f"cgroups {machine['cgroups']}; state on {machine['state_fs']}, run directory on {machine['run_fs']}", v]


def busy():
    """(busy, all) time of all CPUs since boot, in ticks."""
    with open("/proc/stat", encoding="ascii") as f:
        fields = [int(x) for x in f.readline().split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def process_ns(pid):
    """CPU time of a process, all its threads, in ns: the scheduler's own count, where /proc/PID/stat counts ticks."""
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
    except OSError:
        pass
    return total


def process_memory(pid):
    """(resident, private) bytes of a process; zeros when it is gone."""
    values = {}
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            for line in f:
                fields = line.split()
                if len(fields) == 3 and fields[2] == "kB":
                    values[fields[0]] = int(fields[1]) * 1024
    except OSError:
        pass
    return values.get("Rss:", 0), values.get("Private_Clean:", 0) + values.get("Private_Dirty:", 0)


def process_io(pid):
    """/proc/PID/io as a dict; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as f:
            return {k: int(v) for k, v in (line.split(": ") for line in f)}
    except OSError:
        return {}
