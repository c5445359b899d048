"""Real crun and runc containers, with config.json made by oci_spec_make() (tests/tools/ocispec_make), and what the kernel
says of them from inside: /proc/self/status, mounts, devices, system calls refused.

Needs root, busybox-static, and crun or runc. OCISPEC_MAKE names the tool (default: in the build directory)."""
import ctypes
import ctypes.util
import json
import os
import platform
import shutil
import stat
import subprocess
import tempfile
import uuid

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("REPRISE_BUILD", "build"))
TOOL = os.environ.get("OCISPEC_MAKE", os.path.join(BUILD, "tests", "tools", "ocispec_make"))
BUSYBOX = "/bin/busybox"
RUNTIMES = [r for r in ("crun", "runc") if shutil.which(r)]

pytestmark = [
    pytest.mark.oci("about the config.json that the embedded runtime makes; test_pod_security.py has the same fields over either"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not os.path.exists(TOOL), reason=f"{TOOL} is not built"),
    pytest.mark.skipif(not os.path.exists(BUSYBOX), reason="needs busybox-static"),
    pytest.mark.skipif(not RUNTIMES, reason="needs crun or runc"),
]

DEFAULT_CAPS = 0xa80425fb
LIBC = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
# A host whose v2 tree keeps a controller beside v1 ones: crun 1.8.1 refuses it, and looks at this one file only.
HYBRID_FILE = "/sys/fs/cgroup/unified/cgroup.controllers"


def own_caps():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1], 16) for line in f if line.startswith("CapBnd"))


@pytest.fixture(scope="module")
def rootfs():
    d = tempfile.mkdtemp(prefix="ocispec-root-")
    os.chmod(d, 0o755)
    for sub in ("bin", "etc", "tmp", "root", "proc", "sys", "dev", "data", "home"):
        os.mkdir(os.path.join(d, sub), 0o755)
    os.chmod(os.path.join(d, "tmp"), 0o1777)
    shutil.copy(BUSYBOX, os.path.join(d, "bin", "busybox"))
    for applet in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
        if applet != "busybox":
            os.symlink("busybox", os.path.join(d, "bin", applet))
    with open(os.path.join(d, "etc", "passwd"), "w") as f:
        f.write("root:x:0:0::/root:/bin/sh\napp:x:1234:2345::/home:/bin/sh\n")
    with open(os.path.join(d, "etc", "group"), "w") as f:
        f.write("root:x:0:\napp:x:2345:\nextra:x:50:app\nmore:x:51:app,root\n")
    with open(os.path.join(d, "data", "from-image"), "w") as f:
        f.write("image\n")
    os.chown(os.path.join(d, "data"), 1234, 2345)
    yield d
    shutil.rmtree(d)


def compile_c(rootfs, name, text):
    if not shutil.which("gcc"):
        pytest.skip("needs gcc")
    path = os.path.join(rootfs, "bin", name)
    r = subprocess.run(["gcc", "-D_GNU_SOURCE", "-static", "-O1", "-x", "c", "-", "-o", path], input=text, text=True,
                       capture_output=True)
    assert r.returncode == 0, r.stderr
    return path


class Refused(Exception):
    pass


def make_config(rootfs, command, sec=None, pod=None, image=None, config=None, container=None, **inputs):
    ident = "rt-" + uuid.uuid4().hex[:12]
    doc = {
        "pod": {"metadata": {"uid": ident}, "spec": {**(pod or {}), "containers": [{
            "name": "main", "image": "test", "command": ["/bin/sh", "-c", command],
            **({"securityContext": sec} if sec else {}), **(container or {})}]}},
        "image": image or {"env": ["PATH=/bin"]},
        "config": config or {},
        "input": {"rootfs": rootfs, "pidPrivate": True, "cgroupsPath": f"/reprise-test/{ident}",
                  "nsIpc": f"/proc/{os.getpid()}/ns/ipc", **inputs},
    }
    r = subprocess.run([TOOL], input=json.dumps(doc), capture_output=True, text=True)
    if r.returncode:
        raise Refused(r.stderr.strip())
    return ident, json.loads(r.stdout)


def hidden_controllers(runtime):
    try:
        with open(HYBRID_FILE) as f:
            return runtime == "crun" and bool(f.read().strip())
    except FileNotFoundError:
        return False


