"""`reprise image` end to end: every form that an image can come in, what containers then see, a registry of our own, and what
is left after rm, prune, kill -9 and a full disk."""
import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading

import pytest
from registry import Registry, RegistryHandler

pytestmark = pytest.mark.oci("about the embedded runtime's image store")

needs_skopeo = pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")


class Images:
    """`reprise image` on a store of its own."""

    def __init__(self, program, folder):
        self.program, self.folder, self.root = program, folder, os.path.join(folder, "root")

    def __call__(self, command, *args, ok=True, stdin=subprocess.DEVNULL, env=None, timeout=60):
        done = subprocess.run([self.program, "image", command, f"--root={self.root}", *args], capture_output=True, text=True,
                              stdin=stdin, env={**os.environ, **(env or {})}, timeout=timeout)
        if ok:
            assert done.returncode == 0, f"{args}: {done.returncode}: {done.stdout}{done.stderr}"
        elif ok is False:
            assert done.returncode != 0, f"{args} should have failed: {done.stdout}"
        return done

    def list(self):
        return json.loads(self("ls", "-o", "json").stdout)

    def inspect(self, ref):
        return json.loads(self("inspect", ref).stdout)[0]

    def names(self, what):
        path = os.path.join(self.root, "images", what)
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def check_empty(self):
        for what in "layers", "blobs/sha256", "tmp", "refs":
            assert self.names(what) == [], what

    @contextlib.contextmanager
    def merged(self, ref):
        """A container's view of the image."""
        layers = self.inspect(ref)["layers"]
        base = os.path.join(self.folder, "mnt")
        for name in "up", "work", "merged":
            os.makedirs(os.path.join(base, name))
        target = os.path.join(base, "merged")
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                        f"lowerdir={':'.join(reversed(layers))},upperdir={base}/up,workdir={base}/work", target], check=True)
        try:
            yield target
        finally:
            subprocess.run(["umount", target], check=True)
            shutil.rmtree(base)


@pytest.fixture
def images(program, folder):
    def mounts():
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            return sum(folder in line for line in f)
    yield Images(program, folder)
    assert mounts() == 0


# --- making images -------------------------------------------------------------------------------------------------

def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(entries):
    """Bytes of a tar; an entry is (name, content) or a TarInfo."""
    buf = io.BytesIO()
    with tarfile.open(fileobj=buf, mode="w", format=tarfile.PAX_FORMAT) as t:
        for e in entries:
            if isinstance(e, tarfile.TarInfo):
                t.addfile(e)
                continue
            info = tarfile.TarInfo(e[0])
            content = e[1].encode()
            info.size = len(content)
            info.mtime = 1000000000
            t.addfile(info, io.BytesIO(content))
    return buf.getvalue()


def special(name, kind, target="", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def oci_blobs(layers, packed=gzip.compress):
    """Blobs by digest, and the manifest's digest."""
    blobs, descs, diffs = {}, [], []
    for layer in layers:
        blob = packed(layer)
        blobs[digest(blob)] = blob
        diffs.append(digest(layer))
        descs.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(blob), "size": len(blob)})
    machine = os.uname().machine
    config = json.dumps({"architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine), "os": "linux",
                         "config": {"Cmd": ["/bin/true"]}, "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
    blobs[digest(config)] = config
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config),
                                      "size": len(config)}, "layers": descs}).encode()
    blobs[digest(manifest)] = manifest
    return blobs, digest(manifest), digest(config)


def oci_layout(path, ref, layers):
    blobs, manifest, config = oci_blobs(layers)
    os.makedirs(f"{path}/blobs/sha256")
    for name, data in blobs.items():
        with open(f"{path}/blobs/sha256/{name[7:]}", "wb") as f:
            f.write(data)
    with open(f"{path}/oci-layout", "w", encoding="utf-8") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    with open(f"{path}/index.json", "w", encoding="utf-8") as f:
        json.dump({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest,
                                                      "size": len(blobs[manifest]),
                                                      "annotations": {"org.opencontainers.image.ref.name": ref}}]}, f)
    return config


