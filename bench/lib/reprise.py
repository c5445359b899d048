"""Drives `reprise run`: one agent with one or many Pods, in one mode of preparing ahead; and reads its shims' journals."""
import calendar
import glob
import json
import os
import signal
import subprocess
import time

from .board import Late
from .shell import Failed

MODES = {"gate": "prepared up to a gate before exec", "create": "prepared up to the runtime's created state",
         "off": "nothing prepared: the plain order"}


class Reprise:
    """The programs that were built, their image store and the options that all agents of this benchmark get."""

    def __init__(self, nest, build, image_rootfs):
        self.nest = nest
        self.program = os.path.join(build, "reprise")
        self.root = nest.path("reprise")
        self.run_dir = nest.run_path("reprise")
        self.problems = []  # what agents and shims said that they should not have had to say
        self.no_cni = nest.path("no-cni")  # empty: the built-in network, whatever this machine has in /etc/cni
        subprocess.run([self.program, "image", "import", f"--root={self.root}", "--name=localhost/bench:1", image_rootfs], check=True,
                       stdout=subprocess.DEVNULL)
        self.help = subprocess.run([self.program, "run", "--help"], capture_output=True, text=True, check=True).stdout

    def modes(self):
        """The modes that this reprise has; one called "plain" where it has no --prepare."""
        return list(MODES) if "--prepare" in self.help else ["plain"]

    def default_mode(self):
        return self.modes()[0]

    def options(self, mode, extra=()):
        opts = [f"--root={self.root}", f"--run-dir={self.run_dir}", f"--log-dir={self.nest.path('log')}",
                f"--cni-conf-dir={self.no_cni}", "--restart-backoff=off"]
        return opts + ([f"--prepare={mode}"] if mode != "plain" else []) + list(extra)


class Journal:
    """A shim's journal (src/shim/store.h), read as it grows."""

    def __init__(self, path):
        self.path, self.inode, self.offset = path, 0, 0
        self.containers, self.trash = {}, {}

    def _line(self, text):
        change = json.loads(text.split(" ", 1)[1])
        kind, ident = change.get("set") or change["del"]
        table = {"containers": self.containers, "trash": self.trash}.get(kind)
        if table is None:
            return
        if "del" in change:
            table.pop(ident, None)
            return
        record = table.setdefault(ident, {})
        for key, value in change["v"].items():
            if value is None:
                record.pop(key, None)
            else:
                record[key] = value

    def read(self):
        """Takes in what is new. Returns the new changes as [(container, members)], those of deleted ones too."""
        try:
            with open(self.path, "rb") as f:
                st = os.fstat(f.fileno())
                if st.st_ino != self.inode or st.st_size < self.offset:  # written anew, from the beginning
                    self.inode, self.offset = st.st_ino, 0
                    self.containers.clear()
                    self.trash.clear()
                f.seek(self.offset)
                data = f.read()
        except FileNotFoundError:
            return []
        changes = []
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        for raw in whole.decode(errors="replace").splitlines():
            try:
                self._line(raw)
                change = json.loads(raw.split(" ", 1)[1])
            except (ValueError, KeyError, IndexError):
                continue
            if change.get("set", [None])[0] == "containers":
                changes.append((change["set"][1], change["v"]))
        return changes

    def standing_by(self):
        """Containers of the next attempt that wait, ready to be let go."""
        return [r for r in self.containers.values() if r.get("standby") and r.get("state") == "standby"]

    def quiet(self, standby):
        """Whether <standby> prepared containers wait and no rubbish of the attempt before is left."""
        self.read()
        return len(self.standing_by()) >= standby and not self.trash


class Statuses:
    """The lines of `reprise run -o json`, read as they come: each with the moment of which it tells."""

    def __init__(self, path):
        self.path, self.offset = path, 0

    def read(self):
        """[(CLOCK_MONOTONIC ns, Pod)] of the new lines."""
        offset = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.monotonic_ns()
        with open(self.path, "rb") as f:
            f.seek(self.offset)
            data = f.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        lines = [json.loads(line) for line in whole.splitlines()]
        return [(_ns(e["at"]) - offset, e["object"]) for e in lines]