def remove_cgroups(ident):
    for base, dirs, _ in os.walk("/sys/fs/cgroup"):
        if base.count("/") > 4:
            dirs[:] = []
        path = os.path.join(base, "reprise-test")
        for d in (os.path.join(path, ident), path):
            try:
                os.rmdir(d)
            except OSError:
                pass


def run(runtime, rootfs, command, timeout=30, **kw):
    """Runs it to its end; returns (exit code, output)."""
    ident, config = make_config(rootfs, command, **kw)
    work = tempfile.mkdtemp(prefix="ocispec-run-")
    try:
        with open(os.path.join(work, "config.json"), "w") as f:
            json.dump(config, f)
        argv = [runtime, "--root", os.path.join(work, "state"), "run", "--bundle", work, ident]
        if hidden_controllers(runtime):
            argv = ["unshare", "-m", "--propagation", "unchanged", "sh", "-c",
                    "mount --make-private /sys/fs/cgroup/unified && "
                    f"mount --bind /dev/null {HYBRID_FILE} && exec \"$@\"", "sh", *argv]
        r = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           timeout=timeout)
        return r.returncode, r.stdout
    finally:
        shutil.rmtree(work)
        remove_cgroups(ident)


def status(output):
    return {k: v.strip() for k, _, v in (line.partition(":") for line in output.splitlines())}


@pytest.fixture(params=RUNTIMES)
def ctr(request, rootfs):
    def call(command, **kw):
        code, out = run(request.param, rootfs, command, **kw)
        return code, out
    call.runtime = request.param
    return call


STATUS = "cat /proc/self/status"


# --- users --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("image_user, sec, pod_sec, uids, gids, groups", [
    ("", {}, {}, 0, 0, "0 51"),
    ("app", {}, {}, 1234, 2345, "50 51 2345"),
    ("1234", {}, {}, 1234, 2345, "50 51 2345"),
    ("app:extra", {}, {}, 1234, 50, "50 51"),
    ("77:88", {}, {}, 77, 88, "88"),
    ("77", {}, {}, 77, 0, "0"),
    ("app", {"runAsUser": 9}, {}, 9, 0, "0"),
    ("app", {"runAsUser": 9, "runAsGroup": 10}, {}, 9, 10, "10"),
    ("", {}, {"runAsUser": 5, "runAsGroup": 6, "fsGroup": 7, "supplementalGroups": [9, 8]}, 5, 6, "6 7 8 9"),
    ("", {"runAsUser": 3}, {"runAsUser": 5, "runAsGroup": 6}, 3, 6, "6"),
    ("app", {}, {"supplementalGroups": [60], "supplementalGroupsPolicy": "Strict"}, 1234, 2345, "60 2345"),
    ("app", {}, {"supplementalGroups": [60], "supplementalGroupsPolicy": "Merge"}, 1234, 2345, "50 51 60 2345"),
    ("app", {"runAsGroup": 99}, {}, 1234, 99, "50 51 99"),
])
def test_user(ctr, image_user, sec, pod_sec, uids, gids, groups):
    code, out = ctr(STATUS, sec=sec, pod={"securityContext": pod_sec},
                    image={"env": ["PATH=/bin"], "user": image_user})
    assert code == 0, out
    s = status(out)
    assert s["Uid"].split() == [str(uids)] * 4
    assert s["Gid"].split() == [str(gids)] * 4
    assert " ".join(s["Groups"].split()) == groups


@pytest.mark.parametrize("image_user, sec, text", [
    ("", {"runAsNonRoot": True}, "CreateContainerConfigError: container has runAsNonRoot and image will run as root"),
    ("app", {"runAsNonRoot": True}, "CreateContainerConfigError: container has runAsNonRoot and image has non-numeric user "
                                    "(app), cannot verify user is non-root"),
    ("", {"runAsNonRoot": True, "runAsUser": 0}, "CreateContainerConfigError: container's runAsUser breaks non-root policy"),
    ("nobody", {}, "CreateContainerError: unable to find user nobody: no matching entries in passwd file"),
    ("", {"capabilities": {"add": ["FLY"]}}, 'CreateContainerError: unknown capability "FLY" to add'),
    ("", {"seccompProfile": {"type": "Localhost", "localhostProfile": "../../etc/passwd"}}, "CreateContainerError: "),
    ("", {"appArmorProfile": {"type": "Localhost", "localhostProfile": "nope"}}, "CreateContainerError: "),
])
def test_refused(rootfs, image_user, sec, text):
    with pytest.raises(Refused) as e:
        make_config(rootfs, "true", sec=sec, image={"user": image_user}, seccompRoot=rootfs)
    assert str(e.value).startswith(text)