def docker_archive(path, entries):
    """entries: list of (RepoTags, layers)."""
    files, manifest = [], []
    for tags, layers in entries:
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                             "rootfs": {"type": "layers", "diff_ids": [digest(x) for x in layers]}})
        name = hashlib.sha256(config.encode()).hexdigest() + ".json"
        files.append((name, config))
        paths = []
        for x in layers:
            paths.append(hashlib.sha256(x).hexdigest() + "/layer.tar")
            files.append((paths[-1], x.decode("latin-1")))
        manifest.append({"Config": name, "RepoTags": tags, "Layers": paths})
    files.append(("manifest.json", json.dumps(manifest)))
    buf = io.BytesIO()
    with tarfile.open(fileobj=buf, mode="w") as t:
        for name, content in files:
            info = tarfile.TarInfo(name)
            data = content.encode("latin-1")
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    with open(path, "wb") as f:
        f.write(buf.getvalue())


BASE = tar_of([special("./", tarfile.DIRTYPE, mode=0o755), special("bin", tarfile.DIRTYPE, mode=0o711), ("bin/a", "a1"), ("bin/b", "b1"),
               special("etc", tarfile.DIRTYPE, mode=0o750, uid=7, gid=8), ("etc/old", "old"), special("lib", tarfile.SYMTYPE, "usr/lib"),
               special("usr/lib", tarfile.DIRTYPE, mode=0o755), ("gone", "x")])
TOP = tar_of([("bin/b", "b2"), (".wh.gone", ""), ("etc/.wh..wh..opq", ""), ("etc/new", "new"), ("lib/so", "so"),
              special("hard", tarfile.LNKTYPE, "bin/a")])


# --- forms ---------------------------------------------------------------------------------------------------------

def test_layouts_of_make_images(images, image_layouts):
    paths = [os.path.join(image_layouts, n) for n in sorted(os.listdir(image_layouts))]
    images("import", *paths)
    table = images("ls").stdout.splitlines()
    assert table[0].split("  ")[0] == "REPOSITORY" and "IMAGE ID" in table[0] and "CREATED" in table[0] and "SIZE" in table[0]
    refs = {r for i in images.list() for r in i["refs"]}
    assert {"localhost/busybox:1", "localhost/reprise-examples:1", "docker.io/my-repo/setup-worker:1.0",
            "docker.io/my-repo/watcher:1.0", "docker.io/my-repo/training-app:1.0"} <= refs
    # One busybox on disk, whatever the number of images on it.
    assert len({images.inspect(r)["layers"][0] for r in refs - {"localhost/pause:1"}}) == 1
    with images.merged("my-repo/watcher:1.0") as root:
        done = subprocess.run(["chroot", root, "/bin/sh", "-c", "FAIL_AFTER=0.1 exec /usr/lib/ml-worker/watcher"], capture_output=True,
                              text=True, timeout=20)
        assert done.returncode == 88, done.stdout + done.stderr


def test_merged_content(images):
    config = oci_layout(f"{images.folder}/l", "example.com/x:1", [BASE, TOP])
    done = images("import", f"{images.folder}/l")
    assert done.stdout == f"imported example.com/x:1 ({config[:19]})\n" and done.stderr == ""
    with images.merged("example.com/x:1") as root:
        def read(name):
            with open(os.path.join(root, name), encoding="utf-8") as f:
                return f.read()
        assert (read("bin/a"), read("bin/b"), read("hard"), read("usr/lib/so"), read("etc/new")) == ("a1", "b2", "a1", "so", "new")
        assert sorted(os.listdir(root)) == ["bin", "etc", "hard", "lib", "usr"]
        assert os.listdir(os.path.join(root, "etc")) == ["new"]
        st = os.stat(os.path.join(root, "etc"))
        assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o750, 7, 8)  # not named by the upper layer
        assert os.stat(os.path.join(root, "bin")).st_mode & 0o7777 == 0o711


def test_docker_archive(images):
    path = f"{images.folder}/d.tar"
    docker_archive(path, [(["one:1", "uno:1"], [BASE]), (["two:2"], [BASE, TOP])])
    out = images("import", path).stdout
    assert "imported docker.io/library/one:1" in out and "imported docker.io/library/two:2" in out
    assert len(images.list()) == 2 and len(images.names("layers")) == 2
    assert images.inspect("uno:1")["id"] == images.inspect("one:1")["id"]
    done = images("import", "--name=three", path, ok=False)
    assert "it holds 2 images and none is called docker.io/library/three:latest" in done.stderr
    images("import", "--name=two:2", path)
    with open(path, "rb") as f:
        packed = subprocess.run(["gzip", "-c"], stdin=f, capture_output=True, check=True).stdout
    with open(path + ".gz", "wb") as f:
        f.write(packed)
    with open(path + ".gz", "rb") as f:
        assert "two:2" in images("import", "-", stdin=f).stdout


