"""A shell that runs commands on demand, where crun and podman can work."""
import os
import subprocess
import time

from . import cgroups

_HERE = os.path.dirname(os.path.abspath(__file__))


class Failed(Exception):
    """A command of a peer failed; the text is what it said."""


class Shell:
    """lib/shell.sh, in a mount namespace in which crun finds no controller on cgroup v2 where this machine is hybrid: crun
    1.8 refuses such machines otherwise. reprise does the same for its crun, for each call; here it costs nothing."""

    def __init__(self, log, env):
        self.log = log
        hide = f"mount --bind /dev/null {cgroups.HIDDEN} && " if cgroups.hybrid_with_controllers() else ""
        script = os.path.join(_HERE, "shell.sh")
        command = ["unshare", "--mount", "--propagation=private", "/bin/sh", "-c", hide + 'exec /bin/sh "$0"', script]
        self.process = subprocess.Popen(command, env=dict(os.environ, LOG=log, **env), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def begin(self, command):
        """Starts it and returns the moment before, in CLOCK_MONOTONIC ns; end() must follow."""
        line = command + "\n"
        now = time.monotonic_ns()
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return now

    def end(self, check=True):
        status = self.process.stdout.readline().strip()
        if check and status != "0":
            with open(self.log, encoding="utf-8", errors="replace") as f:
                raise Failed(f"status {status or 'unknown'}: ...{f.read()[-800:]}")
        return status

    def run(self, command, check=True):
        self.begin(command)
        return self.end(check)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
