"""`reprise node --init`: what openssl and kubectl say of its certificates and kubeconfigs; what it leaves alone."""
import base64
import os
import re
import shutil
import socket
import stat
import subprocess

import pytest
import yaml
from conftest import PROGRAM

pytestmark = pytest.mark.oci("no container at all")
LEAVES = ("server", "admin", "view")


def init(folder, *args, check=0, prefix=()):
    done = subprocess.run([*prefix, PROGRAM, "node", "--init", *([folder] if folder else []), "--node-name=n1", *args], capture_output=True,
                          text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == check, done.stdout + done.stderr
    return done.stdout if check == 0 else done.stderr


def openssl(*args):
    done = subprocess.run(["openssl", *args], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(folder):
    found = {}
    for where, _, names in os.walk(folder):
        for name in set(names) - {".lock"}:
            path = os.path.join(where, name)
            with open(path) as f:
                found[os.path.relpath(path, folder)] = (stat.S_IMODE(os.stat(path).st_mode), f.read())
    return found


def expire(folder, name, days):
    """A certificate of the same CA, key and subject with so many days left, made by openssl."""
    pki = f"{folder}/pki"
    openssl("req", "-new", "-key", f"{pki}/{name}.key", "-subj", "/CN=x", "-out", f"{folder}/csr")
    with open(f"{folder}/ext", "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1,DNS:n1,DNS:old.example\n")
    openssl("x509", "-req", "-in", f"{folder}/csr", "-CA", f"{pki}/ca.crt", "-CAkey", f"{pki}/ca.key", "-CAcreateserial", "-days", str(days),
            "-extfile", f"{folder}/ext", "-out", f"{pki}/{name}.crt")


def test_what_openssl_says(folder):
    out = init(folder, "--san=web.example", "--san=10.1.2.3")
    pki = f"{folder}/pki"
    for name in LEAVES:
        use = "sslserver" if name == "server" else "sslclient"
        openssl("verify", "-x509_strict", "-CAfile", f"{pki}/ca.crt", "-purpose", use, f"{pki}/{name}.crt")
        openssl("pkey", "-in", f"{pki}/{name}.key", "-check", "-noout")
        text = openssl("x509", "-in", f"{pki}/{name}.crt", "-noout", "-text")
        assert "ASN1 OID: prime256v1" in text and "ecdsa-with-SHA256" in text and "CA:FALSE" in text
        subject = openssl("x509", "-in", f"{pki}/{name}.crt", "-noout", "-subject").strip()
        assert subject == {"server": "subject=CN = n1"}.get(name, f"subject=CN = {name}, O = reprise:{name}")
    for host in ("localhost", "n1", "web.example", socket.gethostname()):
        assert "does match" in openssl("x509", "-in", f"{pki}/server.crt", "-noout", "-checkhost", host)
    for ip in ("127.0.0.1", "::1", "10.1.2.3"):
        assert "does match" in openssl("x509", "-in", f"{pki}/server.crt", "-noout", "-checkip", ip)
    assert "NOT match" in openssl("x509", "-in", f"{pki}/server.crt", "-noout", "-checkhost", "other.example")
    ca = openssl("x509", "-in", f"{pki}/ca.crt", "-noout", "-text")
    assert "CA:TRUE, pathlen:0" in ca and "Certificate Sign" in ca and "CN = reprise CA of n1" in ca
    modes = {name: mode for name, (mode, _) in files(folder).items()}
    assert all(modes[f"pki/{n}.key"] == 0o600 for n in ("ca", *LEAVES)) and modes["admin.kubeconfig"] == modes["view.kubeconfig"] == 0o600
    assert stat.S_IMODE(os.stat(pki).st_mode) == 0o700
    assert re.search(r"pki/ca\.crt +made, valid until 20", out) and f"--config={folder}/node.yaml" in out and "tokens" not in out
    with open(f"{folder}/node.yaml") as f:
        config = yaml.safe_load(f)
    assert config == {"apiVersion": "reprise.io/v1alpha1", "kind": "NodeConfig", "bindAddress": "127.0.0.1", "securePort": 6443,
                      "tlsCertFile": f"{pki}/server.crt", "tlsPrivateKeyFile": f"{pki}/server.key", "clientCAFile": f"{pki}/ca.crt"}


def test_kubeconfigs_hold_all(folder):
    init(folder)
    was = files(folder)
    for user in ("admin", "view"):
        config = yaml.safe_load(was[f"{user}.kubeconfig"][1])
        context = config["contexts"][0]
        assert config["current-context"] == context["name"] == f"{user}@n1"
        assert context["context"] == {"cluster": config["clusters"][0]["name"], "user": config["users"][0]["name"]}
        cluster, client = config["clusters"][0]["cluster"], config["users"][0]["user"]
        assert cluster["server"] == "https://127.0.0.1:6443"
        for data, name in ((cluster["certificate-authority-data"], "ca.crt"), (client["client-certificate-data"], f"{user}.crt"),
                           (client["client-key-data"], f"{user}.key")):
            assert base64.b64decode(data).decode() == was[f"pki/{name}"][1]
    kubectl = shutil.which("kubectl")
    if kubectl:
        done = subprocess.run([kubectl, "config", "view", f"--kubeconfig={folder}/admin.kubeconfig", "-o", "jsonpath={.users[0].name}"],
                              capture_output=True, text=True, timeout=60)
        assert done.stdout == "admin", done.stderr


def test_again_changes_nothing(folder):
    init(folder, "--tokens", "--san=web.example")
    was = files(folder)
    out = init(folder)
    assert files(folder) == was and "made" not in out and "renewed" not in out
    mode, text = was["pki/tokens.csv"]
    assert mode == 0o600 and re.fullmatch(r'[0-9a-f]{64},admin,admin,"reprise:admin"\n[0-9a-f]{64},view,view,"reprise:view"\n', text)
    assert "tokenAuthFile" in was["node.yaml"][1]


def test_renewal_keeps_key_names_and_what_was_changed_by_hand(folder):
    init(folder)
    for name in ("server", "admin"):
        expire(folder, name, 20)
    was = files(folder)
    # What `expire` made is not in the kubeconfig: put it there, and an address of the user's own.
    config = yaml.safe_load(was["admin.kubeconfig"][1])
    config["clusters"][0]["cluster"]["server"] = "https://elsewhere:1"
    config["users"][0]["user"]["client-certificate-data"] = base64.b64encode(was["pki/admin.crt"][1].encode()).decode()
    with open(f"{folder}/admin.kubeconfig", "w") as f:
        yaml.safe_dump(config, f, width=100000)
    out = init(folder)
    now = files(folder)
    assert re.search(r"server\.crt +renewed: it expires on 20\d\d-\d\d-\d\d, valid until", out) and re.search(r"view\.crt +kept", out)
    assert "A daemon that runs shows the new certificate after a restart" in out
    changed = {name for name in now if now[name] != was[name]}
    assert changed == {"pki/server.crt", "pki/admin.crt", "admin.kubeconfig"}
    openssl("verify", "-CAfile", f"{folder}/pki/ca.crt", f"{folder}/pki/server.crt", f"{folder}/pki/admin.crt")
    assert "does match" in openssl("x509", "-in", f"{folder}/pki/server.crt", "-noout", "-checkhost", "old.example")
    new = yaml.safe_load(now["admin.kubeconfig"][1])
    assert base64.b64decode(new["users"][0]["user"]["client-certificate-data"]).decode() == now["pki/admin.crt"][1]
    assert new["clusters"][0]["cluster"]["server"] == "https://elsewhere:1"


def test_a_config_that_is_there_is_left_alone(folder):
    text = "apiVersion: reprise.io/v1alpha1\nkind: NodeConfig\nmaxPods: 7\nsecurePort: 7443\n"
    with open(f"{folder}/node.yaml", "w") as f:
        f.write(text)
    with open(f"{folder}/view.kubeconfig", "w") as f:
        f.write("mine\n")
    out = init(folder)
    was = files(folder)
    assert was["node.yaml"][1] == text and was["view.kubeconfig"][1] == "mine\n" and "it has another certificate" in out
    assert f"{folder}/node.yaml needs:\nbindAddress: \"127.0.0.1\"\ntlsCertFile: {folder}/pki/server.crt\n" in out and "securePort:" not in out


@pytest.mark.parametrize("spoil,message", [
    (lambda d: os.chmod(f"{d}/pki/ca.key", 0o644), "mode 0644 lets others use the key"),
    (lambda d: os.unlink(f"{d}/pki/admin.key"), "admin.crt has no key"),
    (lambda d: open(f"{d}/pki/server.crt", "w").close(), "pki/server.crt: "),
    (lambda d: openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{d}/pki/ca.key", "-out", f"{d}/pki/ca.crt", "-subj", "/CN=other"),
     "server.crt is not signed by"),
])
def test_what_does_not_fit_is_refused_and_nothing_changes(folder, spoil, message):
    init(folder)
    spoil(folder)
    was = files(folder)
    assert message in init(folder, check=2) and files(folder) == was


def test_a_directory_that_cannot_be_written(folder):
    inside = f"mount -t tmpfs -o ro,size=1m none {folder} && exec \"$@\""
    text = init(folder, check=1, prefix=("unshare", "-m", "sh", "-c", inside, "sh"))
    assert text == f"reprise: create directory {folder}/pki: Read-only file system\n"


@pytest.mark.parametrize("args,server,bound", [
    (["--secure-port=7443"], "https://127.0.0.1:7443", "127.0.0.1"), (["--bind-address=0.0.0.0"], "https://127.0.0.1:6443", "0.0.0.0"),
    (["--bind-address=10.1.2.3"], "https://10.1.2.3:6443", "10.1.2.3"), (["--bind-address=fd00::1"], "https://[fd00::1]:6443", "fd00::1"),
])
def test_where_it_is_served(folder, args, server, bound):
    init(folder, *args)
    was = files(folder)
    assert yaml.safe_load(was["view.kubeconfig"][1])["clusters"][0]["cluster"]["server"] == server
    assert yaml.safe_load(was["node.yaml"][1])["bindAddress"] == bound
    assert "does match" in openssl("x509", "-in", f"{folder}/pki/server.crt", "-noout", "-checkip", bound.replace("0.0.0.0", "127.0.0.1"))


def test_usage(program, folder):
    for args, message in ((["--san=a"], "--san is only for --init"), (["--tokens"], "--tokens is only for --init"),
                          (["/tmp"], "a directory is only for --init"), (["--init", folder, "--san=a b"], "--san=a b: give a DNS name or an IP address"),
                          (["--init", folder, "--bind-address=here"], "--bind-address=here: give an IP address"),
                          (["--init", folder, "--secure-port=x"], "--secure-port=x: give a number from 0 to 65535")):
        done = subprocess.run([program, "node", *args], capture_output=True, text=True, timeout=30)
        assert done.returncode == 2 and message in done.stderr and os.listdir(folder) == []