def test_rootfs(images):
    os.makedirs(f"{images.folder}/fs/bin")
    with open(f"{images.folder}/fs/bin/tool", "w", encoding="utf-8") as f:
        f.write("tool")
    os.chmod(f"{images.folder}/fs/bin/tool", 0o4711)
    os.setxattr(f"{images.folder}/fs/bin/tool", "user.mark", b"here")
    done = images("import", f"{images.folder}/fs", ok=False)
    assert done.returncode == 2
    assert done.stderr == (f"reprise: {images.folder}/fs: not an image: neither oci-layout nor manifest.json found; "
                           "for a root filesystem give --name\n")
    images("import", "--name=tools", f"{images.folder}/fs")
    images("import", "--name=tools:again", f"{images.folder}/fs")
    assert len(images.list()) == 1  # the same tree, the same image
    layer = images.inspect("tools")["layers"][0]
    assert os.stat(f"{layer}/bin/tool").st_mode & 0o7777 == 0o4711
    assert os.getxattr(f"{layer}/bin/tool", "user.mark") == b"here"
    for suffix, pack in (".tar", None), (".tar.gz", "gzip"), (".tar.xz", "xz"), (".tar.zst", "zstd"):
        if pack and not shutil.which(pack):
            continue
        path = f"{images.folder}/fs{suffix}"
        tar = subprocess.run(["tar", "-C", f"{images.folder}/fs", "-cf", "-", "."], check=True, capture_output=True).stdout
        data = subprocess.run([pack, "-c"], input=tar, capture_output=True, check=True).stdout if pack else tar
        with open(path, "wb") as f:
            f.write(data)
        done = images("import", path, ok=False)
        assert "not an image archive: neither oci-layout nor manifest.json found; for a root filesystem give --name" in done.stderr
        images("import", f"--name=packed{suffix}", path)
        assert os.path.exists(f"{images.inspect(f'packed{suffix}')['layers'][0]}/bin/tool")


@needs_skopeo
def test_skopeo_archives(images, image_layouts):
    ids = set()
    for kind in "oci-archive", "docker-archive", "dir":
        path = f"{images.folder}/{kind}"
        name = f"localhost/{kind}:1"
        target = f"{kind}:{path}" if kind == "dir" else f"{kind}:{path}:{name}"
        subprocess.run(["skopeo", "copy", "--quiet", f"oci:{image_layouts}/watcher", target], check=True, timeout=60)
        images("import", *(["--name", name] if kind == "dir" else []), path)
        ids.add(images.inspect(name)["id"])
    assert len(ids) == 1 and len(images.names("layers")) == 2


# --- hostile -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("entries", [
    [("../../../../outside", "x")],
    [special("up", tarfile.SYMTYPE, "../../../../../../.."), ("up/outside-reprise", "x")],
    [special("up", tarfile.SYMTYPE, "/"), ("up/outside-reprise", "x")],
    [special("stolen", tarfile.LNKTYPE, "../../../../../../etc/shadow")],
    [special("up", tarfile.SYMTYPE, "/etc"), special("stolen", tarfile.LNKTYPE, "up/shadow")],
    [special("up", tarfile.SYMTYPE, ".."), ("up/.wh.fs", "")],
    [("a/.wh...", "")],
], ids=["dots", "symlink", "absolute", "hardlink", "hardlink-through-symlink", "whiteout", "whiteout-dots"])
@pytest.mark.parametrize("n_below", [0, 1])
def test_nothing_leaves_the_root(images, entries, n_below):
    oci_layout(f"{images.folder}/l", "x:1", [BASE] * n_below + [tar_of(entries)])
    images("import", f"{images.folder}/l", ok=None)
    assert not os.path.exists("/outside-reprise") and not os.path.exists(f"{images.folder}/outside")
    found = subprocess.run(["find", images.folder, "-name", "outside", "-o", "-samefile", "/etc/shadow"], capture_output=True, text=True,
                           check=True).stdout
    assert found == ""
    for layer in images.names("layers"):
        assert os.path.isdir(f"{images.root}/images/layers/{layer}/fs")


