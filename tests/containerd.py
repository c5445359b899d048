"""A containerd of the tests' own: its state, network, shims and everything it makes are below one folder or named after it,
and all of it is gone after close().

    with Containerd("/tmp/reprise-cd") as it:
        it.import_images("/tmp/layouts")
        it.cri.Version(), it.ctr("images", "ls"), it.kill(), it.start()

By hand:  tests/containerd.py /tmp/reprise-cd [LAYOUTS]   runs one until Ctrl-C, and says how to reach it.
          tests/containerd.py --remove /tmp/reprise-cd    ends one whose test was killed, and all that it made.

The machine's own containerd, if there is one, is not touched: other socket, other root, other CNI network. Needs root. What
containerd has no setting for: its shims' sockets lie in /run/containerd/s, libcni's cache in /var/lib/cni/results."""
import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cri  # noqa: E402
from leaks import read  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILT = os.path.join(ROOT, "build/tools/containerd-2/containerd")  # tools/build-containerd
NAMESPACE = "k8s.io"
SHIM_SOCKETS = "/run/containerd/s"
CGROUPS = "/sys/fs/cgroup"
HYBRID_FILE = f"{CGROUPS}/unified/cgroup.controllers"
NOT_NEEDED = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs",
              "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.native",
              "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
              "io.containerd.nri.v1.nri"]
# Version 2: 1.6 knows no other, and 2.x takes it and migrates it.
CONFIG = """version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [{disabled}]
[grpc]
  address = "{socket}"
[ttrpc]
  address = "{socket}.ttrpc"
[debug]
  level = "{level}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Where root may not lower oom_score_adj (no CAP_SYS_RESOURCE), runc would die of it.
  restrict_oom_score_adj = true
  # Not in /run/netns, where nobody could tell whose it is.
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = "{folder}/net.d"
  bin_dir = "{cni_bin}"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "{default}"
{handlers}"""
HANDLER = """[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
  BinaryName = "{program}"
  Root = "{folder}/{name}"
"""
# Debian's crun is too old for containerd 2.x ("unknown version specified", of config.json). And crun 1.8 refuses a hybrid host that left a controller to v2, and looks at this one file only (as src/runtime/oci knows).
CRUN_ON_HYBRID = f"""#!/bin/sh
exec unshare -m --propagation unchanged sh -c '
mount --make-private {CGROUPS}/unified && mount --bind /dev/null {HYBRID_FILE} && exec crun "$@"' sh "$@"
"""


def _pids():
    return [int(n) for n in os.listdir("/proc") if n.isdigit()]


def _gone(pid):
    stat = read(f"/proc/{pid}/stat")
    return not stat or stat[stat.rindex(")") + 2] == "Z"


def _parents():
    """pid -> parent of everything that lives."""
    found = {}
    for pid in _pids():
        stat = read(f"/proc/{pid}/stat")
        if stat:
            found[pid] = int(stat[stat.rindex(")") + 2:].split()[1])
    return found


def wait_until(look, seconds, what):
    deadline = time.monotonic() + seconds
    while True:
        got = look()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def full_name(reference):
    """As CRI looks an image up: docker.io/ in front of what names no registry."""
    first = reference.split("/")[0]
    if "/" in reference and ("." in first or ":" in first or first == "localhost"):
        return reference
    return "docker.io/" + ("" if "/" in reference else "library/") + reference