def test_non_root_image_number(ctr):
    code, out = ctr(STATUS, sec={"runAsNonRoot": True}, image={"env": ["PATH=/bin"], "user": "1234"})
    assert code == 0 and status(out)["Uid"].split()[0] == "1234"


# --- capabilities, privileges --------------------------------------------------------------------------------------

def bits(*numbers):
    return sum(1 << n for n in numbers)


NET_ADMIN, SYS_TIME, CHOWN, NET_RAW, SYS_ADMIN = 12, 25, 0, 13, 21


@pytest.mark.parametrize("caps, want", [
    (None, DEFAULT_CAPS),
    ({"drop": ["ALL"]}, 0),
    ({"drop": ["ALL"], "add": ["CHOWN"]}, bits(CHOWN)),
    ({"add": ["NET_ADMIN", "CAP_SYS_TIME"], "drop": ["net_raw"]}, (DEFAULT_CAPS | bits(NET_ADMIN, SYS_TIME)) & ~bits(NET_RAW)),
    ({"add": ["ALL"], "drop": ["SYS_ADMIN"]}, "all-but-admin"),
])
def test_capabilities(ctr, caps, want):
    if want == "all-but-admin":
        want = own_caps() & ~bits(SYS_ADMIN)
    want &= own_caps()
    code, out = ctr(STATUS, sec={"capabilities": caps} if caps else None)
    assert code == 0, out
    s = status(out)
    assert (int(s["CapBnd"], 16), int(s["CapEff"], 16), int(s["CapPrm"], 16)) == (want, want, want)
    assert int(s["CapInh"], 16) == int(s["CapAmb"], 16) == 0


def test_non_root_has_no_capabilities(ctr):
    code, out = ctr(STATUS, sec={"runAsUser": 1234, "capabilities": {"add": ["NET_ADMIN"]}})
    assert code == 0, out
    s = status(out)
    assert int(s["CapEff"], 16) == int(s["CapPrm"], 16) == int(s["CapAmb"], 16) == 0
    assert int(s["CapBnd"], 16) == (DEFAULT_CAPS | bits(NET_ADMIN)) & own_caps()


@pytest.fixture(scope="module")
def suid(rootfs):
    """A set-uid program that says whom the kernel made it (busybox would drop it again)."""
    path = compile_c(rootfs, "suid", '#include <stdio.h>\n#include <unistd.h>\nint main(void) { printf("Euid:%d\\n", geteuid()); }')
    os.chmod(path, 0o4755)


@pytest.mark.parametrize("sec, nnp, euid", [
    ({"runAsUser": 1234}, "0", "0"),
    ({"runAsUser": 1234, "allowPrivilegeEscalation": True}, "0", "0"),
    ({"runAsUser": 1234, "allowPrivilegeEscalation": False}, "1", "1234"),
])
def test_no_new_privileges(ctr, suid, sec, nnp, euid):
    code, out = ctr("grep NoNewPrivs /proc/self/status; exec suid", sec=sec)
    assert code == 0, out
    s = status(out)
    assert (s["NoNewPrivs"], s["Euid"]) == (nnp, euid)


def test_privileged(ctr):
    code, out = ctr("cat /proc/self/status; grep ' /sys ' /proc/mounts; cat /proc/kcore 2>&1 | head -c 4 | hexdump -C | head -1; "
                    "ls /dev; cat /proc/sysrq-trigger; echo 500 > /proc/sys/kernel/ns_last_pid && echo SYSWRITE",
                    sec={"privileged": True, "seccompProfile": {"type": "RuntimeDefault"}})
    s = status(out)
    assert int(s["CapEff"], 16) == own_caps() and s["Seccomp"] == "0" and s["NoNewPrivs"] == "0"
    assert "sysfs /sys sysfs rw" in out
    nodes = [n for n in os.listdir("/dev") if stat.S_ISBLK(os.lstat(f"/dev/{n}").st_mode)]
    assert all(n in out for n in nodes) and "SYSWRITE" in out, out


# --- seccomp -------------------------------------------------------------------------------------------------------

