"""`reprise doctor` and CRI: a real containerd in the states that people have it in, and small fakes for what Debian's is too new or
too old for."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import pytest

from fakecri import IMAGES, RUNTIME, FakeCri, Refused, messages

CONFIG = """version = 2
root = "{d}/root"
state = "{d}/state"
disabled_plugins = [{disabled}]
[grpc]
  address = "{d}/c.sock"
[ttrpc]
  address = "{d}/c.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{d}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = "{d}/net.d"
  bin_dir = "/usr/lib/cni"
"""


class Containerd:
    """One of our own below a folder; it makes no containers here, so ending it leaves nothing."""

    def __init__(self, disabled=""):
        self.dir = tempfile.mkdtemp(prefix="reprise-dc-", dir="/tmp")
        self.socket = f"{self.dir}/c.sock"
        os.mkdir(f"{self.dir}/net.d")
        with open(f"{self.dir}/config.toml", "w") as f:
            f.write(CONFIG.format(d=self.dir, disabled=disabled))

    def __enter__(self):
        with open(f"{self.dir}/log", "wb") as log:
            self.process = subprocess.Popen(["containerd", "--config", f"{self.dir}/config.toml"], stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not self.listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = open(f"{self.dir}/log").read()[-2000:]
                self.__exit__()
                raise AssertionError(said)
            time.sleep(0.05)
        return self

    def listens(self):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.socket) == 0

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.dir, ignore_errors=True)


def doctor(program, endpoint, *args, prefix=(), **env):
    where = [f"--container-runtime-endpoint={endpoint}"] if endpoint else []
    r = subprocess.run([*prefix, program, "doctor", "-o", "json", *where, *args], capture_output=True, text=True, timeout=60,
                       env={**os.environ, **env})
    checks = json.loads(r.stdout)["checks"]
    assert r.stderr == ""
    return r.returncode, {c["check"]: c for c in checks if c["area"] == "CRI"}, {c["area"] for c in checks}


def status(network=True, runtime=True, info=None, **more):
    pb = messages()
    kinds = [("RuntimeReady", runtime), ("NetworkReady", network)]
    conditions = [pb.RuntimeCondition(type=t, status=ok, reason="" if ok else "Broken", message="" if ok else f"{t} is so") for t, ok in kinds]
    return pb.StatusResponse(status=pb.RuntimeStatus(conditions=conditions), info=info or {}, **more)


@pytest.fixture
def fake(tmp_path):
    """All is well here, and new; tests take things away."""
    pb = messages()
    version = pb.VersionResponse(version="0.1.0", runtime_name="fake", runtime_version="9", runtime_api_version="v1")
    config = pb.RuntimeConfigResponse(linux_=pb.LinuxRuntimeConfiguration(cgroup_driver=1))
    with FakeCri(tmp_path / "s", {RUNTIME + "Version": lambda _: version, RUNTIME + "Status": lambda _: status(),
                                  RUNTIME + "RuntimeConfig": lambda _: config,
                                  RUNTIME + "GetContainerEvents": lambda _: it.until_closed(),
                                  IMAGES + "ImageFsInfo": lambda _: pb.ImageFsInfoResponse(),
                                  IMAGES + "ImageStatus": lambda _: pb.ImageStatusResponse()}) as it:
        yield it


# --- a real one

@pytest.mark.skipif(not shutil.which("containerd"), reason="containerd is not installed")
def test_containerd(program):
    with Containerd() as it:
        code, found, areas = doctor(program, f"unix://{it.socket}")
        assert found["socket"]["meaning"] == it.socket and found["version"]["meaning"].startswith("containerd ")
        assert found["runtime"]["status"] == "ok"
        network = found["network"]
        assert code == 3 and network["status"] == "missing" and "cni plugin not initialized" in network["meaning"]
        assert f"{it.dir}/net.d" in network["fix"]
        assert found["cgroup driver"]["meaning"].startswith("cgroupfs") and found["events"]["status"] == "ok"
        pause = found["sandbox image"]
        assert pause["status"] == "warning" and pause["meaning"].startswith("localhost/pause:1 is not there")
        assert found["images"]["meaning"].startswith(it.dir)
        assert "OCI runtime" not in areas and "network" not in areas
        # With a network it is ready. The file is enough: no plugin is asked before the first Pod.
        with open(f"{it.dir}/net.d/10-x.conflist", "w") as f:
            json.dump({"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": "loopback"}]}, f)
        deadline = time.monotonic() + 20
        while code and time.monotonic() < deadline:
            time.sleep(0.2)
            code, found, _ = doctor(program, it.socket)
        assert code == 0 and found["network"]["meaning"] == "ready"
    assert not os.path.exists(it.socket)


@pytest.mark.skipif(not shutil.which("containerd"), reason="containerd is not installed")
def test_cri_plugin_disabled(program):
    with Containerd('"io.containerd.grpc.v1.cri"') as it:
        code, found, _ = doctor(program, f"unix://{it.socket}")
        assert code == 3 and list(found) == ["socket", "version"]
        assert "CRI plugin is off" in found["version"]["meaning"] and "disabled_plugins" in found["version"]["fix"]


# --- the socket

def test_no_socket(program, tmp_path):
    empty = {"PATH": str(tmp_path)}
    code, found, _ = doctor(program, f"unix://{tmp_path}/none.sock", **empty)
    assert code == 3 and list(found) == ["socket"]
    assert found["socket"]["meaning"] == f"{tmp_path}/none.sock is not there: containerd is not installed"
    assert found["socket"]["fix"].endswith("apt-get install containerd, then systemctl start containerd")
    _, found, _ = doctor(program, f"unix://{tmp_path}/crio/crio.sock", **empty)
    assert "crio is not installed" in found["socket"]["meaning"]
    containerd = tmp_path / "containerd"
    containerd.write_text("#!/bin/sh\n")
    containerd.chmod(0o755)
    _, found, _ = doctor(program, f"unix://{tmp_path}/none.sock", **empty)
    assert found["socket"]["meaning"].endswith("containerd is installed, but does not run")
    assert found["socket"]["fix"].endswith("systemctl start containerd") and "apt-get" not in found["socket"]["fix"]


def test_left_socket(program, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
    _, found, _ = doctor(program, path)
    assert "nobody listens there" in found["socket"]["meaning"] and "systemctl restart containerd" in found["socket"]["fix"]


def test_no_socket_at_all(program, tmp_path):
    (tmp_path / "f").write_text("")
    for endpoint, said in ((tmp_path / "f", "is a file, no socket"), (tmp_path, "is a directory, no socket"),
                           ("tcp://localhost:1", "is no address of a unix socket"), (tmp_path / "f" / "x", "is not there")):
        code, found, _ = doctor(program, endpoint)
        assert code == 3 and list(found) == ["socket"] and said in found["socket"]["meaning"], found


def test_no_permission(program):
    with tempfile.TemporaryDirectory(dir="/tmp") as d:
        os.chmod(d, 0o755)
        os.mkdir(f"{d}/shut", 0o700)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(f"{d}/s")
            s.listen()
            os.chmod(f"{d}/s", 0o660)
            nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            _, found, _ = doctor(program, f"{d}/s", prefix=nobody)
            assert found["socket"]["meaning"].endswith("no permission for uid 65534 (it is root:root's, mode 0660)")
            _, found, _ = doctor(program, f"{d}/shut/s", prefix=nobody)
            assert "no permission for uid 65534 to look there" in found["socket"]["meaning"] and "sudo" in found["socket"]["fix"]


def test_somebody_else_listens(program, tmp_path):
    """Docker's API, say: it hangs up on what is no HTTP/1 of its own."""
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "docker.sock"))
        s.listen()
        p = subprocess.Popen([program, "doctor", "-o", "json", f"--container-runtime-endpoint={tmp_path}/docker.sock"],
                             stdout=subprocess.PIPE, text=True)
        for _ in range(2):  # the look at the socket, then the call
            c, _ = s.accept()
            with c, contextlib.suppress(BrokenPipeError):
                c.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        s.close()
        found = {c["check"]: c for c in json.loads(p.communicate(timeout=60)[0])["checks"] if c["area"] == "CRI"}
    assert found["version"]["status"] == "missing" and "socket of a CRI runtime" in found["version"]["fix"]


