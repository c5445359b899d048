"""What reprise is compared with, and reprise itself: each starts the same containers and can be told to restart them.

A peer is given the same static program, image, command lines and board. Where a peer has nobody who notices the trigger's
exit, its clock starts when it is told to restart: it gets noticing for free. Its `settings` go into the document as they are."""
import json
import os
import shutil
import subprocess
import time

from . import cgroups
from .board import Board, EXIT, START
from .pods import Pod, shape_of, without_init
from .reprise import MODES, Agent, Reprise
from .shell import Shell

# podman takes 20 s to bring up, restart and take down 50 containers: too much for a quick look.
PODMAN_SIZES = (2, 3) if os.environ.get("BENCH_QUICK") else (1, 2, 3, 10, 50)

RULE_NAMES = {"plain": "reprise", **{m: f"reprise, {m}" for m in MODES}}


class Rig:
    """What all peers of one benchmark share: the programs, the root file system that is every container's image."""

    def __init__(self, nest, build):
        self.nest, self.build = nest, build
        self.floor = os.path.join(build, "bench", "floor")
        for f in ("reprise", "bench/stamp", "bench/floor"):
            if not os.access(os.path.join(build, f), os.X_OK):
                raise SystemExit(f"bench: {build}/{f} is not built: sudo make bench")
        self.rootfs = self.new_rootfs("image")
        self.reprise = Reprise(nest, build, self.rootfs)

    def new_rootfs(self, name):
        root = self.nest.path("rootfs", name)
        for d in ("bin", "stamps", "old", "proc", "dev", "sys", "tmp", "etc"):
            os.makedirs(os.path.join(root, d), exist_ok=True)
        shutil.copy(os.path.join(self.build, "bench", "stamp"), os.path.join(root, "bin", "stamp"))
        return root

    def board(self, name):
        return Board(self.nest.run_path("boards", name))


class Peer:
    """Does nothing; says what the others do."""

    ident = name = settings = ""
    every = 1      # measured in each <every>-th round: slow ones less often
    rest_s = 0.0   # least time between two of its restarts
    shapes = None  # numbers of containers it is measured with; None = all

    def __init__(self, rig, containers, suffix="", board=None, first=0):
        """<suffix> tells several of the same kind and size apart; they may share a <board>, each from the number <first> on."""
        self.rig, self.containers, self.first = rig, containers, first
        self.label = f"{self.ident}-{containers}{suffix}"
        self.board = board or rig.board(self.label)

    @classmethod
    def missing(cls):
        """Why it cannot be measured here, or None."""
        return None

    def start(self):
        """Everything up and running."""

    def settle(self):
        """Until what the last restart left to do in the background is done."""

    def restart(self):
        """One restart. Returns (ns, {phase: ns}), all from the beginning of the restart."""
        raise NotImplementedError

    def stop(self):
        """Everything gone."""


def phases_of(begin, board, noticed=None, dead=None):
    """The time until the last start, and the phases in order, from <begin>."""
    first, last = board.first(START), board.last(START)
    marks = {"noticed": noticed, "all dead": dead, "first start": first, "last start": last}
    return last - begin, {k: v - begin for k, v in marks.items() if v is not None}


class Floor(Peer):
    ident, name = "floor", "floor: clone, pivot_root, exec"
    settings = ("bench/floor.c: one clone for each container into new mount, pid, ipc and uts namespaces and the prepared network "
                "namespace, pivot_root into a prepared root file system, exec. No cgroups, capabilities, seccomp, logs or state; "
                "nothing to kill first.")
    plain = ()

    def start(self):
        root = self.rig.new_rootfs(self.label)
        subprocess.run(["mount", "--bind", self.board.folder, os.path.join(root, "stamps")], check=True)
        self.root = root
        # Its own mount namespace from before the other peers are there: a clone copies all mounts, and these are the fewest.
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation=private", self.rig.floor, root, self.board.folder,
                                         str(self.containers), *self.plain], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self, pods=1):
        self.process.stdin.write(f"{pods}\n")
        self.process.stdin.flush()

    def end(self):
        return int(self.process.stdout.readline())

    def restart(self):
        self.begin()
        ns = self.end()
        return ns, {"last start": ns}

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        subprocess.run(["umount", os.path.join(self.root, "stamps")], check=True)


class Spawn(Floor):
    ident, name = "spawn", "floor: posix_spawn"
    settings = "bench/floor.c with posix_spawn of the same programs: no namespaces, no root file system of their own."
    plain = ("spawn",)


class ReprisePeer(Peer):
    """One mode of reprise; made by reprise_peers()."""

    mode = "plain"
    settings = ""

    def start(self):
        pod = Pod(self.label, shape_of(self.containers), self.board.folder)
        self.agent = Agent(self.rig.reprise, self.label, [pod], self.board, self.mode)

    def settle(self):
        self.agent.settle()

    def restart(self):
        self.agent.restart()
        exit_ns = self.board.first(EXIT)
        return phases_of(exit_ns, self.board, *self.agent.phases(exit_ns))

    def stop(self):
        self.agent.stop()


