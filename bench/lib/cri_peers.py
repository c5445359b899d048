"""Peers over containerd: a plain CRI client, and reprise with --runtime=cri."""
import time
from collections import Counter

from . import containerd
from .board import EXIT
from .peers import Peer, phases_of
from .pods import Pod, shape_of
from .reprise import Agent

QUIET_S = 0.02


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
                return True
            time.sleep(QUIET_S)
        return False

    def stop(self, seconds=60):
        super().stop(seconds)
        self.client.close()


class CriPlain(Peer):
    """Made by cri_peers() for each containerd and OCI runtime."""

    version, handler = "1", "crun"
    every = 3

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


def _plain(ident, version, handler, more=""):
    name = containerd.described(version) or {"1": "1.6", "2": "2"}[version]
    return type("CriPlain_" + ident, (CriPlain,), {
        "ident": ident, "version": version, "handler": handler, "name": f"containerd {name} over CRI, plain order, {handler}",
        "settings": more})


def cri_peers():
    """All peers over containerd; a class each."""
    return [_plain("containerd", "1", "crun", "x"), _plain("containerd-runc", "1", "runc", "x"), _plain("containerd-2", "2", "runc", "x"),
            *[type("CriReprise_" + mode, (CriReprise,), {"ident": f"reprise-cri-{mode}", "name": f"reprise over containerd, {mode}",
                                                          "mode": mode, "settings": "x"}) for mode in ("create", "off")]]
