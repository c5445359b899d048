"""The Debian package: what is in it, what lintian says, and what dpkg does with it: install, upgrade, removal, purge, in an overlay of this
machine's root with processes and mounts of its own."""
import hashlib
import os
import re
import shutil
import subprocess

import pytest
from conftest import BUILD, PROGRAM, ROOT

pytestmark = [pytest.mark.oci("no container at all"), pytest.mark.slow]


def run(*args, check=True, **more):
    done = subprocess.run(args, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, **more)
    assert not check or done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout + done.stderr if check else done


def make(folder, **env):
    os.makedirs(folder, exist_ok=True)
    text = run(os.path.join(ROOT, "tools/deb"), folder, env=dict(os.environ, BUILD=os.path.relpath(BUILD, ROOT), **env))
    return text.strip().splitlines()[-1] if os.path.exists(text.strip().splitlines()[-1]) else re.search(r"^/.*\.deb$", text, re.M).group()


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return make(str(tmp_path_factory.mktemp("deb")))


def listing(package):
    return {m.group(3).removeprefix("."): (m.group(1), m.group(2)) for m in
            re.finditer(r"^(\S+) (\S+) +\d+ \S+ \S+ (\S+)", run("dpkg-deb", "-c", package), re.M)}


def test_what_is_in_it(package):
    files = listing(package)
    for path in ("/usr/bin/reprise", "/usr/libexec/reprise/reprise-shim", "/usr/libexec/reprise/reprise-gate",
                 "/usr/libexec/reprise/reprise-import"):
        assert files[path] == ("-rwxr-xr-x", "root/root")
    for path in ("/usr/lib/systemd/system/reprise.service", "/usr/lib/systemd/system/reprise.socket", "/usr/lib/tmpfiles.d/reprise.conf", "/etc/default/reprise",
                 "/usr/share/doc/reprise/copyright", "/usr/share/doc/reprise/changelog.gz", "/usr/share/doc/reprise/changelog.Debian.gz",
                 "/usr/share/bash-completion/completions/reprise", "/usr/share/zsh/vendor-completions/_reprise",
                 "/usr/share/fish/vendor_completions.d/reprise.fish", "/usr/share/man/man8/reprise-node.8.gz"):
        assert files[path] == ("-rw-r--r--", "root/root"), path
    pages = set(os.listdir(os.path.join(ROOT, "docs/man")))
    assert {os.path.basename(f).removesuffix(".gz") for f in files if "/man/man" in f and f.endswith(".gz")} == pages
    assert not [f for f in files if f.startswith(("/usr/local", "/var", "/run"))]
    depends = run("dpkg-deb", "-f", package, "Depends")
    for name in ("libc6", "libuv1", "libjansson4", "libgnutls30", "libnghttp2-14", "crun | runc", "containernetworking-plugins", "iptables"):
        assert name in depends
    assert run("dpkg-deb", "--info", package, "conffiles") == "/etc/default/reprise\n"