def reprise_peers(reprise):
    """A class for each mode that this reprise has, the default first."""
    def one(mode):
        how = f"--prepare={mode}: {MODES[mode]}" if mode in MODES else "no --prepare option: the plain order"
        return type("Reprise_" + mode, (ReprisePeer,), {
            "ident": f"reprise-{mode}", "name": RULE_NAMES[mode], "mode": mode,
            "settings": f"reprise run, {how}; built-in bridge network, --run-dir on a tmpfs, --root and --log-dir on the disk, "
                        "--restart-backoff=off, crun; everything else is as it comes."})
    return [one(m) for m in reprise.modes()]


class Crun(Peer):
    ident, name = "crun", "crun, one call after the other"
    settings = ("A shell loop (bench/lib/shell.sh): crun delete --force of each container, then crun run of each (create and start in one "
                "process) in Kubernetes' order. crun's own default configuration, one prepared read-only root file system, one prepared "
                "network namespace, own cgroups, state on a tmpfs. No logs, no exit codes, nobody who notices the exit: the clock starts "
                "when the loop is told.")

    @classmethod
    def missing(cls):
        return None if shutil.which("crun") else "crun is not installed"

    def _bundle(self, i, spec, args, netns):
        """Container i of all: what `crun spec` writes, but its command, root, board, network namespace and cgroup."""
        spec["process"].update({"terminal": False, "args": args})
        spec["root"] = {"path": self.rig.rootfs, "readonly": True}
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/stamps"]
        spec["mounts"].append({"destination": "/stamps", "type": "bind", "source": self.board.folder, "options": ["rbind", "rw"]})
        for ns in spec["linux"]["namespaces"]:
            if ns["type"] == "network":
                ns["path"] = netns
        spec["linux"]["cgroupsPath"] = f"/bench-crun/{self.containers}-{self.pods}-{i}"
        bundle = self.rig.nest.run_path("crun", self.name_here, "bundles", str(i))
        with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as f:
            json.dump(spec, f)

    def start(self, pods=1):
        cgroups.note(self.rig.nest.work, "/bench-crun")
        self.pods, self.name_here = pods, f"{self.containers}-{pods}"
        here = self.rig.nest.run_path("crun", self.name_here)
        subprocess.run(["crun", "spec"], cwd=here, check=True)
        with open(os.path.join(here, "config.json"), encoding="utf-8") as f:
            spec = json.load(f)
        netns = self.rig.nest.network_namespace()
        for pod in range(pods):
            commands = Pod("crun", shape_of(self.containers), self.board.folder, first=pod * self.containers)
            for i in range(self.containers):
                self._bundle(pod * self.containers + i, spec, commands.command(i), netns)
        self.shell = Shell(os.path.join(here, "log"), {"CRUN_STATE": self.rig.nest.run_path("crun", self.name_here, "state"),
                                                       "CRUN_BUNDLES": os.path.join(here, "bundles")})
        self.shell.run(f"crun_up {self.containers} {pods}")

    def restart(self):
        self.board.expect(self.containers * self.pods)
        begin = self.shell.begin(f"crun_restart {self.containers} {self.pods}")
        self.board.wait(120)
        self.shell.end()
        return phases_of(begin, self.board)

    def stop(self):
        self.shell.run(f"crun_down {self.containers} {self.pods}")
        self.shell.close()


class _Podman(Peer):
    """One Pod of podman's; its state is shared by all of a benchmark, as on a machine."""

    every = 5
    init = True  # whether the Pod has its init container

    @classmethod
    def missing(cls):
        return None if shutil.which("podman") else "podman is not installed"

    def start(self):
        self.podman = podman(self.rig)
        self.pod_name = self.label
        shape = shape_of(self.containers)
        self.shape = shape if self.init else without_init(shape)
        pod = Pod(self.pod_name, self.shape, self.board.folder, self.first, rules=False, host_network=True)
        self.manifest = self.podman.manifest(pod)
        self.board.expect(len(self.shape))
        self.podman.shell.run(f"podman kube play {self.manifest}")
        self.board.wait(60)

    def restart_by(self, command, starts):
        self.board.expect(starts)
        begin = self.podman.shell.begin(command)
        try:
            self.board.wait(120)
        finally:
            self.podman.shell.end()
        return phases_of(begin, self.board)

    def stop(self):
        self.podman.shell.run(f"podman kube down {self.manifest}", check=False)