# --- what it says

def test_all_is_well(program, fake):
    code, found, areas = doctor(program, fake.endpoint)
    assert code == 0 and {c["status"] for c in found.values()} == {"ok"}
    assert found["version"]["meaning"] == "fake 9, CRI v1" and found["cgroup driver"]["meaning"] == "cgroupfs"
    assert found["events"]["meaning"].startswith("GetContainerEvents")
    assert "OCI runtime" in doctor(program, fake.endpoint, "--runtime=oci")[2] and "OCI runtime" not in areas


def test_only_when_asked(program, fake):
    env = {"CONTAINER_RUNTIME_ENDPOINT": fake.endpoint}
    assert "CRI" not in doctor(program, None, **env)[2]
    assert doctor(program, None, "--runtime=cri", **env)[1]["version"]["meaning"] == "fake 9, CRI v1"


def test_old_api(program, tmp_path):
    old = messages().VersionResponse(runtime_name="containerd", runtime_version="1.5.9")
    with FakeCri(tmp_path / "s", {"/runtime.v1alpha2.RuntimeService/Version": lambda _: old}) as it:
        code, found, _ = doctor(program, it.endpoint)
    assert code == 3 and found["version"]["meaning"].startswith("containerd 1.5.9 speaks only CRI v1alpha2")


