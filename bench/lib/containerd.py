"""A containerd of the benchmark's own, and the plain CRI client that is measured over it.

The configuration is the tests' (tests/containerd.py); what is different here only makes it faster: crun is called without a
wrapper, the state directory is on a tmpfs, as /run is, and only warnings are logged."""
import contextlib
import glob
import hashlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from . import cgroups, machine
from .shell import Failed

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "tests"))
import containerd as tests_containerd  # noqa: E402
import cri  # noqa: E402

IMAGE = "localhost/bench:1"
CGROUP = "/bench-cri"
VERSIONS = ("1", "2")  # Debian's; the one of tools/build-containerd, which has GetContainerEvents
# Calls of the plain client at the same time. With 50 containers, one after the other is slower by 1 s, and all at once makes containerd's
# shim lock up for 4 to 40 s in every second restart.
AT_ONCE = 8
# Less CPU time than this in such a time is rest.
QUIET_S, QUIET_NS = 0.03, 1_000_000
EVENTS_PROTO = os.path.join(ROOT, "src/runtime/cri/containerd_events.proto")


# security_masked_paths and security_readonly_paths of src/runtime/security.c: the kubelet's.
MASKED = ["/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


@contextlib.contextmanager
def as_failed():
    """What containerd refuses is Failed."""
    import grpc
    try:
        yield
    except grpc.RpcError as e:
        raise Failed(f"containerd: {e.code().name}: {e.details()}") from None


def program(version):
    """The path of that containerd, or None."""
    if version == "2":
        built = os.path.join(ROOT, os.environ.get("BUILD", "build"), "tools/containerd-2/containerd")
        return built if os.access(built, os.X_OK) else None
    return shutil.which("containerd")


def missing(version, oci="runc"):
    """Why it cannot be measured here, or None."""
    lack = cri.missing()
    if lack:
        return lack
    if not program(version):
        return "containerd is not installed" if version == "1" else "no newer containerd is built (tools/build-containerd)"
    if not shutil.which("catatonit"):
        return "catatonit is not installed: no pause image"
    return None if shutil.which(oci) else f"{oci} is not installed"


def described(version):
    """Its version, as it says itself; None where it is not there."""
    path = program(version)
    if not path:
        return None
    out = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.split()
    return out[2] if len(out) > 2 else "unknown"


class Daemon(tests_containerd.Containerd):
    """One of each version, for all that is measured over it. It ends with the nest."""

    def __init__(self, rig, version):
        nest = rig.nest
        folder = nest.path(f"cd{version}")
        super().__init__(folder, program(version), oci="runc" if version == "2" else "crun", level="warn")
        os.makedirs(f"{folder}/state", exist_ok=True)
        subprocess.run(["mount", "--bind", nest.run_path(f"cd{version}"), f"{folder}/state"], check=True)
        crun = os.path.join(folder, "bin/crun")
        os.unlink(crun)
        os.symlink(shutil.which("crun") or "/nonexistent/crun", crun)
        cgroups.note(nest.work, CGROUP)
        self.start()
        self.import_images(self._images(rig))

    def launch(self):
        """In a mount namespace in which crun finds no controller on cgroup v2 (lib/shell.py says why), and which keeps containerd's
        mounts from the other peers."""
        hide = f"mount --bind /dev/null {cgroups.HIDDEN} && " if cgroups.hybrid_with_controllers() else ""
        env = dict(os.environ, PATH=f"{self.bin}:{os.environ['PATH']}")
        with open(os.path.join(self.folder, "containerd.log"), "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation=private", "/bin/sh", "-c", hide + 'exec "$0" --config "$1"', self.program,
                 os.path.join(self.folder, "config.toml")],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env, start_new_session=True, cwd="/")

    def _helpers(self):
        """How many processes it has started that are not done yet: it cleans up after each end of a task by one."""
        found = 0
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/children"):
            with contextlib.suppress(OSError), open(path, encoding="ascii") as f:
                found += len(f.read().split())
        return found

    def quiet(self, seconds=10.0):
        """Until what it does in the background is done, so that nobody else's turn falls into it."""
        deadline, calm = time.monotonic() + seconds, 0
        before = machine.process_ns(self.process.pid)
        while calm < 2 and time.monotonic() < deadline:
            time.sleep(QUIET_S)
            now = machine.process_ns(self.process.pid)
            calm = calm + 1 if now - before < QUIET_NS and not self._helpers() else 0
            before = now

    @staticmethod
    def _images(rig):
        """Layouts of the pause image, and of the image that all peers have."""
        out = rig.nest.path("layouts")
        subprocess.run([os.path.join(ROOT, "tools/make-images"), out], check=True, stdout=subprocess.DEVNULL,
                       env=dict(os.environ, CATATONIT=shutil.which("catatonit")))
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            tar.add(rig.rootfs, ".")
        blobs = os.path.join(rig.nest.path("layouts", "bench"), "blobs/sha256")
        os.makedirs(blobs, exist_ok=True)

        def put(data, kind):
            name = hashlib.sha256(data).hexdigest()
            with open(os.path.join(blobs, name), "wb") as f:
                f.write(data)
            return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{name}", "size": len(data)}
        layer = put(layer.getvalue(), "layer.v1.tar")
        arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
        config = put(json.dumps({"architecture": arch, "os": "linux", "config": {},
                                 "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}).encode(), "config.v1+json")
        manifest = put(json.dumps({"schemaVersion": 2, "config": config, "layers": [layer]}).encode(), "manifest.v1+json")
        with open(os.path.join(out, "bench/index.json"), "w", encoding="utf-8") as f:
            json.dump({"schemaVersion": 2, "manifests": [{**manifest, "annotations": {"io.containerd.image.name": IMAGE}}]}, f)
        return out


def daemon(rig, version):
    """The one Daemon of <rig> and version, started when it is first wanted."""
    known = rig.__dict__.setdefault("daemons", {})
    if version not in known:
        try:
            known[version] = Daemon(rig, version)
        except (AssertionError, subprocess.SubprocessError) as e:
            known[version] = None
            raise Failed(f"containerd: {e}") from None
    if known[version] is None:
        raise Failed("containerd did not start")
    return known[version]


def has_container_events(one):
    """Whether it has CRI's own event stream (containerd from 1.7)."""
    import grpc
    call = one.cri.GetContainerEvents(_timeout=1)
    try:
        next(call)
    except grpc.RpcError as e:
        return e.code() != grpc.StatusCode.UNIMPLEMENTED
    return True


class Ends:
    """Ends of tasks, by containerd's own event stream: what a CRI client can have without asking again and again."""

    def __init__(self, nest, client):
        self._pb = self._messages(nest)
        self._seen, self._changed = set(), threading.Condition()
        subscribe = client.channel.unary_stream("/containerd.services.events.v1.Events/Subscribe",
                                                request_serializer=self._pb.SubscribeRequest.SerializeToString,
                                                response_deserializer=self._pb.Envelope.FromString)
        self._call = subscribe(self._pb.SubscribeRequest(filters=['topic=="/tasks/exit"']))
        threading.Thread(target=self._read, daemon=True).start()

    @staticmethod
    def _messages(nest):
        out = nest.path("events-pb2")
        if "containerd_events_pb2" not in sys.modules:
            subprocess.run(["protoc", f"--proto_path={os.path.dirname(EVENTS_PROTO)}", f"--python_out={out}", EVENTS_PROTO], check=True)
            sys.path.append(out)
        return importlib.import_module("containerd_events_pb2")

    def _read(self):
        import grpc
        try:
            for envelope in self._call:
                ended = self._pb.TaskExit.FromString(envelope.event.value)
                with self._changed:
                    self._seen.add(ended.container_id)
                    self._changed.notify_all()
        except grpc.RpcError:
            pass  # closed

    def wait(self, ident, seconds):
        """Whether that container's end was told within so many seconds."""
        with self._changed:
            told = self._changed.wait_for(lambda: ident in self._seen, seconds)
            self._seen.discard(ident)
            return told

    def close(self):
        self._call.cancel()


class PlainPod:
    """A Pod over CRI, made and made anew in the plain order by a client that knows nothing of in-place restart."""

    def __init__(self, rig, version, handler, pod, log_dir):
        self.daemon, self.pod = daemon(rig, version), pod
        self.client = cri.Client(self.daemon.socket)
        self.ends = Ends(rig.nest, self.client)
        self.workers = ThreadPoolExecutor(AT_ONCE)
        self.attempt, self.ids = 0, []
        uid = f"{hashlib.sha256(pod.name.encode()).hexdigest()[:8]}-0000-4000-8000-000000000000"
        self.config = {"metadata": {"name": pod.name, "uid": uid, "namespace": "default", "attempt": 0}, "log_directory": log_dir,
                       "linux_": {"cgroup_parent": f"{CGROUP}/pod{uid}", "security_context": {"namespace_options": {"pid": 1}}}}
        self.sandbox = self.client.RunPodSandbox(config=self.config, runtime_handler=handler).pod_sandbox_id

    def _container(self, i):
        name = f"{self.pod.shape[i][0]}-{i}"
        return {"metadata": {"name": name, "attempt": self.attempt}, "image": {"image": IMAGE}, "command": self.pod.command(i),
                "log_path": f"{name}/{self.attempt}.log",
                "mounts": [{"container_path": "/stamps", "host_path": self.pod.stamps}],
                # As the kubelet has it for a Pod that asks for nothing: no seccomp, a pid namespace of its own.
                "linux_": {"security_context": {"namespace_options": {"pid": 1}, "seccomp": {"profile_type": 1},
                                                "masked_paths": MASKED, "readonly_paths": READONLY}}}

    def up(self):
        """CreateContainer and StartContainer of each in Kubernetes' order; an init container's end is waited for."""
        self.ids = []
        for i, (kind, _) in enumerate(self.pod.shape):
            ident = self.client.CreateContainer(pod_sandbox_id=self.sandbox, config=self._container(i),
                                                sandbox_config=self.config).container_id
            self.ids.append(ident)
            self.client.StartContainer(container_id=ident)
            if kind == "init" and not self.ends.wait(ident, 20):
                raise Failed("containerd did not tell of the init container's end")
        self.attempt += 1

    def down(self):
        """StopContainer with no grace of all that run, then RemoveContainer of all, each with AT_ONCE at the same time."""
        running = [i for i, (kind, _) in zip(self.ids, self.pod.shape) if kind != "init"]
        list(self.workers.map(lambda i: self.client.StopContainer(container_id=i, timeout=0), running))
        list(self.workers.map(lambda i: self.client.RemoveContainer(container_id=i), self.ids))

    def close(self):
        self.workers.shutdown()
        self.client.StopPodSandbox(pod_sandbox_id=self.sandbox)
        self.client.RemovePodSandbox(pod_sandbox_id=self.sandbox)
        self.ends.close()
        self.client.close()