def test_lintian_has_no_errors(package):
    done = run("lintian", "--fail-on=error", "--allow-root", package, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_tree_gives_the_same_bytes(package, tmp_path):
    old = os.umask(0o077)
    try:
        again = make(str(tmp_path), TZ="Asia/Tokyo", LANG="C.UTF-8")
    finally:
        os.umask(old)
    digests = [hashlib.sha256(open(p, "rb").read()).hexdigest() for p in (package, again)]
    assert digests[0] == digests[1] and package != again
    unpacked = str(tmp_path / "x")
    run("dpkg-deb", "-x", package, unpacked)
    for name in ("usr/bin/reprise", "usr/libexec/reprise/reprise-shim", "usr/libexec/reprise/reprise-import"):
        with open(os.path.join(unpacked, name), "rb") as f:
            assert ROOT.encode() not in f.read()


class Machine:
    """This machine's root below an overlay that forgets. Each command has a /proc of its own processes only."""

    def __init__(self, folder):
        self.root, self.folder = f"{folder}/root", folder
        for name in ("root", "tmp"):
            os.makedirs(f"{folder}/{name}")
        script = f"""set -e
mount -t tmpfs none {folder}/tmp
mkdir {folder}/tmp/up {folder}/tmp/work
mount -t overlay none -o lowerdir=/,upperdir={folder}/tmp/up,workdir={folder}/tmp/work {self.root}
mount -t proc none {self.root}/proc
mount -t tmpfs none {self.root}/run
mount -t tmpfs none {self.root}/tmp
mount --rbind /dev {self.root}/dev
echo up
exec sleep 1000"""
        self.process = subprocess.Popen(["unshare", "-m", "-p", "-i", "--fork", "--kill-child", "bash", "-c", script], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
        line = self.process.stdout.readline()
        assert line == "up\n", line + self.process.stdout.read()
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            self.pid = f.read().split()[0]

    def sh(self, script, check=True):
        return run("nsenter", f"--target={self.pid}", "-m", "-p", "-i", "chroot", self.root, "env", "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                   "sh", "-c", script, check=check)

    def put(self, path, name):
        """A file of ours at /tmp/NAME of the machine."""
        with open(path, "rb") as f:
            done = subprocess.run(["nsenter", f"--target={self.pid}", "-m", "chroot", self.root, "sh", "-c", f"cat >/tmp/{name}"], stdin=f, timeout=60)
        assert done.returncode == 0

    def there(self, path):
        return self.sh(f"test -e {path}", check=False).returncode == 0

    def close(self):
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def machine(folder):
    it = Machine(folder)
    yield it
    it.close()


def newer(package, folder):
    """The same package as a later version, with another default for the conffile."""
    tree = f"{folder}/newer"
    run("dpkg-deb", "-R", package, tree)
    for path, old, new in ((f"{tree}/DEBIAN/control", "Version: 0.1.0-1", "Version: 0.1.0-2"), (f"{tree}/etc/default/reprise", "# Options", "# New: options")):
        with open(path) as f:
            text = f.read()
        assert old in text
        with open(path, "w") as f:
            f.write(text.replace(old, new))
    out = f"{folder}/newer.deb"
    run("dpkg-deb", "--root-owner-group", "-b", tree, out)
    shutil.rmtree(tree)
    return out


STATE = """mkdir -p /var/lib/reprise/pods/u-1/volumes/data /var/log/pods/default_a_u-1/c /var/log/pods/default_b_u-2 /run/reprise/pods/u-1 /precious
echo mine >/precious/file
echo {} >/var/lib/reprise/pods/u-1/pod.json
mount -t tmpfs none /var/lib/reprise/pods/u-1/volumes/data
mkdir "/var/lib/reprise/pods/u-1/volumes/with blank"
mount --bind /precious "/var/lib/reprise/pods/u-1/volumes/with blank"
"""


def test_install_upgrade_remove_purge(machine, package, folder):
    machine.put(package, "reprise.deb")
    machine.put(newer(package, folder), "newer.deb")
    assert "reprise" not in machine.sh("getent group || true")
    machine.sh("dpkg -i /tmp/reprise.deb")
    assert machine.sh("reprise version").startswith("reprise 0.1.0")
    assert machine.sh("getent group reprise").startswith("reprise:x:")
    assert machine.there("/etc/reprise/manifests") and machine.there("/var/lib/reprise")
    assert machine.sh("readlink /etc/systemd/system/multi-user.target.wants/reprise.service").strip() in (
        "/lib/systemd/system/reprise.service", "/usr/lib/systemd/system/reprise.service")
    machine.sh("systemd-analyze verify --man=no /usr/lib/systemd/system/reprise.service 2>&1 | grep -i reprise.service && exit 1 || true")
    machine.sh("man -w reprise-node && dpkg --verify reprise")
    machine.sh("reprise node --init && test -e /etc/reprise/admin.kubeconfig")

    # An upgrade keeps what was disabled, changed and made.
    machine.sh("echo 'REPRISE_NODE_OPTIONS=--log-level=debug' >/etc/default/reprise && systemctl disable reprise.service")
    machine.sh(STATE + "dpkg --force-confold -i /tmp/newer.deb")
    assert machine.sh("dpkg-query -W -f '${Version} ${db:Status-Status}' reprise") == "0.1.0-2 installed"
    assert "debug" in machine.sh("cat /etc/default/reprise")
    assert not machine.there("/etc/systemd/system/multi-user.target.wants/reprise.service")
    assert machine.there("/var/lib/reprise/pods/u-1/pod.json") and machine.there("/etc/reprise/pki/ca.key")

    # Removal keeps the state, and says that a Pod goes on.
    out = machine.sh("dpkg -r reprise")
    assert "reprise: 1 Pods go on running" in out
    assert not machine.there("/usr/bin/reprise") and machine.there("/var/lib/reprise/pods/u-1/pod.json") and machine.there("/etc/default/reprise")
    assert machine.there("/etc/reprise/admin.kubeconfig")

    # Purge takes all that is reprise's, and nothing through a mount; one that is in use stays, with what it lies in.
    machine.sh("cd /var/lib/reprise/pods/u-1/volumes/data && sleep 1000 </dev/null >/dev/null 2>&1 &")
    out = machine.sh("sleep 0.2; dpkg -P reprise")
    assert "reprise: /var/lib/reprise is kept, since this is mounted in it: /var/lib/reprise/pods/u-1/volumes/data" in out
    assert machine.sh("cat /precious/file") == "mine\n"
    for gone in ("/etc/reprise", "/etc/default/reprise", "/run/reprise", "/var/log/pods/default_a_u-1"):
        assert not machine.there(gone), gone
    assert machine.there("/var/log/pods/default_b_u-2")
    assert machine.sh("getent group reprise || echo none") == "none\n"
    assert machine.sh("dpkg-query -W -f '${db:Status-Status}' reprise 2>&1 || true").startswith(("not-installed", "dpkg-query: no packages"))


def test_purge_of_an_installed_one_with_mounts(machine, package):
    machine.put(package, "reprise.deb")
    machine.sh("dpkg -i /tmp/reprise.deb")
    out = machine.sh(STATE + "dpkg -P reprise")
    assert "is kept" not in out
    assert not machine.there("/var/lib/reprise") and not machine.there("/run/reprise") and machine.sh("cat /precious/file") == "mine\n"
    assert machine.sh("grep -c reprise /proc/self/mountinfo || true").strip() == "0" or "/var/lib/reprise" not in machine.sh("cat /proc/self/mountinfo")


def test_the_version_is_the_programs(package):
    assert run("dpkg-deb", "-f", package, "Version").strip().split("-")[0] in run(PROGRAM, "version")