class Containerd:
    def __init__(self, folder, program="containerd", oci="runc", level="info"):
        self.folder, self.socket = os.path.abspath(folder), os.path.join(os.path.abspath(folder), "containerd.sock")
        assert len(self.socket) < 90, "a unix socket's path has room for 107 bytes"
        self.program = os.path.abspath(shutil.which(program) or program)
        self.bin = os.path.dirname(os.path.realpath(self.program))  # ctr and the shim of the same version lie beside it
        mark = hashlib.sha256(self.folder.encode()).hexdigest()
        self.network, self.bridge = f"reprise-cd-{mark[:8]}", f"rcd{mark[:8]}"
        self.subnet = self._free_subnet(int(mark[:2], 16))
        self._sockets_before = self._shim_sockets()
        self.process, self._cri, self._oci, self._level = None, None, oci, level
        self.start_seconds = None  # of the last start, until it was ready
        self.killed = False  # since tidy()
        if os.path.exists(os.path.join(self.folder, "config.toml")):
            return  # to be removed
        os.makedirs(os.path.join(self.folder, "net.d"))
        os.makedirs(os.path.join(self.folder, "bin"))
        plugins = next(d for d in ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni") if os.path.exists(f"{d}/bridge"))
        os.makedirs(os.path.join(self.folder, "cni-bin"))
        for name in os.listdir(plugins):
            os.symlink(os.path.join(plugins, name), os.path.join(self.folder, "cni-bin", name))
        self._configure()

    @staticmethod
    def _shim_sockets():
        return set(os.listdir(SHIM_SOCKETS)) if os.path.isdir(SHIM_SOCKETS) else set()

    # --- configuration

    @staticmethod
    def _free_subnet(n):
        taken = subprocess.run(["ip", "-o", "-4", "addr"], capture_output=True, text=True, check=True).stdout
        for _ in range(256):
            if f" 10.61.{n}." not in taken:
                return f"10.61.{n}.0/24"
            n = (n + 1) % 256
        raise AssertionError("no free subnet in 10.61.0.0/16")

    def _configure(self):
        crun = os.path.join(self.folder, "bin/crun")
        with open(crun, "w") as f:
            f.write(CRUN_ON_HYBRID if read(HYBRID_FILE).strip() else '#!/bin/sh\nexec crun "$@"\n')
        os.chmod(crun, 0o755)
        handlers = "".join(HANDLER.format(name=n, program=p, folder=self.folder) for n, p in
                           (("runc", shutil.which("runc") or "runc"), ("crun", crun)))
        with open(os.path.join(self.folder, "config.toml"), "w") as f:
            f.write(CONFIG.format(folder=self.folder, socket=self.socket, pause="localhost/pause:1", default=self._oci,
                                  disabled=", ".join(f'"{n}"' for n in NOT_NEEDED), cni_bin=os.path.join(self.folder, "cni-bin"), handlers=handlers,
                                  level=self._level))
        # loopback needs no entry: containerd calls that plugin by itself.
        self.write_network([{"type": "bridge", "bridge": self.bridge, "isGateway": True, "ipMasq": True, "hairpinMode": True,
                             "ipam": {"type": "host-local", "dataDir": f"{self.folder}/leases", "ranges": [[{"subnet": self.subnet}]],
                                      "routes": [{"dst": "0.0.0.0/0"}]}},
                            {"type": "portmap", "capabilities": {"portMappings": True}}])

    def write_network(self, plugins, name="10-reprise.conflist"):
        """containerd watches the folder; the first file by name counts."""
        path = os.path.join(self.folder, "net.d", name)
        with open(path + ".new", "w") as f:
            json.dump({"cniVersion": "1.0.0", "name": self.network, "plugins": plugins}, f)
        os.rename(path + ".new", path)
        return path

    @contextlib.contextmanager
    def broken_network(self, says):
        """A network that cannot be made, for a while; it can be taken down. (Where that fails too, 1.6 keeps the sandbox, as it must.)"""
        path = os.path.join(self.folder, "cni-bin", "broken")
        with open(path, "w") as f:
            f.write(f"""#!/bin/sh
case $CNI_COMMAND in
VERSION) echo '{{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}}' ;;
ADD) echo '{{"cniVersion":"1.0.0","code":100,"msg":"{says}"}}'; exit 1 ;;
esac
""")
        os.chmod(path, 0o755)
        with self.other_network([{"type": "broken"}]):
            yield

    @contextlib.contextmanager
    def other_network(self, plugins):
        """Another network for a while."""
        import grpc
        path = self.write_network(plugins, "00-other.conflist")

        def first():
            with contextlib.suppress(grpc.RpcError):
                info = self.cri.Status(verbose=True).info
                return json.loads(info["cniconfig"])["Networks"][-1]["Config"]["Plugins"][0]["Network"]["type"]
        try:
            wait_until(lambda: first() == plugins[0]["type"], 10, "containerd to read its network's configuration")
            yield
        finally:
            os.unlink(path)
            wait_until(lambda: first() == "bridge", 10, "containerd to read its network's configuration")

    # --- life

    @property
    def endpoint(self):
        return f"unix://{self.socket}"

    @property
    def log(self):
        return read(os.path.join(self.folder, "containerd.log"))

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def launch(self):
        """Starts it and does not wait."""
        assert not self.alive()
        env = dict(os.environ, PATH=f"{self.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        for name in ("NOTIFY_SOCKET", "CONTAINERD_ADDRESS", "CONTAINERD_NAMESPACE"):
            env.pop(name, None)
        with open(os.path.join(self.folder, "containerd.log"), "ab") as log:
            self.process = subprocess.Popen([self.program, "--config", os.path.join(self.folder, "config.toml")], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, env=env, start_new_session=True, cwd="/")

    def start(self, timeout=30):
        began = time.monotonic()
        self.launch()
        self.wait_ready(timeout)
        self.start_seconds = time.monotonic() - began
        return self

    def wait_ready(self, timeout=30):
        """CRI answers and says that runtime and network are ready."""
        import grpc
        deadline, said = time.monotonic() + timeout, "no socket"
        while time.monotonic() < deadline:
            if not self.alive():
                raise AssertionError(f"containerd ended with {self.process.returncode}:\n{self.log[-3000:]}")
            try:
                with socket.socket(socket.AF_UNIX) as s:  # cheaper than grpc's back-off
                    s.connect(self.socket)
                conditions = self.cri.Status(_timeout=5).status.conditions
                said = "; ".join(f"{c.type} {c.status} {c.message}" for c in conditions)
                if all(c.status for c in conditions if c.type in ("RuntimeReady", "NetworkReady")):
                    return
            except OSError as e:
                said = str(e)
            except grpc.RpcError as e:
                said = e.details()
                self._forget_client()
            time.sleep(0.02)
        raise AssertionError(f"containerd is not ready after {timeout} s: {said}\n{self.log[-3000:]}")

    def _forget_client(self):
        if self._cri:
            self._cri.close()
            self._cri = None

    def _ended(self, seconds):
        self._forget_client()
        self.process.wait(seconds)
        self.process = None

    def stop(self, timeout=20):
        """SIGTERM: containers and their shims live on."""
        if self.alive():
            self.process.terminate()
            try:
                self._ended(timeout)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        """SIGKILL: containers and their shims live on."""
        if self.process is not None:
            self.process.kill()
            self._ended(10)
        self.killed = True

    def tidy(self):
        """What a kill has left half done is put away by containerd itself when it starts, and not before."""
        if self.alive() and not self.killed:
            return
        self.process = None if not self.alive() else self.process
        self.restart()
        self.killed = False

    def restart(self):
        self.stop()
        return self.start()

    def pause(self):
        """SIGSTOP: it accepts connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    # --- use

    @property
    def cri(self):
        if self._cri is None:
            self._cri = cri.Client(self.socket)
        return self._cri

    def ctr(self, *args, namespace=NAMESPACE, check=True, timeout=120, **kw):
        beside = os.path.join(self.bin, "ctr")
        argv = [beside if os.path.exists(beside) else "ctr", "-a", self.socket, "-n", namespace, *map(str, args)]
        kw = kw if "input" in kw else {"stdin": subprocess.DEVNULL, "text": True, **kw}
        done = subprocess.run(argv, capture_output=True, timeout=timeout, check=False, env={
            **os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}, **kw)
        assert not check or done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
        return done.stdout

    def import_images(self, layouts):
        """All OCI layouts of tools/make-images in a directory, as one archive; returns when CRI lists them."""
        index, names, blobs, out = [], set(), set(), io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            def add(name, data):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
            for layout in sorted(os.listdir(layouts)):
                path = os.path.join(layouts, layout)
                if not os.path.exists(f"{path}/index.json"):
                    continue
                for manifest in json.loads(read(f"{path}/index.json"))["manifests"]:
                    name = full_name(manifest["annotations"]["io.containerd.image.name"])
                    names.add(name)
                    index.append({**manifest, "annotations": {"io.containerd.image.name": name}})
                for blob in set(os.listdir(f"{path}/blobs/sha256")) - blobs:
                    blobs.add(blob)
                    with open(f"{path}/blobs/sha256/{blob}", "rb") as f:
                        add(f"blobs/sha256/{blob}", f.read())
            add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            add("index.json", json.dumps({"schemaVersion": 2, "manifests": index}).encode())
        self.ctr("images", "import", "-", input=out.getvalue())
        wait_until(lambda: names <= {t for i in self.cri.ListImages().images for t in i.repo_tags}, 20, f"CRI to list {names}")
        return names

    def bundle(self, ident, namespace=NAMESPACE):
        """The directory with a container's or sandbox's config.json."""
        return os.path.join(self.folder, "state/io.containerd.runtime.v2.task", namespace, ident)

    def shims(self):
        """pid -> sandbox or container that the shim was made for."""
        found = {}
        for pid in _pids():
            args = read(f"/proc/{pid}/cmdline").split("\0")
            if "containerd-shim" in args[0] and self.socket in args and "-id" in args and not _gone(pid):
                found[pid] = args[args.index("-id") + 1]
        return found

    # --- the end

    def leaks(self):
        """What is left of containers and sandboxes, as lines; empty in an idle containerd."""
        found = {f"shim {pid} of {ident}" for pid, ident in self.shims().items()}
        if self.alive():
            found |= {f"sandbox {s.id} {s.metadata.namespace}/{s.metadata.name} {s.metadata.uid}" for s in self.cri.sandboxes()}
            found |= {f"container {c.id} {c.metadata.name} in {c.pod_sandbox_id}" for c in self.cri.containers()}
            known = {s.id for s in self.cri.sandboxes()} | {c.id for c in self.cri.containers()}
            for space in self.namespaces():
                found |= {f"{space} container {i}" for i in self.ctr("containers", "ls", "-q", namespace=space).split() if i not in known}
        found |= {f"mount {m}" for m in self.mounts()}
        for top in ("state/io.containerd.runtime.v2.task", "leases"):
            for path, dirs, files in os.walk(os.path.join(self.folder, top)):
                found |= {os.path.join(path, f) for f in files if f[0].isdigit()} if top == "leases" else \
                    {os.path.join(path, d) for d in dirs if path.count("/") > self.folder.count("/") + 2}
                if top != "leases" and path.count("/") > self.folder.count("/") + 2:
                    dirs.clear()
        results = "/var/lib/cni/results"
        found |= {f"{results}/{n}" for n in (os.listdir(results) if os.path.isdir(results) else []) if n.startswith(self.network)}
        return found

    def namespaces(self):
        return self.ctr("namespaces", "ls", "-q").split()

    def mounts(self):
        """Mount points below the folder, in the order in which they were made."""
        lines = [line.split()[4] for line in read("/proc/self/mountinfo").splitlines()]
        return [m.replace("\\040", " ") for m in lines if m.startswith(self.folder + "/")]

    def remove_all(self):
        """Every sandbox, container and task of every namespace, through containerd itself."""
        import grpc
        for sandbox in self.cri.sandboxes():
            for call in (self.cri.StopPodSandbox, self.cri.RemovePodSandbox):
                with contextlib.suppress(grpc.RpcError):
                    call(pod_sandbox_id=sandbox.id)
        for container in self.cri.containers():
            with contextlib.suppress(grpc.RpcError):
                self.cri.RemoveContainer(container_id=container.id)
        for space in self.namespaces():
            for ident in self.ctr("containers", "ls", "-q", namespace=space).split():
                self.ctr("tasks", "rm", "-f", ident, namespace=space, check=False)
                self.ctr("containers", "rm", ident, namespace=space, check=False)

    def close(self):
        """Everything goes, whatever state it is in: by containerd if it still works, then by hand."""
        if self.process is not None:
            with contextlib.suppress(OSError):
                self.resume()
        bundles = [os.path.join(top, "config.json") for top, _, files in
                   os.walk(os.path.join(self.folder, "state/io.containerd.runtime.v2.task")) if "config.json" in files]
        # Without a parent of its caller's, CRI puts things into /k8s.io; that one goes if nobody else's are in it.
        cgroups = {f"/{NAMESPACE}/none"} | {json.loads(read(b) or "{}").get("linux", {}).get("cgroupsPath", "") for b in bundles}
        try:
            if not self.alive():
                self.process = None
                self.start(10)
            self.remove_all()
        except Exception as e:  # by hand, then; whoever closes has no better use for it
            print(f"containerd at {self.folder}: {e}", file=sys.stderr)
        self.stop()
        self._kill_shims()
        for mount in reversed(self.mounts()):
            subprocess.run(["umount", "-l", mount], capture_output=True, check=False)
        for path in filter(None, cgroups):
            self.remove_cgroup(path)
        for name in self._shim_sockets() - self._sockets_before:  # containerd forgets those of shims that could not start
            with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(FileNotFoundError):
                if s.connect_ex(f"{SHIM_SOCKETS}/{name}") == errno.ECONNREFUSED:
                    os.unlink(f"{SHIM_SOCKETS}/{name}")
        if not os.path.exists("/run/containerd/containerd.sock"):  # ctr and the shims made these; a system's containerd has them too
            for top, _, _ in os.walk("/run/containerd", topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(top)
        self._remove_network({os.path.basename(os.path.dirname(b)) for b in bundles})
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill_shims(self):
        shims, parents = set(self.shims()), _parents()
        doomed = set(shims)
        grew = True
        while grew:
            more = {pid for pid, parent in parents.items() if parent in doomed} - doomed
            doomed |= more
            grew = bool(more)
        for pid in sorted(doomed - shims) + sorted(shims):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: all(map(_gone, doomed)), 5, "shims to end")

    @staticmethod
    def remove_cgroup(path):
        """/k8s.io/<id> of every hierarchy, what is below it, and the parent if that is empty now."""
        if path.count("/") < 2 or ".." in path:
            return
        trees = [CGROUPS] if os.path.exists(f"{CGROUPS}/cgroup.controllers") else \
            {os.path.realpath(os.path.join(CGROUPS, n)) for n in os.listdir(CGROUPS)}
        for tree in trees:
            for top, _, _ in os.walk(tree + path, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(top)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(tree + path))

    def _remove_network(self, idents):
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)
        results = "/var/lib/cni/results"
        for name in os.listdir(results) if os.path.isdir(results) else []:
            if name.startswith(self.network) or name.removeprefix("cni-loopback-").removesuffix("-lo") in idents:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(results, name))
        # The plugins name the network in a comment; their DEL took them, unless containerd could not call it any more.
        rules = subprocess.run(["iptables", "-t", "nat", "-S"], capture_output=True, text=True, check=False).stdout.splitlines()
        ours = [line for line in rules if f'"{self.network}"' in line.replace('\\"', '"') and line.startswith("-A ")]
        chains = {chain for line in ours for chain in re.findall(r"\bCNI-(?:DN-|SN-)?[0-9a-f]{20,}", line)}
        for line in ours:
            subprocess.run(f"iptables -w -t nat -D {line[3:]}", shell=True, capture_output=True, check=False)
        for verb in ("-F", "-X"):
            for chain in chains:
                subprocess.run(["iptables", "-w", "-t", "nat", verb, chain], capture_output=True, check=False)


def remove(folder):
    config = os.path.join(os.path.abspath(folder), "config.toml")
    program = "containerd"
    for pid in _pids():
        args = read(f"/proc/{pid}/cmdline").split("\0")
        if "--config" in args and config in args:
            program = args[0]
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: _gone(pid), 5, "containerd to end")
    assert os.path.exists(config), f"{config} is not there"
    Containerd(folder, program).close()


def main():
    if sys.argv[1:2] == ["--remove"] and len(sys.argv) == 3:
        remove(sys.argv[2])
        return
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    program = BUILT if os.environ.get("REPRISE_TEST_CONTAINERD") == "2" else "containerd"
    with Containerd(sys.argv[1], program, oci=os.environ.get("OCI", "runc")) as it:
        print(f"ready after {it.start_seconds:.2f} s: {it.endpoint}")
        if len(sys.argv) == 3:
            began = time.monotonic()
            print(f"{len(it.import_images(sys.argv[2]))} images in {time.monotonic() - began:.2f} s")
        with contextlib.suppress(KeyboardInterrupt):
            it.process.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