class Podman:
    """podman's state and configuration for one benchmark."""

    SETTINGS = ("podman with crun, cgroup manager cgroupfs, events in a file, network host (no network to make), stop_timeout 0 "
                "(SIGKILL at once), graph root on the disk, run root on a tmpfs, default_ulimits nofile and nproc 1024 (Debian's defaults need "
                "CAP_SYS_RESOURCE). The clock starts when the command is given.")
    SAME = ("The same podman. On cgroup v1, podman 4.3 often waits 3 s for its own conmon's cgroup to go when it removes a Pod; least "
            "and median show both cases.")

    def __init__(self, rig):
        nest = rig.nest
        conf = os.path.join(nest.path("podman-conf"), "containers.conf")
        with open(conf, "w", encoding="utf-8") as f:
            # kube play makes a network of its own even for Pods that want none: its configuration must not stay on this machine.
            f.write(f'[network]\nnetwork_config_dir = "{nest.path("podman-networks")}"\n'
                    '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
                    '[engine]\nruntime = "crun"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nstop_timeout = 0\n')
        storage = os.path.join(nest.path("podman-conf"), "storage.conf")
        with open(storage, "w", encoding="utf-8") as f:
            f.write(f'[storage]\ndriver = "overlay"\ngraphroot = "{nest.path("podman")}"\nrunroot = "{nest.run_path("podman")}"\n')
        self.folder = nest.path("manifests")
        self._log, self._env = os.path.join(nest.run, "podman.log"), {"CONTAINERS_CONF": conf, "CONTAINERS_STORAGE_CONF": storage}
        self.shell = self.new_shell()
        self.shell.run(f"tar -C {rig.rootfs} -c . | podman import - localhost/bench:1")

    def new_shell(self):
        """One more, for podman commands at the same time."""
        return Shell(self._log, self._env)

    def manifest(self, pod):
        path = os.path.join(self.folder, pod.name + ".podman.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(pod.manifest())
        return path


def podman(rig):
    """The one Podman of <rig>."""
    if not hasattr(rig, "podman"):
        rig.podman = Podman(rig)
    return rig.podman


class PodmanRestart(_Podman):
    ident, name = "podman-restart", "podman pod restart"
    shapes = PODMAN_SIZES
    settings = Podman.SETTINGS + " It does not run init containers again, so it starts one container less."

    def restart(self):
        return self.restart_by(f"podman pod restart {self.pod_name}", len(without_init(self.shape)))


class PodmanReplace(_Podman):
    ident, name = "podman-replace", "podman kube play --replace"
    shapes = PODMAN_SIZES
    settings = Podman.SAME
    every = 10

    def restart(self):
        return self.restart_by(f"podman kube play --replace {self.manifest}", len(self.shape))


class PodmanReplaceNoInit(PodmanReplace):
    ident, name = "podman-replace-noinit", "podman kube play --replace, no init container"
    settings = Podman.SAME + (" The Pod without its init container: each costs podman 0.3 s more, and 20 s where pid 1 does not reap "
                              "orphans (here, a small init does).")
    init = False
    shapes = (3,)


class S6(Peer):
    ident, name = "s6", "s6: three services"
    settings = ("s6-svscan with a service directory for each of the three: init runs once and its finish script starts the other two; the "
                "trigger's finish script, on 88, kills main and starts init. No containers: no namespaces, no root file system, no "
                "cgroups. A second and more between restarts, since s6 holds back a service that ran for less.")
    shapes = (3,)
    rest_s = 1.1

    @classmethod
    def missing(cls):
        return None if shutil.which("s6-svscan") else "s6 is not installed"

    def _service(self, name, run, finish=None, down=False):
        d = os.path.join(self.services, name)
        os.makedirs(d)
        for script, text in (("run", run), ("finish", finish)):
            if text:
                path = os.path.join(d, script)
                with open(path, "w", encoding="utf-8") as f:
                    f.write("#!/bin/sh\n" + text)
                os.chmod(path, 0o755)
        if down:
            with open(os.path.join(d, "down"), "w", encoding="ascii"):
                pass

    def start(self):
        self.services = self.rig.nest.run_path("s6")
        run = f"STAMP_DIR={self.board.folder}\nexport STAMP_DIR\nexec {self.rig.rootfs}/bin/stamp "
        self._service("init", run + "init 0\n", "s6-svc -u ../trigger\nexec s6-svc -u ../main\n", down=True)
        self._service("trigger", run + "trigger 1\n",
                      '[ "$1" = 88 ] || exit 0\ns6-svc -d .\ns6-svc -wd -dk ../main\nexec s6-svc -o ../init\n', down=True)
        self._service("main", run + "main 2\n", down=True)
        self.board.expect(3)
        self.process = subprocess.Popen(["s6-svscan", self.services], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not all(os.path.exists(f"{self.services}/{name}/supervise/control") for name in ("init", "trigger", "main")):
            if time.monotonic() > deadline:
                raise SystemExit("bench: s6-svscan did not start its services")
            time.sleep(0.01)
        time.sleep(0.1)
        subprocess.run(["s6-svc", "-o", f"{self.services}/init"], check=True)
        self.board.wait(10)

    def restart(self):
        self.board.expect(4)
        self.board.release()
        self.board.wait(20)
        return phases_of(self.board.first(EXIT), self.board)

    def stop(self):
        subprocess.run(["s6-svscanctl", "-t", self.services], check=False)
        self.process.wait(10)


def restart_peers(reprise):
    """All peers of the restart benchmark; the floor first, since ratios are to it."""
    return [Floor, Spawn, *reprise_peers(reprise), Crun, S6, PodmanRestart, PodmanReplace, PodmanReplaceNoInit]