def _ns(text):
    """Of 2026-01-02T15:04:05.123456789Z."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(text[20:29])


def _restarting(pod):
    return next((c["status"] for c in pod["status"].get("conditions", []) if c["type"] == "AllContainersRestarting"), None) == "True"


def _running(pod):
    lists = ("initContainerStatuses", "containerStatuses")
    return any("running" in c.get("state", {}) for key in lists for c in pod["status"].get(key, []))


class Agent:
    """`reprise run` with <pods> (pods.Pod, all on <board>), up and running when made."""

    def __init__(self, reprise, name, pods, board, mode, seconds=60, starts=None, extra=()):
        """<starts>: how many of the containers are on <board>; None = all. <extra>: further options of `reprise run`."""
        self.reprise, self.mode, self.pods, self.board = reprise, mode, pods, board
        self.starts = starts or sum(len(p.shape) for p in pods)
        manifest = os.path.join(reprise.nest.path("manifests"), name + ".yaml")
        with open(manifest, "w", encoding="utf-8") as f:
            f.write("\n---\n".join(p.manifest() for p in pods) + "\n")
        self.events = os.path.join(reprise.nest.run_path("events"), name)
        self.statuses = Statuses(self.events)
        self.journals = []
        self.errors = os.path.join(reprise.nest.run_path("events"), name + ".stderr")
        # Its own mount namespace, as every peer has: none pays for the mounts of the others.
        argv = ["unshare", "--mount", "--propagation=private", reprise.program, "run", manifest, *reprise.options(mode, extra),
                "-o", "json", "--no-logs"]
        board.expect(self.starts)
        with open(self.events, "wb") as out, open(self.errors, "wb") as err:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            self._wait_up(seconds)
        except BaseException:
            self.stop()
            raise
        self.journals = [Journal(os.path.join(reprise.run_dir, "pods", uid, "journal")) for uid in self.uids()]

    def _wait_up(self, seconds):
        """Until all run; not longer than `reprise run` lives."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.board.wait(min(1.0, max(0.0, deadline - time.monotonic())))
            except Late:
                if self.process.poll() is not None:
                    said = "; ".join(self._complaints())
                    raise Failed(f"reprise run ended with status {self.process.returncode}: {said}") from None
                if time.monotonic() >= deadline:
                    raise

    def _complaints(self):
        """Lines of the agent's stderr but the one that it says when it is told to end, and what its shims logged."""
        paths = [(self.errors, "reprise run")] + [(os.path.join(os.path.dirname(j.path), "shim.log"), "shim") for j in self.journals]
        for path, who in paths:
            try:
                with open(path, encoding="utf-8", errors="replace") as f:
                    for line in f:
                        if line.strip() and "deleting the Pod" not in line:
                            yield f"{os.path.basename(self.events)}: {who}: {line.strip()}"
            except FileNotFoundError:
                pass  # the shim's directory goes with its Pod

    def uids(self):
        found = {}
        with open(self.events, encoding="utf-8") as f:
            for line in f:
                try:
                    meta = json.loads(line)["object"]["metadata"]
                except ValueError:
                    continue  # the last line, while it is written
                found[meta["uid"]] = meta["name"]
                if len(found) == len(self.pods):
                    break
        return list(found)

    def prepared(self):
        """Containers of the next attempts that stand by, of all Pods."""
        for j in self.journals:
            j.read()
        return sum(len(j.standing_by()) for j in self.journals)

    def settle(self, seconds=60.0, stall_s=3.0):
        """Until all of the next attempt stands by, where the mode has one, and what was removed is cleaned up. Returns whether;
        False also where nothing changes any more, as when the memory for prepared containers is used up."""
        begin = changed = time.monotonic()
        seen = None
        waiting = [(j, len(p.shape) if self.mode in ("gate", "create") else 0) for j, p in zip(self.journals, self.pods)]
        while True:
            waiting = [(j, n) for j, n in waiting if not j.quiet(n)]
            now, state = time.monotonic(), [(len(j.standing_by()), len(j.trash)) for j, _ in waiting]
            if not waiting:
                return True
            if state != seen:
                seen, changed = state, now
            if now - changed > stall_s or now - begin > seconds:
                return False
            time.sleep(0.005)

    def shims(self):
        """Process ids of the shims."""
        found = []
        for comm in glob.glob("/proc/[0-9]*/comm"):
            try:
                with open(comm, encoding="ascii", errors="replace") as f:
                    if f.read().strip() == "reprise-shim":
                        with open(os.path.dirname(comm) + "/cmdline", encoding="utf-8", errors="replace") as c:
                            if any(uid in c.read() for uid in self.uids()):
                                found.append(int(comm.split("/")[2]))
            except OSError:
                pass
        return found

    def restart(self, exits=1, seconds=60.0):
        """Triggers every Pod at once; returns the moment before. The number of exits is that of the triggers."""
        before = time.monotonic_ns()
        self.board.expect(self.starts + exits)
        self.board.release()
        self.board.wait(seconds)
        return before

    def phases(self, exit_ns):
        """What the first Pod's shim wrote down of the restart that began at <exit_ns>: when it noticed the trigger, and when
        the last container of that attempt was dead, in CLOCK_MONOTONIC ns."""
        offset = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.monotonic_ns()
        ends = [(v["finished_at_ns"] - offset, v.get("exit_code"), v.get("signal")) for _, v in self.journals[0].read()
                if v.get("finished_at_ns")]
        ends = [e for e in ends if e[0] >= exit_ns - 50_000]
        noticed = [e[0] for e in ends if e[1] == 88]
        dead = [e[0] for e in ends if e[1] == 88 or e[2] == 9]
        return (min(noticed), max(dead)) if noticed else (None, None)

    def told(self, exit_ns, seconds=10):
        """What the first Pod's statuses say of the restart that began at <exit_ns>: when it was decided (AllContainersRestarting
        became True), and when no container of the old attempt ran any more, in CLOCK_MONOTONIC ns. They come late, and say when
        they were."""
        deadline, decided, dead = time.monotonic() + seconds, None, None
        uid = self.uids()[0]
        while time.monotonic() < deadline:
            for at, pod in self.statuses.read():
                if pod["metadata"]["uid"] != uid or at < exit_ns - 50_000:
                    continue
                restarting = _restarting(pod)
                decided = decided or (at if restarting else None)
                dead = dead or (at if decided and not _running(pod) else None)
                if decided and not restarting:
                    return decided, dead or at
            time.sleep(0.002)
        raise Late(f"no status told of the restart's end within {seconds} s")

    def stop(self, seconds=60):
        """Deletes the Pods; kills where that takes too long. What was said meanwhile is kept with the results."""
        problems = list(self._complaints())
        if self.process.poll() is not None:
            problems.append(f"{os.path.basename(self.events)}: reprise run had ended by itself, status {self.process.returncode}")
        else:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            problems.append(f"{os.path.basename(self.events)}: reprise run did not end within {seconds} s of SIGINT")
            for pid in [self.process.pid, *self.shims()]:
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
        problems += [p for p in self._complaints() if p not in problems]
        self.reprise.problems += problems
