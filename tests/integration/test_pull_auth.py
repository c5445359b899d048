"""Pulls with credentials: a registry that asks for a login, and Pods that have the right one, a wrong one, several or none. Where
Debian's docker-registry is installed, that is asked too: it is the registry that everybody runs."""
import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest
from pods import container, pod
from registry import Registry, layout_blobs

RUNTIME = os.environ.get("REPRISE_TEST_RUNTIME") or "oci"

pytestmark = [pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed"),
              pytest.mark.filterwarnings("ignore:.crypt. is deprecated")]

USER, PASSWORD = "ada", "smash:it"
WRONG = "unauthorized: authentication required"
HEAD = "failed to pull image \"{}/app:1\": "
if RUNTIME == "cri":  # containerd's words
    WRONG, HEAD = "401 Unauthorized", "rpc error: code = Unknown desc = failed to pull and unpack image \"{}/app:1\": "


@contextlib.contextmanager
def ours(layout, _folder):
    server = Registry(*layout_blobs(layout), login=f"{USER}:{PASSWORD}")
    try:
        yield server.name, server
    finally:
        server.shutdown()
        server.server_close()


def hashed(password):
    import crypt  # until Python 3.13, and Debian 12 has 3.11
    return crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))


@contextlib.contextmanager
def debians(layout, folder):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        name = f"127.0.0.1:{s.getsockname()[1]}"
    config, logins = f"{folder}/registry.json", f"{folder}/htpasswd"
    with open(logins, "w", encoding="utf-8") as f:
        f.write(f"{USER}:{hashed(PASSWORD)}\n")
    with open(config, "w", encoding="utf-8") as f:
        json.dump({"version": 0.1, "log": {"level": "error"}, "http": {"addr": name},
                   "storage": {"filesystem": {"rootdirectory": f"{folder}/registry"}},
                   "auth": {"htpasswd": {"realm": "test", "path": logins}}}, f)
    server = subprocess.Popen(["docker-registry", "serve", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", int(name.split(":")[1]))) == 0:
                    break
            time.sleep(0.1)
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", f"--dest-creds={USER}:{PASSWORD}",
                        f"oci:{layout}", f"docker://{name}/app:1"], check=True, timeout=60, capture_output=True)
        yield name, None
    finally:
        server.kill()
        server.wait(10)


@pytest.fixture(params=[ours] + ([debians] if shutil.which("docker-registry") else []), ids=lambda f: f.__name__)
def registry(request, image_layouts, folder):
    with request.param(f"{image_layouts}/reprise-examples", folder) as it:
        yield it


def waits(p):
    return (p["status"].get("containerStatuses") or [{}])[0].get("state", {}).get("waiting", {})


def wait_for(started, reason):
    return waits(started.wait_for(lambda p: waits(p).get("reason") == reason, timeout=40, what=reason))


class Puller:
    """`reprise run` with an image store of its own and a home without a login."""

    def __init__(self, reprise):
        self.reprise = reprise
        if RUNTIME == "oci":
            os.unlink(f"{reprise.root}/images")
        self.home = f"{reprise.folder}/home"
        os.mkdir(self.home)
        self.env = {"HOME": self.home, "REGISTRY_AUTH_FILE": f"{self.home}/none"}

    def login(self, path, *auths):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(config(*auths))

    def run(self, *documents, until="Succeeded"):
        done = self.reprise.run_pod("---\n".join(documents), f"--until={until}", "--timeout=60s", env=self.env)
        self.check_nothing_kept()
        return done

    def events(self, *documents):
        """What is said to people, line by line."""
        done = self.reprise.run_pod("---\n".join(documents), "--until=Succeeded", "--timeout=60s", env=self.env, output="lines")
        assert done.returncode == 0, done.explain()
        return done.stdout + done.stderr

    def check_nothing_kept(self):
        if RUNTIME == "oci":
            assert os.listdir(f"{self.reprise.root}/images/tmp") == []

    def waiting(self, reason, *documents):
        """The waiting state with that reason, while the Pod tries."""
        started = self.reprise.start_pod("---\n".join(documents), env=self.env)
        return started, wait_for(started, reason)


@pytest.fixture
def puller(reprise):
    return Puller(reprise)


def config(*auths):
    return json.dumps({"auths": {key: {"auth": base64.b64encode(login.encode()).decode()} for key, login in auths}})


def secret(name, *auths):
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/dockerconfigjson",
                       "stringData": {".dockerconfigjson": config(*auths)}}) + "\n"


def app(registry, *secrets, **fields):
    return pod(container(script="exit 0", image=f"{registry}/app:1", **fields), imagePullSecrets=[{"name": s} for s in secrets]) + "\n"


GOOD = f"{USER}:{PASSWORD}"


def test_secret(puller, registry):
    name, _ = registry
    done = puller.run(secret("s", (name, GOOD)), app(name, "s"))
    assert done.returncode == 0, done.explain()


def test_each_in_turn(puller, registry):
    name, server = registry
    # The longer key first, whatever the order of the secrets; then the node's own.
    puller.login(f"{puller.home}/.docker/config.json", (name, GOOD))
    done = puller.run(secret("wide", (f"https://{name}/v2/", "host:x")), secret("deep", (f"{name}/app", "path:x")),
                      app(name, "wide", "deep"))
    assert done.returncode == 0, done.explain()
    if server:
        tried = [t for t in server.tried if t]
        assert [t for i, t in enumerate(tried) if i == 0 or t != tried[i - 1]] == ["path:x", "host:x", GOOD]


