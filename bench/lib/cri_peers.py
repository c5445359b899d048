"""Peers over containerd: a plain CRI client, and reprise with --runtime=cri."""
import os
import random
import time
from collections import Counter

from . import containerd
from .board import EXIT
from .peers import Peer, phases_of
from .pods import Pod, shape_of
from .reprise import Agent

SIZES = (1, 3, 10) if os.environ.get("BENCH_QUICK") else None  # 50 containers take a second each time they are brought up or down
VERSION_NAMES = {"1": "1.6", "2": "2"}


class CriAgent(Agent):
    """`reprise run --runtime=cri` with one Pod over one of the benchmark's containerds."""

    def __init__(self, rig, name, pod, board, mode, version="1", events="auto"):
        self.daemon = containerd.daemon(rig, version)
        self.client = containerd.cri.Client(self.daemon.socket)
        super().__init__(rig.reprise, name, [pod], board, mode, extra=[
            "--runtime=cri", f"--container-runtime-endpoint={self.daemon.endpoint}", f"--cri-events={events}"])
        self.uid = self.uids()[0]

    def settle(self, seconds=20.0, stall_s=0):
        """Until containerd has the running attempt, all of the next one where it is made ahead, and nothing else."""
        want, deadline = len(self.pods[0].shape), time.monotonic() + seconds
        ahead = want if self.mode == "create" else 0
        created = self.client.pb.CONTAINER_CREATED
        while time.monotonic() < deadline:
            with containerd.as_failed():
                states = Counter(c.state for c in self.client.containers(label_selector={"io.kubernetes.pod.uid": self.uid}))
            if states[created] == ahead and states.total() == want + ahead:
                self.daemon.quiet()
                return True
            time.sleep(0.02)
        return False

    def stop(self, seconds=60):
        super().stop(seconds)
        self.client.close()


class CriPlain(Peer):
    """Made by cri_peers() for each containerd and OCI runtime."""

    version, handler = "1", "crun"
    every = 3
    shapes = SIZES

    @classmethod
    def missing(cls):
        return containerd.missing(cls.version, cls.handler)

    def start(self):
        pod = Pod(self.label, shape_of(self.containers), self.board.folder)
        self.board.expect(self.containers)
        with containerd.as_failed():
            self.pod = containerd.PlainPod(self.rig, self.version, self.handler, pod, self.rig.nest.path("log", self.label))
            self.pod.up()
        self.board.wait(60)

    def settle(self):
        self.pod.daemon.quiet()

    def restart(self):
        self.board.expect(self.containers)
        begin = time.monotonic_ns()
        with containerd.as_failed():
            self.pod.down()
            dead = time.monotonic_ns()
            self.pod.up()
        self.board.wait(60)
        return phases_of(begin, self.board, None, dead)

    def stop(self):
        with containerd.as_failed():
            self.pod.close()


class CriReprise(Peer):
    """Made by cri_peers() for each mode."""

    mode = "create"
    every = 3
    shapes = SIZES

    @classmethod
    def missing(cls):
        return containerd.missing("1", "crun")

    def start(self):
        pod = Pod(self.label, shape_of(self.containers), self.board.folder)
        self.agent = CriAgent(self.rig, self.label, pod, self.board, self.mode)

    def settle(self):
        self.agent.settle()

    def restart(self):
        self.agent.restart()
        exit_ns = self.board.first(EXIT)
        return phases_of(exit_ns, self.board, *self.agent.told(exit_ns))

    def stop(self):
        self.agent.stop()


PLAIN = ("A Python client on one connection (a call costs it 0.2 ms, containerd's answer to Version included): told to restart, it calls "
         "StopContainer with no grace of all that run, then RemoveContainer of all, 8 at the same time each (with 50 containers the fastest "
         "that was found); then CreateContainer and StartContainer of each in Kubernetes' order, the init container's end learnt from "
         "containerd's event stream. The clock starts when it is told. The tests' configuration of containerd: overlayfs on the disk, state "
         "directory on a tmpfs, bridge network by CNI, no seccomp profile, as the kubelet has it for a Pod that asks for none; logs by "
         "containerd. {oci} is called directly, without systemd.")