def test_seccomp_default_off(ctr):
    code, out = ctr(STATUS)
    assert code == 0 and status(out)["Seccomp"] == "0"


@pytest.mark.parametrize("where", ["container", "pod"])
def test_seccomp_runtime_default(ctr, where):
    profile = {"seccompProfile": {"type": "RuntimeDefault"}}
    kw = {"sec": profile} if where == "container" else {"pod": {"securityContext": profile}}
    code, out = ctr("grep Seccomp: /proc/self/status; unshare -U true && echo UNSHARED; unshare -m true && echo UNSHARED; "
                    "mount -t tmpfs x /tmp && echo MOUNTED; echo end", **kw)
    assert code == 0, out
    assert status(out)["Seccomp"] == "2" and "UNSHARED" not in out and "MOUNTED" not in out and "end" in out
    assert "Operation not permitted" in out


def test_seccomp_sys_admin_may_unshare(ctr):
    code, out = ctr("unshare -m true && echo UNSHARED", sec={"seccompProfile": {"type": "RuntimeDefault"},
                                                           "capabilities": {"add": ["SYS_ADMIN"]}})
    assert code == 0 and "UNSHARED" in out, out


def test_seccomp_container_wins_over_pod(ctr):
    code, out = ctr(STATUS, sec={"seccompProfile": {"type": "Unconfined"}},
                    pod={"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}})
    assert code == 0 and status(out)["Seccomp"] == "0"


SYSCALLS_C = r"""
#include <errno.h>
#include <stdio.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
static void show(const char *name, long r) { printf("%s=%d\n", name, r < 0 ? errno : 0); }
int main(void)
{
    show("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    show("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
    show("unshare_user", syscall(SYS_unshare, CLONE_NEWUSER));
    show("clone3", syscall(SYS_clone3, 0, 0));
    show("bpf", syscall(SYS_bpf, 0, 0, 0));
    show("io_uring_setup", syscall(SYS_io_uring_setup, 1, 0));
    show("userfaultfd", syscall(SYS_userfaultfd, 0));
    show("af_alg", socket(38, SOCK_SEQPACKET, 0));
    show("af_vsock", socket(40, SOCK_STREAM, 0));
    show("af_inet", socket(AF_INET, SOCK_STREAM, 0));
    show("ptrace", syscall(SYS_ptrace, 16, 0, 0, 0)); /* PTRACE_ATTACH to 0: ESRCH when allowed */
    show("personality", syscall(SYS_personality, 0xffffffff));
    show("personality_bad", syscall(SYS_personality, 0x0040000));
    show("kexec", syscall(SYS_kexec_load, 0, 0, 0, 0));
    show("clone_newuser", syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0));
    return 0;
}
"""


@pytest.fixture(scope="module")
def prober(rootfs):
    return compile_c(rootfs, "syscalls", SYSCALLS_C)


EPERM, ESRCH, ENOSYS = 1, 3, 38


def test_seccomp_system_calls(ctr, prober):
    code, out = ctr("/bin/syscalls", sec={"seccompProfile": {"type": "RuntimeDefault"}})
    assert code == 0, out
    got = {k: int(v) for k, v in (line.split("=") for line in out.split() if "=" in line)}
    assert got == {"keyctl": EPERM, "add_key": EPERM, "unshare_user": EPERM, "clone3": ENOSYS, "bpf": EPERM,
                   "io_uring_setup": EPERM, "userfaultfd": EPERM, "af_alg": EPERM, "af_vsock": EPERM, "af_inet": 0,
                   "ptrace": ESRCH, "personality": 0, "personality_bad": EPERM, "kexec": EPERM, "clone_newuser": EPERM}


def test_seccomp_unconfined_lets_more_through(ctr, prober):
    code, out = ctr("/bin/syscalls")
    got = {k: int(v) for k, v in (line.split("=") for line in out.split() if "=" in line)}
    assert got["unshare_user"] == 0 and got["personality_bad"] == 0 and got["clone3"] != ENOSYS, out


@pytest.mark.parametrize("profile", [
    {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]},
    # docker's form: a rule that holds only without SYS_ADMIN, one that never holds here, an architecture map
    {"defaultAction": "SCMP_ACT_ALLOW",
     "archMap": [{"architecture": {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}.get(platform.machine(), ""),
                  "subArchitectures": []}],
     "syscalls": [{"name": "mkdir", "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
                  {"names": ["mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
                  {"names": ["rmdir"], "action": "SCMP_ACT_KILL", "includes": {"caps": ["CAP_SYS_ADMIN"]}}]},
], ids=["oci", "docker"])
def test_seccomp_localhost(ctr, tmp_path, profile):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "p.json").write_text(json.dumps(profile))
    code, out = ctr("mkdir /tmp/never; ls -d /tmp/never; rmdir /tmp/never2; echo alive",
                    sec={"seccompProfile": {"type": "Localhost", "localhostProfile": "sub/p.json"}}, seccompRoot=str(tmp_path))
    assert "No space left on device" in out and "alive" in out, out


# --- files ---------------------------------------------------------------------------------------------------------

def test_read_only_root(ctr, tmp_path):
    command = "touch /x && echo ROOT; touch /tmp/x && echo TMP; touch /vol/x && echo VOL; exit 0"
    mounts = {"mounts": [{"containerPath": "/vol", "hostPath": str(tmp_path)}]}
    (tmp_path).chmod(0o777)
    code, out = ctr(command, sec={"readOnlyRootFilesystem": True}, config=mounts)
    assert "ROOT" not in out and "TMP" not in out and "VOL" in out, out


def test_image_volume_stays_writable_in_a_read_only_root(ctr, tmp_path):
    code, out = ctr("cat /data/from-image; echo new > /data/new && cat /data/new; touch /x && echo ROOT; id -u",
                    sec={"readOnlyRootFilesystem": True, "runAsUser": 1234}, volumesDir=str(tmp_path / "v"),
                    image={"env": ["PATH=/bin"], "volumes": ["/data", "/not/there"]})
    assert out.split()[:2] == ["image", "new"] and "ROOT" not in out, out


def test_masked_and_read_only_paths(ctr):
    code, out = ctr("for p in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do "
                    "[ -e $p ] && echo \"$p $(head -c 1 $p | wc -c)\"; done; ls /sys/firmware /proc/acpi 2>/dev/null | wc -l; "
                    "echo 1 > /proc/sys/kernel/ns_last_pid && echo WROTE; echo h > /proc/sysrq-trigger && echo WROTE; "
                    "touch /sys/x && echo WROTE; exit 0")
    assert "WROTE" not in out
    for line in out.splitlines():
        if line.startswith("/proc/"):
            assert line.endswith(" 0"), out


def test_proc_mount_unmasked(ctr):
    code, out = ctr("head -c 1 /proc/timer_list | wc -c; grep -c ' /proc/' /proc/mounts", sec={"procMount": "Unmasked"})
    assert out.split()[:2] == ["1", "0"], out


def test_mounts(ctr, tmp_path):
    for d in ("a", "b", "a/sub"):
        (tmp_path / d).mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "x", str(tmp_path / "a" / "sub")], check=True)
    try:
        def with_options(**kw):
            return ctr("touch /m/x && echo RW; touch /m/sub/x && echo SUBRW; exit 0",
                       config={"mounts": [{"containerPath": "/m", "hostPath": str(tmp_path / "a"), **kw}]})[1]
        assert with_options().split() == ["RW", "SUBRW"]
        assert "SUBRW" in with_options(readOnly=True) and "\nRW" not in "\n" + with_options(readOnly=True)
        out = with_options(readOnly=True, recursiveReadOnly=True)
        assert "RW\n" not in out, out
    finally:
        subprocess.run(["umount", str(tmp_path / "a" / "sub")], check=True)


def test_nested_mounts_in_any_order(ctr, tmp_path):
    for d in ("outer", "inner"):
        (tmp_path / d).mkdir()
    (tmp_path / "inner" / "here").write_text("")
    code, out = ctr("ls /m/n", config={"mounts": [{"containerPath": "/m/n", "hostPath": str(tmp_path / "inner")},
                                                  {"containerPath": "/m", "hostPath": str(tmp_path / "outer")}]})
    assert out.split() == ["here"], out


def test_propagation_needs_a_shared_mount(rootfs, tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "x", str(tmp_path)], check=True)
    try:
        subprocess.run(["mount", "--make-private", str(tmp_path)], check=True)
        mount = {"containerPath": "/m", "hostPath": str(tmp_path), "propagation": "Bidirectional"}
        with pytest.raises(Refused, match="is not a shared mount"):
            make_config(rootfs, "true", sec={"privileged": True}, config={"mounts": [mount]})
        subprocess.run(["mount", "--make-shared", str(tmp_path)], check=True)
        _, config = make_config(rootfs, "true", sec={"privileged": True}, config={"mounts": [mount]})
        assert config["linux"]["rootfsPropagation"] == "rshared"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