def test_not_ready(program, fake):
    fake.answers[RUNTIME + "Status"] = lambda _: status(network=False, runtime=False)
    code, found, _ = doctor(program, fake.endpoint)
    assert code == 3 and found["runtime"]["meaning"] == "RuntimeReady is false: Broken: RuntimeReady is so"
    assert found["network"]["meaning"].endswith("Broken: NetworkReady is so") and "/etc/cni/net.d" in found["network"]["fix"]
    for key, value in (("binDir", "/my/cni"), ("binDirs", ["/my/cni", "/other"])):  # containerd 1.x, 2.x
        config = json.dumps({"cni": {"confDir": "/my/net.d", key: value}})
        fake.answers[RUNTIME + "Status"] = lambda _, config=config: status(network=False, info={"config": config})
        fix = doctor(program, fake.endpoint)[1]["network"]["fix"]
        assert "into /my/net.d, and its plugins into /my/cni (" in fix
    fake.answers[RUNTIME + "Status"] = lambda _: messages().StatusResponse()
    assert "neither RuntimeReady nor NetworkReady" in doctor(program, fake.endpoint)[1]["runtime"]["meaning"]


@pytest.mark.parametrize("info", [{"config": json.dumps({"sandboxImage": "r/pause:3"})}, {"config": '{"a": 1}\n'},
                                  {"config": '[crio.image]\n    pause_image = "r/pause:3"\n'}, {"config": "{broken"}])
def test_sandbox_image(program, fake, info):
    fake.answers[RUNTIME + "Status"] = lambda _: status(info=info)
    found = doctor(program, fake.endpoint)[1]
    assert ("sandbox image" in found) == ("pause:3" in info["config"])
    if "sandbox image" in found:
        assert found["sandbox image"]["status"] == "warning" and '"r/pause:3"' in found["sandbox image"]["fix"]
        pb = messages()
        fake.answers[IMAGES + "ImageStatus"] = lambda _: pb.ImageStatusResponse(image=pb.Image(id="x"))
        assert doctor(program, fake.endpoint)[1]["sandbox image"]["status"] == "ok"


def test_cgroup_driver(program, fake):
    pb, systemd = messages(), os.path.isdir("/run/systemd/system")
    fake.answers[RUNTIME + "RuntimeConfig"] = lambda _: pb.RuntimeConfigResponse(linux_=pb.LinuxRuntimeConfiguration())
    assert doctor(program, fake.endpoint)[1]["cgroup driver"]["status"] == ("ok" if systemd else "warning")
    del fake.answers[RUNTIME + "RuntimeConfig"]
    assert doctor(program, fake.endpoint)[1]["cgroup driver"]["meaning"].startswith("not said")
    config = {"containerd": {"defaultRuntimeName": "x", "runtimes": {"x": {"options": {"SystemdCgroup": True}}}}}
    fake.answers[RUNTIME + "Status"] = lambda _: status(info={"config": json.dumps(config)})
    assert doctor(program, fake.endpoint)[1]["cgroup driver"]["meaning"].startswith("systemd")


def test_events(program, fake):
    del fake.answers[RUNTIME + "GetContainerEvents"]
    events = doctor(program, fake.endpoint)[1]["events"]
    assert events["status"] == "warning" and events["meaning"].startswith("none (Unimplemented)")
    fake.answers["/containerd.services.events.v1.Events/Subscribe"] = lambda _: fake.until_closed()
    assert doctor(program, fake.endpoint)[1]["events"]["meaning"].startswith("containerd's own stream")
    del fake.answers["/containerd.services.events.v1.Events/Subscribe"]
    fake.answers[RUNTIME + "GetContainerEvents"] = lambda _: iter(())  # CRI-O without enable_pod_events
    assert "the stream ends at once" in doctor(program, fake.endpoint)[1]["events"]["meaning"]


def test_image_service(program, fake, tmp_path):
    found = doctor(program, fake.endpoint, f"--image-service-endpoint=unix://{tmp_path}/none")[1]
    assert found["images"]["status"] == "missing" and "--image-service-endpoint" in found["images"]["fix"]

    def refuse(_):
        raise Refused("INTERNAL", "disk on fire")
    fake.answers[IMAGES + "ImageFsInfo"] = refuse
    assert "disk on fire" in doctor(program, fake.endpoint)[1]["images"]["meaning"]
