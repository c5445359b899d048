"""Volumes, environment, hosts and DNS as a container sees them."""
import base64
import contextlib
import json
import os
import stat
import textwrap

import pytest

IMAGE = "localhost/reprise-examples:1"
UNTIL = "--until=Succeeded"


def pod(script, volumes="[]", mounts="[]", container="", spec="", meta="", name="vol"):
    """One container that runs <script>; it must exit 0 for the Pod to succeed."""
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}{meta}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  volumes: {volumes}
{textwrap.indent(textwrap.dedent(spec), "  ")}
  containers:
  - name: main
    image: {IMAGE}
    command: [sh, -ec, {json.dumps(script)}]
    volumeMounts: {mounts}
{textwrap.indent(textwrap.dedent(container), "    ")}
"""


def config_map(name="cm", data="{one: '1', two: '2'}", binary="{}"):
    return f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {data}\nbinaryData: {binary}\n"


def secret(name="sec", data="{password: geheim}"):
    return f"---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {data}\n"


def claim(name="data"):
    return (f"---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\n"
            "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n")


@contextlib.contextmanager
def ended(reprise, manifest, *args, timeout=60):
    """Runs it to its good end, and deletes it afterwards: logs go with the Pod."""
    run = reprise.run_pod(manifest, "--keep", "--timeout=40", *args, timeout=timeout)
    try:
        assert run.returncode == 0 and run.pod["status"]["phase"] == "Succeeded", \
            run.explain() + "\n--- log\n" + (reprise.log(run.pod, "main") if run.pod else "")
        yield run
    finally:
        if run.pod:
            reprise.delete(run.pod)


def succeeds(reprise, manifest, *args, timeout=60):
    """Runs it and gives the log of container main."""
    with ended(reprise, manifest, *args, timeout=timeout) as run:
        return reprise.log(run.pod, "main")


def mount_fails(reprise, manifest, text):
    """The volume cannot be made: an event says why, and the Pod waits."""
    run = reprise.run_pod(manifest, UNTIL, "--timeout=3", output="lines", timeout=30)
    assert run.returncode == 124 and "FailedMount" in run.stdout and text in run.stdout, run.explain()


def waits_with(reprise, manifest, text):
    """The container cannot be made: its waiting state says why."""
    run = reprise.run_pod(manifest, UNTIL, "--timeout=6", timeout=40)
    waiting = [s["state"]["waiting"] for p in run.pods for s in p["status"].get("containerStatuses", []) if "waiting" in s["state"]]
    assert run.returncode == 124, run.explain()
    assert any(w["reason"] == "CreateContainerConfigError" and text in w.get("message", "") for w in waiting), run.explain()
    return run


# --- emptyDir ------------------------------------------------------------------------------------------------------

def test_empty_dir(reprise):
    out = succeeds(reprise, pod("stat -c %a /d; echo x > /d/f; cat /d/f; mkdir -p /d/deep/er", "[{name: v, emptyDir: {}}]",
                                "[{name: v, mountPath: /d}]"))
    assert out.split() == ["777", "x"]
    assert not os.path.exists(os.path.join(reprise.root, "pods")) or not os.listdir(os.path.join(reprise.root, "pods"))


def test_empty_dir_is_shared_by_containers(reprise):
    text = pod("cat /d/f", "[{name: v, emptyDir: {}}]", "[{name: v, mountPath: /d, readOnly: true}]", spec=f"""
        initContainers:
        - {{name: init, image: "{IMAGE}", command: [sh, -c, "echo from-init > /d/f"], volumeMounts: [{{name: v, mountPath: /d}}]}}
        """)
    assert succeeds(reprise, text) == "from-init\n"


def test_read_only_mount(reprise):
    out = succeeds(reprise, pod("if touch /d/f 2>/dev/null; then echo written; else echo refused; fi", "[{name: v, emptyDir: {}}]",
                                "[{name: v, mountPath: /d, readOnly: true}]"))
    assert out == "refused\n"


@pytest.mark.parametrize("limit, want", [("sizeLimit: 8Mi", 8 << 20), ("", 32 << 20)])
def test_empty_dir_memory(reprise, limit, want):
    """The volume's own limit, or else the Pod's memory limit."""
    medium = f"{{medium: Memory{', ' + limit if limit else ''}}}"
    out = succeeds(reprise, pod("grep ' /d tmpfs ' /proc/mounts | wc -l; stat -f -c '%b %S' /d", f"[{{name: v, emptyDir: {medium}}}]",
                                "[{name: v, mountPath: /d}]", "resources: {limits: {memory: 32Mi}}"))
    mounted, blocks, size = out.split()
    assert mounted == "1" and int(blocks) * int(size) == want


def test_empty_dir_survives_an_in_place_restart(reprise):
    text = pod("""
        echo run >> /disk/runs; echo run >> /mem/runs; echo run >> /dev/shm/runs
        cat /disk/runs /mem/runs /dev/shm/runs | wc -l
        if [ $(wc -l < /disk/runs) = 3 ]; then exit 0; fi
        exit 88""", "[{name: disk, emptyDir: {}}, {name: mem, emptyDir: {medium: Memory, sizeLimit: 1Mi}}, {name: cm, configMap: {name: cm}}]",
               "[{name: disk, mountPath: /disk}, {name: mem, mountPath: /mem}, {name: cm, mountPath: /cm}, "
               "{name: disk, mountPath: /sub, subPath: a/b}]", """
        restartPolicy: Never
        restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [88]}}]
        """) + config_map()
    assert succeeds(reprise, text).split() == ["3", "6", "9"]


@pytest.mark.slow
def test_empty_dir_over_its_limit_evicts(reprise):
    text = pod("dd if=/dev/zero of=/d/f bs=1M count=3; sleep 100", "[{name: v, emptyDir: {sizeLimit: 1Mi}}]",
               "[{name: v, mountPath: /d}]")
    run = reprise.run_pod(text, "--timeout=60", timeout=90)
    assert run.returncode == 1, run.explain()
    failed = next(p for p in run.pods if p["status"].get("phase") == "Failed")
    assert failed["status"]["reason"] == "Evicted"
    assert 'Usage of EmptyDir volume "v" exceeds the limit "1Mi"' in failed["status"]["message"]


# --- hostPath ------------------------------------------------------------------------------------------------------

def test_host_path_types(reprise, folder):
    base = os.path.join(folder, "hp")
    os.makedirs(os.path.join(base, "dir"))
    with open(os.path.join(base, "file"), "w") as f:
        f.write("from-host\n")
    volumes = ", ".join(f"{{name: {n}, hostPath: {{path: {base}/{p}, type: '{t}'}}}}" for n, p, t in [
        ("a", "dir", "Directory"), ("b", "file", "File"), ("c", "new/deep", "DirectoryOrCreate"), ("d", "newfile", "FileOrCreate"),
        ("e", "made", "")])
    mounts = ", ".join(f"{{name: {n}, mountPath: /{n}}}" for n in "abcde")
    assert succeeds(reprise, pod("touch /a/x /c/y; cat /b; echo z > /d", f"[{volumes}]", f"[{mounts}]")) == "from-host\n"
    assert os.path.exists(f"{base}/dir/x") and os.path.exists(f"{base}/new/deep/y") and os.path.isdir(f"{base}/made")
    with open(f"{base}/newfile") as f:
        assert f.read() == "z\n"  # and all of it is still there when the Pod is gone


@pytest.mark.parametrize("path, kind, want", [
    ("none", "Directory", "hostPath {} doesn't exist"),
    ("file", "Directory", "hostPath type check failed: {} is not a directory"),
    ("dir", "File", "hostPath type check failed: {} is not a file"),
    ("dir", "Socket", "hostPath type check failed: {} is not a socket file"),
    ("file", "CharDevice", "hostPath type check failed: {} is not a character device"),
    ("file", "BlockDevice", "hostPath type check failed: {} is not a block device"),
])
def test_host_path_type_mismatch(reprise, folder, path, kind, want):
    os.makedirs(os.path.join(folder, "hp", "dir"))
    with open(os.path.join(folder, "hp", "file"), "w"):
        pass
    full = os.path.join(folder, "hp", path)
    mount_fails(reprise, pod("true", f"[{{name: v, hostPath: {{path: {full}, type: {kind}}}}}]", "[{name: v, mountPath: /d}]"),
                f'MountVolume.SetUp failed for volume "v" : {want.format(full)}')


def test_host_path_character_device(reprise, folder):
    """The node comes by the mount, and the device cgroup lets it be used."""
    node = os.path.join(folder, "kmsg-like")
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # zero: harmless, and not what the image has there
    out = succeeds(reprise, pod("head -c 4 /dev/mine | wc -c; test -c /dev/mine", f"[{{name: v, hostPath: {{path: {node}, type: CharDevice}}}}]",
                                "[{name: v, mountPath: /dev/mine}]"))
    assert out == "4\n"


# --- configMap, secret, downwardAPI, projected ---------------------------------------------------------------------

def test_config_map(reprise):
    text = pod("cd /c; ls; cat one; readlink one; readlink ..data | cut -c1-4; if touch one 2>/dev/null; then echo written; fi",
               "[{name: v, configMap: {name: cm}}]", "[{name: v, mountPath: /c}]") + config_map()
    assert succeeds(reprise, text) == "one\ntwo\n1..data/one\n..20\n"


def test_config_map_items_modes_and_binary(reprise):
    blob = base64.b64encode(bytes(range(256))).decode()
    text = pod("cd /c; find . -name '..*' -prune -o -type l -print | sort; stat -L -c '%a %s' dir/bin top",
               "[{name: v, configMap: {name: cm, defaultMode: 0400, items: [{key: bin, path: dir/bin, mode: 0755}, {key: one, path: top}]}}]",
               "[{name: v, mountPath: /c}]") + config_map(binary=f"{{bin: {blob}}}")
    assert succeeds(reprise, text) == "./dir\n./top\n755 256\n400 1\n"


def test_secret_is_in_memory(reprise):
    text = pod("cat /s/password; echo; grep -c ' /s tmpfs ' /proc/mounts; stat -L -c %a /s/password",
               "[{name: v, secret: {secretName: sec, defaultMode: 0440}}]", "[{name: v, mountPath: /s}]") + secret()
    assert succeeds(reprise, text) == "geheim\n1\n440\n"


@pytest.mark.parametrize("volume, text", [
    ("configMap: {name: none}", 'MountVolume.SetUp failed for volume "v" : configmap "none" not found'),
    ("secret: {secretName: none}", 'MountVolume.SetUp failed for volume "v" : secret "none" not found'),
    ("configMap: {name: cm, items: [{key: zz, path: z}]}", "references non-existent config key: zz"),
    ("secret: {secretName: sec, items: [{key: zz, path: z}]}", "references non-existent secret key: zz"),
    ("persistentVolumeClaim: {claimName: none}", 'persistentvolumeclaim "none" not found'),
])
def test_missing_sources(reprise, volume, text):
    mount_fails(reprise, pod("true", f"[{{name: v, {volume}}}]", "[{name: v, mountPath: /d}]") + config_map() + secret(), text)


def test_optional_sources(reprise):
    text = pod("ls /a /b /c | tr '\\n' ' '",
               "[{name: a, configMap: {name: none, optional: true}}, {name: b, secret: {secretName: none, optional: true}}, "
               "{name: c, configMap: {name: cm, optional: true, items: [{key: zz, path: zz}, {key: one, path: kept}]}}]",
               "[{name: a, mountPath: /a}, {name: b, mountPath: /b}, {name: c, mountPath: /c}]") + config_map()
    assert succeeds(reprise, text).split() == ["/a:", "/b:", "/c:", "kept"]


def test_downward_api(reprise):
    text = pod("cd /d; cat labels; echo; cat anno; echo; cat name; echo; cat cpu; echo; cat deep/mem; echo",
               """[{name: v, downwardAPI: {items: [
                   {path: labels, fieldRef: {fieldPath: metadata.labels}},
                   {path: anno, fieldRef: {fieldPath: "metadata.annotations['note']"}},
                   {path: name, fieldRef: {fieldPath: metadata.name}},
                   {path: cpu, resourceFieldRef: {containerName: main, resource: limits.cpu, divisor: 1m}},
                   {path: deep/mem, resourceFieldRef: {containerName: main, resource: limits.memory, divisor: 1Mi}}]}}]""",
               "[{name: v, mountPath: /d}]", "resources: {limits: {cpu: 500m, memory: 64Mi}}",
               meta=", labels: {app: web, tier: 'x'}, annotations: {note: hello}")
    assert succeeds(reprise, text) == 'app="web"\ntier="x"\nhello\nvol\n500\n64\n'


def test_projected(reprise):
    text = pod("cd /p; ls; cat dir/one; echo; cat password; echo; cat name; echo",
               """[{name: v, projected: {defaultMode: 0440, sources: [
                   {configMap: {name: cm, items: [{key: one, path: dir/one}]}},
                   {secret: {name: sec}},
                   {downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}},
                   {configMap: {name: none, optional: true}}]}}]""",
               "[{name: v, mountPath: /p}]") + config_map() + secret()
    assert succeeds(reprise, text) == "dir\nname\npassword\n1\ngeheim\nvol\n"


# --- persistentVolumeClaim -----------------------------------------------------------------------------------------

def test_claim_outlives_the_pod(reprise):
    volume = "[{name: v, persistentVolumeClaim: {claimName: data}}]"
    script = "echo run >> /d/runs; wc -l < /d/runs"
    assert succeeds(reprise, pod(script, volume, "[{name: v, mountPath: /d}]") + claim()) == "1\n"
    assert os.path.exists(os.path.join(reprise.root, "pvc", "default", "data", "runs"))
    assert succeeds(reprise, pod(script, volume, "[{name: v, mountPath: /d}]", name="second") + claim()) == "2\n"
    # It is there now: the document is not needed any more.
    assert succeeds(reprise, pod(script, volume, "[{name: v, mountPath: /d}]", name="third")) == "3\n"


def test_claim_read_only(reprise):
    text = pod("if touch /d/f 2>/dev/null; then echo written; else echo refused; fi",
               "[{name: v, persistentVolumeClaim: {claimName: data, readOnly: true}}]", "[{name: v, mountPath: /d}]") + claim()
    assert succeeds(reprise, text) == "refused\n"


# --- subPath -------------------------------------------------------------------------------------------------------

def test_sub_paths(reprise):
    text = pod("echo x > /a/f; cat /all/new/dir/f; cat /one; ls /b; stat -c %a /all/new/dir; if echo y > /one; then :; else echo ro; fi 2>/dev/null; "
               "ls /expr; ls /all/logs",
               "[{name: v, emptyDir: {}}, {name: cm, configMap: {name: cm}}]",
               "[{name: v, mountPath: /a, subPath: new/dir}, {name: v, mountPath: /all}, {name: cm, mountPath: /one, subPath: one}, "
               "{name: v, mountPath: /b, subPath: new}, {name: v, mountPath: /expr, subPathExpr: logs/$(NAME)}]",
               "env: [{name: NAME, value: job-7}]") + config_map()
    assert succeeds(reprise, text) == "x\n1dir\n777\nro\njob-7\n"


@pytest.mark.parametrize("target", ["/", "/etc", "../../../../../../../../etc", "/proc/self/root"])
def test_sub_path_cannot_escape(reprise, target):
    """An init container prepares a symlink; the next container's subPath goes through it."""
    text = pod("ls /d", "[{name: v, emptyDir: {}}]", "[{name: v, mountPath: /d, subPath: link}]", spec=f"""
        initContainers:
        - {{name: evil, image: "{IMAGE}", command: [ln, -s, "{target}", /v/link], volumeMounts: [{{name: v, mountPath: /v}}]}}
        """)
    run = waits_with(reprise, text, 'failed to prepare subPath for volumeMount "v" of container "main"')
    assert not any(s.get("containerID") for p in run.pods for s in p["status"].get("containerStatuses", [])), run.explain()