# --- devices -------------------------------------------------------------------------------------------------------

def test_default_devices_only(ctr):
    code, out = ctr("head -c 1 /dev/zero | wc -c; echo x > /dev/null && echo null; mknod /tmp/kmsg c 1 11 && "
                    "head -c 1 /tmp/kmsg && echo KMSG; rm -f /tmp/kmsg; ls /dev; exit 0")
    assert "null" in out and "KMSG" not in out and "vda" not in out and "kmsg" not in out.split(), out


@pytest.mark.parametrize("permissions, readable", [("rwm", True), ("w", False)])
def test_configured_device(ctr, permissions, readable):
    if not os.path.exists("/dev/kmsg"):
        pytest.skip("no /dev/kmsg")
    code, out = ctr("ls -l /dev/log0; head -c 1 /dev/log0 > /dev/null && echo READ; exit 0", sec={"capabilities": {"add": ["SYSLOG"]}},
                    config={"devices": [{"hostPath": "/dev/kmsg", "containerPath": "/dev/log0", "permissions": permissions}]})
    assert "1,  11" in out and ("READ" in out) == readable, out


def test_cdi(ctr, tmp_path):
    spec = {"cdiVersion": "0.6.0", "kind": "example.com/dev", "containerEdits": {"env": ["FROM_SPEC=1"]},
            "devices": [{"name": "log", "containerEdits": {"env": ["PATH=/bin", "DEV=log"], "additionalGids": [777],
                         "deviceNodes": [{"path": "/dev/log1", "hostPath": "/dev/zero"}],
                         "mounts": [{"hostPath": str(tmp_path), "containerPath": "/cdi", "options": ["ro", "nosuid", "bind"]}]}}]}
    (tmp_path / "dev.json").write_text(json.dumps(spec))
    code, out = ctr("echo $FROM_SPEC $DEV; head -c 1 /dev/log1 | wc -c; ls /cdi; touch /cdi/x && echo WROTE; id -G",
                    cdiDirs=str(tmp_path), config={"annotations": {"cdi.k8s.io/test": "example.com/dev=log"}})
    words = out.split()  # stdout and stderr may mix in any order
    assert words[:2] == ["1", "log"] and "dev.json" in words and "WROTE" not in words and "777" in words, out


