"""A world for one benchmark, gone without a trace however it ends.

The program is run again in mount, pid, network and ipc namespaces of its own, below a small init (catatonit) that reaps
orphans as every system's init does. The kernel ends all processes of a pid namespace with its first, and mounts, interfaces
and addresses go with their namespaces, so Ctrl-C, a failure and kill -9 all clean up. What namespaces do not hold, the
directory on disk and the cgroups, is removed by the outer half, which waits; the next benchmark sweeps what a killed outer
half left.

Inside, /run and /dev/shm are new tmpfs, as /run is on every machine with systemd, whatever it is here."""
import ctypes
import glob
import os
import shutil
import signal
import subprocess
import sys

from . import cgroups

INSIDE = "REPRISE_BENCH_WORK"
BASE = "/var/tmp/reprise-bench."  # not /tmp, which is a tmpfs on many machines: state belongs on the disk
INIT = "/usr/libexec/podman/catatonit"
_PR_SET_PDEATHSIG = 1


class Nest:
    """Where things are, inside."""

    def __init__(self, work):
        self.work = work
        self.state = os.path.join(work, "state")  # on the disk
        self.run = "/run/bench"  # on a tmpfs
        for d in (self.state, self.run):
            os.makedirs(d, exist_ok=True)
        self._netns = 0

    def path(self, *parts):
        """A directory below the state directory, made."""
        p = os.path.join(self.state, *parts)
        os.makedirs(p, exist_ok=True)
        return p

    def run_path(self, *parts):
        p = os.path.join(self.run, *parts)
        os.makedirs(p, exist_ok=True)
        return p

    def network_namespace(self):
        """Path of a new network namespace with nothing but lo, as a Pod's sandbox keeps one."""
        self._netns += 1
        path = os.path.join(self.run_path("netns"), str(self._netns))
        with open(path, "w", encoding="ascii"):
            pass
        subprocess.run(["unshare", f"--net={path}", "ip", "link", "set", "lo", "up"], check=True)
        return path


def _die_with_parent():
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _init():
    found = INIT if os.access(INIT, os.X_OK) else shutil.which("catatonit")
    if not found:
        raise SystemExit("bench: catatonit is missing: sudo tools/setup bench")
    return found


def _remove(work):
    """What a benchmark leaves outside of its namespaces. Its processes are gone."""
    uids = [os.path.basename(p) for p in glob.glob(f"{work}/state/*/pods/*")]
    cgroups.remove(["/reprise/pod" + u for u in uids] + cgroups.noted(work) + cgroups.podman_since(work))
    shutil.rmtree(work, ignore_errors=True)


def _sweep():
    for work in glob.glob(BASE + "*"):
        pid = work[len(BASE):]
        if not (pid.isdigit() and os.path.exists(f"/proc/{pid}")):
            _remove(work)


def _outer():
    _sweep()
    work = f"{BASE}{os.getpid()}"
    os.makedirs(work)
    os.chmod(work, 0o755)
    cgroups.remember_podman(work)
    command = ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child", "--mount-proc", "--propagation=private",
               _init(), "--", sys.executable, "-B", *sys.argv]
    child = subprocess.Popen(command, env=dict(os.environ, **{INSIDE: work}), preexec_fn=_die_with_parent)
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda *_: child.kill())
    signal.signal(signal.SIGINT, lambda *_: None)  # the terminal tells the inner half too, which ends
    try:
        code = child.wait()
    finally:
        child.kill()
        child.wait()
        _remove(work)
    sys.exit(code if code >= 0 else 128 - code)


def _inner(work):
    for target in ("/run", "/dev/shm"):
        if os.path.isdir(target):
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", target], check=True)
    os.chmod("/dev/shm", 0o1777)
    if os.path.isdir("/var/lib/cni"):  # podman's and the plugins' leases; the network they belong to is not this one
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib/cni"], check=True)
    # crun that is killed leaves a file in /tmp. A directory of the same disk goes over it, unless we ourselves live there.
    if not any(os.path.abspath(p).startswith("/tmp/") for p in (sys.argv[0], os.environ.get("BUILD", ""))):
        tmp = os.path.join(work, "tmp")
        os.makedirs(tmp)
        os.chmod(tmp, 0o1777)
        subprocess.run(["mount", "--bind", tmp, "/tmp"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return Nest(work)


def enter():
    """Returns the Nest, inside; outside it does not return."""
    if os.geteuid() != 0:
        raise SystemExit("bench: containers need root: sudo make bench")
    work = os.environ.get(INSIDE)
    if not work:
        _outer()
    return _inner(work)