def test_nested_mounts(reprise):
    """A mount within a mount, given in the wrong order, and one within a read-only configMap."""
    text = pod("ls /data; ls /data/cache; echo x > /data/cache/f; cat /cfg/one; echo y > /cfg/rw/f; ls /cfg/rw",
               "[{name: outer, emptyDir: {}}, {name: inner, emptyDir: {}}, {name: cm, configMap: {name: cm}}]",
               "[{name: inner, mountPath: /data/cache}, {name: outer, mountPath: /data}, {name: inner, mountPath: /cfg/rw}, "
               "{name: cm, mountPath: /cfg}]") + config_map()
    assert succeeds(reprise, text) == "cache\n1f\n"


# --- fsGroup -------------------------------------------------------------------------------------------------------

def test_fs_group(reprise):
    text = pod("id -G; stat -c '%a %g' /e; touch /e/f; stat -c %g /e/f; stat -L -c '%a %g' /c/one; cat /c/one",
               "[{name: e, emptyDir: {}}, {name: cm, configMap: {name: cm, defaultMode: 0400}}]",
               "[{name: e, mountPath: /e}, {name: cm, mountPath: /c}]",
               spec="securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 4321}") + config_map()
    lines = succeeds(reprise, text).splitlines()
    assert "4321" in lines[0].split()
    assert lines[1:] == ["2777 4321", "4321", "440 4321", "1"]