def test_cdi_unresolvable(rootfs, tmp_path):
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(Refused, match="unresolvable CDI devices example.com/dev=none.*broken.json"):
        make_config(rootfs, "true", cdiDirs=str(tmp_path), config={"cdiDevices": ["example.com/dev=none"]})


# --- process -------------------------------------------------------------------------------------------------------

def test_environment_and_directory(ctr):
    code, out = ctr("env; pwd; umask", image={"env": ["PATH=/bin", "A=image", "B=image", "C=image"], "workingDir": "tmp/made"},
                    container={"env": [{"name": "B", "value": "pod"}, {"name": "C", "value": ""}]}, hostname="pod-host")
    lines = out.split("\n")
    assert {"A=image", "B=pod", "C=", "HOSTNAME=pod-host", "PATH=/bin", "/tmp/made", "0022"} <= set(lines), out


def test_resources(ctr):
    code, out = ctr("cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/memory/memory.limit_in_bytes "
                    "/sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; "
                    "cat /proc/self/oom_score_adj",
                    container={"resources": {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}}},
                    config={"pidsLimit": 55})
    words = out.split()
    assert {"50000", str(64 << 20), "55"} <= set(words), out


def test_oom_score_that_we_may_not_lower(ctr):
    code, out = ctr("cat /proc/self/oom_score_adj", container={"resources": {"limits": {"cpu": "1", "memory": "64Mi"},
                                                                            "requests": {"cpu": "1", "memory": "64Mi"}}})
    with open("/proc/self/oom_score_adj") as f:
        own = int(f.read())
    assert code == 0 and int(out.split()[-1]) == own, out


def test_tty(rootfs):
    _, config = make_config(rootfs, "true", container={"tty": True})
    assert config["process"]["terminal"] is True and "TERM=xterm" in config["process"]["env"]