def test_wrong(puller, registry):
    name, _ = registry
    documents = secret("a", (name, f"{USER}:wrong")), secret("b", (f"{name}/app", "eve:wrong")), app(name, "a", "b")
    started, seen = puller.waiting("ErrImagePull", *documents)
    # Both failed with the same words, which are said once.
    assert seen["message"].startswith(HEAD.format(name)) and seen["message"].count(WRONG) == 1, seen
    assert "wrong" not in seen["message"] and not seen["message"].startswith("["), seen
    later = wait_for(started, "ImagePullBackOff")
    assert later["message"].startswith(f'Back-off pulling image "{name}/app:1": ErrImagePull: ') and WRONG in later["message"]
    started.interrupt()
    started.wait()
    puller.check_nothing_kept()


@pytest.mark.oci("the words are skopeo's")
@pytest.mark.parametrize("registry", [ours], indirect=True, ids=["ours"])  # it has two ways to say no
def test_each_error_is_told(puller, registry):
    name, _ = registry
    started, seen = puller.waiting("ErrImagePull", secret("s", (name, "eve:x"), (f"{name}/app", "mallory:x")), app(name, "s"))
    head = f'failed to pull image "{name}/app:1": [initializing source docker://{name}/app:1: '
    assert seen["message"].startswith(head) and seen["message"].endswith(f"{WRONG}]"), seen
    assert "denied: no such friend, initializing source" in seen["message"], seen
    started.interrupt()
    started.wait()


def test_none(puller, registry):
    name, server = registry
    started, seen = puller.waiting("ErrImagePull", app(name))
    assert WRONG in seen["message"], seen
    started.interrupt()
    started.wait()
    assert not server or set(server.tried) <= {None, ":"}  # skopeo says that it is nobody


def test_missing_secret_is_told(puller, registry):
    name, _ = registry
    puller.login(f"{puller.reprise.root}/config.json", (name, GOOD))
    text = puller.events(app(name, "gone", "too"))
    assert ("Unable to retrieve some image pull secrets (gone, too); attempting to pull the image may not succeed." in text), text


def test_broken_node_config_is_told_and_passed_over(puller, registry):
    name, server = registry
    if server:
        server.login = None  # an open registry: the file must not be in the way of it either
    os.makedirs(f"{puller.home}/.docker")
    with open(f"{puller.home}/.docker/config.json", "w", encoding="utf-8") as f:
        f.write('{"auths": {"x": {"password": hunter2')
    text = puller.events(*([app(name)] if server else [secret("s", (name, GOOD)), app(name, "s")]))
    assert f"Ignoring a docker config file: {puller.home}/.docker/config.json: JSON: line 1" in text and "hunter2" not in text, text


def test_broken_secret_fails_the_pull(puller, registry):
    name, server = registry
    bad = json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "kubernetes.io/dockercfg",
                      "stringData": {".dockercfg": json.dumps({name: {"auth": "hunter2!"}})}}) + "\n"
    started, seen = puller.waiting("ErrImagePull", bad, app(name, "s"))
    assert seen["message"] == f'image pull secret "s": .dockercfg: "{name}": auth: illegal base64 data', seen
    started.interrupt()
    started.wait()
    assert not server or not server.tried


@pytest.mark.oci("about skopeo's authfile")
@pytest.mark.parametrize("registry", [ours], indirect=True, ids=["ours"])  # it can be made slow
def test_nobody_else_sees_them(puller, registry):
    """While skopeo runs: on no command line, in no environment, and in a file that is root's alone."""
    name, server = registry
    seen, come, go_on = {}, threading.Event(), threading.Event()
    handler, real = server.RequestHandlerClass, server.RequestHandlerClass.do_GET

    def slow(self):
        come.set()
        go_on.wait(20)
        real(self)
    handler.do_GET = slow
    try:
        started = puller.reprise.start_pod("---\n".join([secret("s", (name, GOOD)), app(name, "s")]), "--until=Succeeded",
                                           env=puller.env)
        assert come.wait(20)
        encoded = base64.b64encode(GOOD.encode())
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as c, open(f"/proc/{pid}/environ", "rb") as e:
                text = c.read() + e.read()
                assert PASSWORD.encode() not in text and encoded not in text, text
        for folder, _, files in os.walk(f"{puller.reprise.root}/images/tmp"):
            for f in files:
                if f == "auth.json":
                    seen[f] = os.stat(f"{folder}/{f}").st_mode & 0o7777, os.stat(folder).st_mode & 0o7777
    finally:
        go_on.set()
        handler.do_GET = real
    assert seen == {"auth.json": (0o600, 0o700)}
    done = started.wait()
    assert done.returncode == 0, done.explain()
    puller.check_nothing_kept()


@pytest.mark.oci("a command of the embedded runtime's store")
def test_image_pull_uses_the_nodes(puller, registry):
    name, _ = registry
    done = puller.reprise.command("image", "pull", f"--root={puller.reprise.root}", f"{name}/app:1", env=puller.env)
    assert done.returncode != 0 and WRONG in done.stderr, done.explain()
    puller.login(f"{puller.reprise.root}/config.json", (name, GOOD))
    done = puller.reprise.command("image", "pull", f"--root={puller.reprise.root}", f"{name}/app:1", env=puller.env)
    assert done.returncode == 0, done.explain()