def test_archive_links_stay_inside(images):
    os.makedirs(f"{images.folder}/real")
    with open(f"{images.folder}/real/secret.json", "w", encoding="utf-8") as f:
        f.write("[]")
    for target in f"{images.folder}/real/secret.json", "../../../../../../../../etc/passwd":
        with open(f"{images.folder}/a.tar", "wb") as f:
            f.write(tar_of([special("manifest.json", tarfile.SYMTYPE, target)]))
        assert "manifest.json" in images("import", f"{images.folder}/a.tar", ok=False).stderr
    images.check_empty()


def test_damaged_layer(images):
    oci_layout(f"{images.folder}/l", "x:1", [BASE])
    blob = max((os.path.join(f"{images.folder}/l/blobs/sha256", n) for n in os.listdir(f"{images.folder}/l/blobs/sha256")
                if open(os.path.join(f"{images.folder}/l/blobs/sha256", n), "rb").read(2) == b"\x1f\x8b"))
    with open(blob, "wb") as f:
        f.write(gzip.compress(tar_of([("evil", "x")])))
    done = images("import", f"{images.folder}/l", ok=False)
    assert "the archive is damaged" in done.stderr and os.path.basename(blob) in done.stderr
    images.check_empty()


# --- rm and prune --------------------------------------------------------------------------------------------------

def test_rm_and_prune(images):
    oci_layout(f"{images.folder}/one", "one:1", [BASE])
    oci_layout(f"{images.folder}/two", "two:1", [BASE, TOP])
    images("import", f"{images.folder}/one", f"{images.folder}/two")
    two = images.inspect("two:1")
    assert len(images.names("layers")) == 2
    out = images("rm", "two:1").stdout
    assert out == f"untagged: docker.io/library/two:1\ndeleted: {two['id']}\n"
    assert len(images.names("layers")) == 1  # what one:1 shares stays
    assert "image \"two:1\" is not in the store" in images("rm", "two:1", ok=False).stderr

    one = images.inspect("one:1")
    users = f"{images.root}/images/refs/{one['id'][7:]}"
    os.makedirs(users)
    with open(f"{users}/abc", "w", encoding="utf-8"):
        pass
    done = images("rm", "one:1", ok=False)
    assert "is used by container abc; delete its Pod first, or give --force" in done.stderr
    images("prune", "--all")
    assert len(images.list()) == 1
    assert images("rm", "--force", "one:1").stdout == "untagged: docker.io/library/one:1\n"
    assert "<none>" in images("ls").stdout and len(images.names("layers")) == 1
    images("prune")
    assert len(images.names("layers")) == 1
    shutil.rmtree(users)
    assert images("prune").stdout.startswith("freed ")
    images.check_empty()
    assert images.list() == []


def test_retag_leaves_an_untagged_image(images):
    oci_layout(f"{images.folder}/one", "x:1", [BASE])
    oci_layout(f"{images.folder}/two", "x:1", [TOP.replace(b"b2", b"b3")])
    # TOP alone links to a file of its lower layer: refused, and says which.
    done = images("import", f"{images.folder}/two", ok=False)
    assert "hard is a hard link to bin/a, which is not there" in done.stderr
    shutil.rmtree(f"{images.folder}/two")
    oci_layout(f"{images.folder}/two", "x:1", [tar_of([("f", "2")])])
    images("import", f"{images.folder}/one", f"{images.folder}/two")
    assert sorted(len(i["refs"]) for i in images.list()) == [0, 1]
    images("prune")
    assert [i["refs"] for i in images.list()] == [["docker.io/library/x:1"]]


# --- crashes, races, full disks --------------------------------------------------------------------------------------

@pytest.mark.parametrize("step,there", [("image.unpacked", False), ("image.layers-renamed", False), ("image.published", True)])
def test_kill_at(images, step, there):
    oci_layout(f"{images.folder}/l", "x:1", [BASE, TOP])
    done = images("import", f"{images.folder}/l", ok=None, env={"REPRISE_FAULT": f"kill@{step}"})
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    assert (len(images.list()) == 1) is there  # opening the store sweeps it
    assert images.names("tmp") == []
    if not there:
        images.check_empty()
    images("import", f"{images.folder}/l")
    with images.merged("x:1") as root:
        assert os.path.exists(f"{root}/hard")


