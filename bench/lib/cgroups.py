"""Control groups of either kind: CPU time and memory of what is measured, and removing what it left.

Paths are relative to the mounts, as in /proc/PID/cgroup."""
import os

_ROOT = "/sys/fs/cgroup"
HIDDEN = os.path.join(_ROOT, "unified/cgroup.controllers")


def mode():
    if os.path.exists(f"{_ROOT}/cgroup.controllers"):
        return "v2"
    return "hybrid" if os.path.isdir(f"{_ROOT}/unified") else "v1"


def hybrid_with_controllers():
    """Whether crun 1.8 refuses this machine: hybrid, and the v2 tree keeps a controller."""
    try:
        with open(HIDDEN, encoding="ascii") as f:
            return mode() == "hybrid" and bool(f.read().split())
    except OSError:
        return False


def _hierarchies():
    if mode() == "v2":
        return [_ROOT]
    return [e.path for e in os.scandir(_ROOT) if e.is_dir() and not e.is_symlink()]


def _of(controller):
    return _ROOT if mode() == "v2" else os.path.join(_ROOT, controller)


def _read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


def _children(path):
    """All cgroups below <path> in any hierarchy, as paths relative to the mounts."""
    found = set()
    for h in _hierarchies():
        for top, _, _ in os.walk(h + path):
            found.add(top[len(h):])
    return found


def _podman():
    return {p for parent in ("/libpod_parent", "/machine.slice") for p in _children(parent)}


def remember_podman(work):
    """Writes down podman's cgroups: podman chooses the names, so what a benchmark leaves of them is what was not there before."""
    with open(os.path.join(work, "podman-cgroups"), "w", encoding="ascii") as f:
        f.write("\n".join(_podman()) + "\n")


def _words(path):
    try:
        return _read(path).split()
    except OSError:
        return []


def podman_since(work):
    return sorted(_podman() - set(_words(os.path.join(work, "podman-cgroups"))))


def noted(work):
    """The cgroups that a benchmark has noted in its directory with note()."""
    return _words(os.path.join(work, "cgroups"))


def note(work, path):
    """Says that <path> belongs to the benchmark of <work>: it is removed with it."""
    with open(os.path.join(work, "cgroups"), "a", encoding="ascii") as f:
        f.write(path + "\n")


def remove(paths):
    """Removes these and all below, deepest first, where they are empty."""
    for path in paths:
        for p in sorted(_children(path), key=len, reverse=True):
            for h in _hierarchies():
                try:
                    os.rmdir(h + p)
                except OSError:
                    pass


class CpuGroup:
    """A cgroup for CPU time. Reading is exact, to the ns on v1 and the µs on v2, where /proc/PID/stat counts ticks."""

    def __init__(self, path, make_in=None):
        """<make_in>: the work directory of the benchmark that it is made for; None = it exists or will."""
        self.dir = _of("cpuacct") + path
        if make_in:
            note(make_in, path)
            os.makedirs(self.dir, exist_ok=True)

    def procs(self):
        return os.path.join(self.dir, "cgroup.procs")

    def usage_ns(self):
        """(total, in the kernel), of it and all below, also of those that ended. Zeros where it is gone."""
        try:
            if mode() == "v2":
                stat = dict(line.split() for line in _read(f"{self.dir}/cpu.stat").splitlines())
                return int(stat["usage_usec"]) * 1000, int(stat["system_usec"]) * 1000
            return int(_read(f"{self.dir}/cpuacct.usage")), int(_read(f"{self.dir}/cpuacct.usage_sys"))
        except OSError:
            return 0, 0


def memory(path):
    """(all, kernel's part) in bytes of a memory cgroup and those below; None where the machine has none for it."""
    d = _of("memory") + path
    try:
        if mode() == "v2":
            stat = dict(line.split() for line in _read(f"{d}/memory.stat").splitlines())
            return int(_read(f"{d}/memory.current")), int(stat.get("kernel", stat.get("slab", 0)))
        return int(_read(f"{d}/memory.usage_in_bytes")), int(_read(f"{d}/memory.kmem.usage_in_bytes"))
    except OSError:
        return None