# --- environment ---------------------------------------------------------------------------------------------------

def test_environment(reprise):
    text = pod("env | grep -E '^(A|B|C|D|E|F|G|H|I|J|P_one|two|password|L)=' | sort; echo $0", container="""
        envFrom:
        - {configMapRef: {name: cm}, prefix: P_}
        - {configMapRef: {name: cm}}
        - {secretRef: {name: sec}}
        - {configMapRef: {name: none, optional: true}}
        env:
        - {name: A, value: a}
        - {name: B, value: "$(A)-$(C)-$$(A)"}
        - {name: C, value: c}
        - {name: D, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: E, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
        - {name: F, valueFrom: {configMapKeyRef: {name: cm, key: one}}}
        - {name: G, valueFrom: {secretKeyRef: {name: sec, key: password}}}
        - {name: H, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
        - {name: I, valueFrom: {configMapKeyRef: {name: cm, key: none, optional: true}}}
        - {name: two, value: "over-$(two)"}
        - {name: L, value: ""}
        resources: {limits: {cpu: 250m, memory: 64Mi}}
        """, meta=", labels: {app: web}") + config_map() + secret()
    assert succeeds(reprise, text).splitlines()[:-1] == [
        "A=a", "B=a-$(C)-$(A)", "C=c", "D=vol", "E=web", "F=1", "G=geheim", "H=250", "L=", "P_one=1", "password=geheim", "two=over-2"]