def test_imports_at_once(images):
    oci_layout(f"{images.folder}/l", "x:1", [BASE, TOP])
    procs = [subprocess.Popen([images.program, "image", "import", f"--root={images.root}", f"--name=x:{i}", f"{images.folder}/l"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for i in range(6)]
    prune = [subprocess.Popen([images.program, "image", "prune", f"--root={images.root}"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE) for _ in range(2)]
    for p in procs + prune:
        err = p.communicate(timeout=60)[1]
        assert p.returncode == 0, err
    only, = images.list()
    assert only["refs"] == [f"docker.io/library/x:{i}" for i in range(6)] and len(images.names("layers")) == 2
    assert images.names("tmp") == []


def test_full_disk(images):
    oci_layout(f"{images.folder}/l", "x:1", [tar_of([(f"f{i}", os.urandom(4096).hex()) for i in range(200)])])
    os.makedirs(images.root)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", images.root], check=True)
    try:
        done = images("import", f"{images.folder}/l", ok=False)
        assert done.stderr.endswith(": No space left on device\n")
        images.check_empty()
    finally:
        subprocess.run(["umount", images.root], check=True)


# --- pull ----------------------------------------------------------------------------------------------------------

@pytest.fixture
def registry():
    blobs, manifest, config = oci_blobs([BASE, TOP])
    server = Registry(blobs, manifest)
    server.config = config
    yield server
    server.shutdown()
    server.server_close()


@needs_skopeo
def test_pull(images, registry):
    ref = f"{registry.name}/app:1"
    assert images("pull", ref).stdout == registry.config + "\n"
    image, = images.list()
    assert image["refs"] == [ref] and image["digests"] == [registry.manifest]
    with images.merged(ref) as root:
        assert os.path.exists(f"{root}/hard")
    by_digest = f"{registry.name}/app@{registry.manifest}"
    assert images.inspect(by_digest)["id"] == registry.config
    images("pull", by_digest)
    assert images.list()[0]["refs"] == [ref, by_digest]
    assert images.names("tmp") == []


@needs_skopeo
def test_pull_errors(images, registry):
    done = images("pull", f"{registry.name}/app:2", ok=False)
    assert done.stderr.startswith(f'reprise: failed to pull image "{registry.name}/app:2": ')
    assert "manifest unknown" in done.stderr and done.stderr.count("\n") == 1
    registry.lie = next(n for n, b in registry.blobs.items() if b[:2] == b"\x1f\x8b")
    done = images("pull", f"{registry.name}/app:1", ok=False)
    assert "failed to pull image" in done.stderr
    done = images("pull", "127.0.0.1:1/app:1", ok=False)
    assert "connection refused" in done.stderr
    images.check_empty()


def test_pull_without_skopeo(images):
    done = images("pull", "busybox", ok=False, env={"PATH": "/nonexistent"})
    assert done.returncode == 3
    assert done.stderr == ('reprise: failed to pull image "busybox": skopeo is not installed; `apt-get install skopeo`, '
                           "or bring the image with `reprise image import`\n")


def test_bad_names(images):
    done = images("pull", "Bad", ok=False)
    assert done.returncode == 2
    assert done.stderr == ('reprise: Failed to apply default image tag "Bad": couldn\'t parse image name "Bad": '
                           "invalid reference format: repository name must be lowercase\n")


@needs_skopeo
def test_pull_interrupted(images, registry):
    slow = threading.Event()
    real = RegistryHandler.do_GET
    asked = threading.Event()

    def hang(self):
        if "/blobs/" in self.path:
            asked.set()
            slow.wait(30)
        return real(self)

    RegistryHandler.do_GET = hang
    try:
        p = subprocess.Popen([images.program, "image", "pull", f"--root={images.root}", f"{registry.name}/app:1"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert asked.wait(20)
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=20)
        assert p.returncode == 130
        assert images.names("tmp") == []
    finally:
        slow.set()
        RegistryHandler.do_GET = real