OURS = ("reprise run --runtime=cri --cri-events=auto over the same containerd as the first of the plain ones, {how}; --root and --log-dir on "
        "the disk, --restart-backoff=off; everything else is as it comes. Phases are those of its own statuses, by their time stamps: "
        "noticed is when AllContainersRestarting becomes True, all dead is when no container of the old attempt runs any more.")
HOW = {"create": "--prepare=create: CreateContainer of the next attempt is called while this one runs", "off": "--prepare=off: nothing prepared"}


def _plain(ident, version, handler):
    name = containerd.described(version) or VERSION_NAMES[version]
    return type("CriPlain_" + ident, (CriPlain,), {
        "ident": ident, "version": version, "handler": handler, "name": f"containerd {name} over CRI, plain order, {handler}",
        "settings": PLAIN.format(oci=handler) if ident == "containerd" else f"The same with containerd {name} and {handler}."})


def cri_peers():
    """All peers over containerd; a class each. crun of Debian 12 is too old for containerd 2."""
    ours = [type("CriReprise_" + mode, (CriReprise,), {"ident": f"reprise-cri-{mode}", "name": f"reprise over containerd, {mode}",
                                                      "mode": mode, "settings": OURS.format(how=how)}) for mode, how in HOW.items()]
    return [_plain("containerd", "1", "crun"), _plain("containerd-runc", "1", "runc"), _plain("containerd-2", "2", "runc"), *ours]


# --- how ends are learnt ---------------------------------------------------------------------------------------------------------

# From an action on, reprise lists after 5 ms, then after twice as long each time, up to 1 s: this long until that has calmed down.
CALM_S = 2.6
PERIOD_S = 1.0


class Source:
    """A way in which reprise learns of an exit: what `bench/restart` measures from the exit to the decision."""

    def __init__(self, ident, name, version=None, events=None):
        self.ident, self.name, self.version, self.events = ident, name, version, events

    def missing(self, rig):
        if not self.version:
            return None
        lack = containerd.missing(self.version)
        if not lack and self.events == "cri" and not containerd.has_container_events(containerd.daemon(rig, self.version)):
            lack = f"containerd {containerd.described(self.version)} has no GetContainerEvents"
        return lack

    def measure(self, rig, runs, idle_s, add):
        """Calls add(ns) for each exit of the ML worker's sidecar."""
        label = f"learn-{self.ident}"
        board = rig.board(label)
        pod = Pod(label, shape_of(3), board.folder)
        if self.version:
            agent = CriAgent(rig, label, pod, board, "off", self.version, self.events)
        else:
            agent = Agent(rig.reprise, label, [pod], board, rig.reprise.default_mode())
        chance = random.Random(label)
        try:
            for _ in range(runs):
                agent.settle()
                # An exit comes at any moment between two lists.
                time.sleep(CALM_S + PERIOD_S * chance.random() if self.events == "relist" else idle_s)
                agent.restart()
                exit_ns = board.first(EXIT)
                add(agent.told(exit_ns)[0] - exit_ns)
        finally:
            agent.stop()


def sources():
    names = {v: f"containerd {containerd.described(v) or VERSION_NAMES[v]}" for v in containerd.VERSIONS}
    return [Source("shim", "embedded runtime: reprise's own shim"),
            Source("cri-1", f"--cri-events=cri, {names['1']}", "1", "cri"), Source("cri-2", f"--cri-events=cri, {names['2']}", "2", "cri"),
            Source("containerd-1", f"--cri-events=containerd, {names['1']}", "1", "containerd"),
            Source("containerd-2", f"--cri-events=containerd, {names['2']}", "2", "containerd"),
            Source("relist-1", f"--cri-events=relist, {names['1']}", "1", "relist")]