def test_addresses_in_the_environment(reprise):
    text = pod("echo $IP; echo $IPS; hostname -i 2>/dev/null || true; echo $NODE; echo $UID_", container="""
        env:
        - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
        - {name: NODE, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
        - {name: UID_, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
        """)
    with ended(reprise, text) as run:
        lines = reprise.log(run.pod, "main").splitlines()
    ip = next(p["status"]["podIP"] for p in run.pods if p["status"].get("podIP"))
    assert lines[0] == ip and lines[1].split(",")[0] == ip
    assert lines[-2] == next(p["status"]["hostIP"] for p in run.pods if p["status"].get("hostIP"))
    assert lines[-1] == run.pod["metadata"]["uid"]


def test_arguments_are_expanded(reprise):
    text = pod("true").replace("command: [sh, -ec, \"true\"]", 'command: [echo, "$(A)"]\n    args: ["$(NONE)", "$$(A)", "$(A)$(A)"]\n'
                               "    env: [{name: A, value: one}]")
    assert succeeds(reprise, text) == "one $(NONE) $(A) oneone\n"


@pytest.mark.parametrize("env, text", [
    ("valueFrom: {configMapKeyRef: {name: none, key: k}}", 'configmap "none" not found'),
    ("valueFrom: {secretKeyRef: {name: none, key: k}}", 'secret "none" not found'),
    ("valueFrom: {configMapKeyRef: {name: cm, key: k}}", "couldn't find key k in ConfigMap default/cm"),
    ("valueFrom: {secretKeyRef: {name: sec, key: k}}", "couldn't find key k in Secret default/sec"),
])
def test_environment_that_cannot_be_made(reprise, env, text):
    waits_with(reprise, pod("true", container=f"env: [{{name: A, {env}}}]") + config_map() + secret(), text)


# --- files of the Pod ----------------------------------------------------------------------------------------------

def test_hosts_and_hostname(reprise):
    text = pod("cat /etc/hosts; echo --; cat /etc/hostname; hostname", spec="""
        hostname: web
        subdomain: sub
        hostAliases: [{ip: 192.0.2.7, hostnames: [foo.local, bar.local]}]
        """)
    with ended(reprise, text) as run:
        ip = next(p["status"]["podIP"] for p in run.pods if p["status"].get("podIP"))
        hosts, names = reprise.log(run.pod, "main").split("--\n")
    assert hosts.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
    assert f"\n{ip}\tweb.sub.default.svc.cluster.local\tweb\n" in hosts
    assert hosts.endswith("\n# Entries added by HostAliases.\n192.0.2.7\tfoo.local\tbar.local\n")
    assert names == "web\nweb\n"


def test_hosts_with_host_network(reprise):
    with open("/etc/hosts") as f:
        host = f.read()
    out = succeeds(reprise, pod("cat /etc/hosts", spec="hostNetwork: true"))
    assert out == "# Kubernetes-managed hosts file (host network).\n" + host


def test_dns(reprise):
    text = pod("cat /etc/resolv.conf", spec="""
        dnsPolicy: None
        dnsConfig: {nameservers: [192.0.2.53, "2001:db8::53"], searches: [a.example, b.example], options: [{name: ndots, value: "2"}, {name: edns0}]}
        """)
    assert succeeds(reprise, text) == ("search a.example b.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n"
                                       "options ndots:2 edns0\n")


def test_a_volume_takes_the_place_of_a_pod_file(reprise):
    text = pod("cat /etc/hosts; grep -c ' /dev/shm ' /proc/mounts", "[{name: cm, configMap: {name: cm}}, {name: e, emptyDir: {}}]",
               "[{name: cm, mountPath: /etc/hosts, subPath: one}, {name: e, mountPath: /dev/shm}]") + config_map()
    assert succeeds(reprise, text).startswith("1")


def test_shared_memory(reprise):
    """64 MiB, one for the Pod."""
    text = pod("cat /dev/shm/f; stat -c %a /dev/shm; stat -f -c '%b %S' /dev/shm", spec=f"""
        initContainers:
        - {{name: init, image: "{IMAGE}", command: [sh, -c, "echo shared > /dev/shm/f"]}}
        """)
    text_out = succeeds(reprise, text).split()
    assert text_out[:2] == ["shared", "1777"] and int(text_out[2]) * int(text_out[3]) == 64 << 20


def test_termination_message(reprise):
    text = pod("echo -n all done > /tmp/why", container="terminationMessagePath: /tmp/why")
    with ended(reprise, text) as run:
        assert run.pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == "all done"
