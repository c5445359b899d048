"""`reprise doctor`: what it says of this machine, and what it leaves behind (nothing)."""
import json
import os
import subprocess

import pytest

pytestmark = pytest.mark.oci("what doctor says of what the embedded runtime needs")


def doctor(program, *args, env=None, user=None):
    return subprocess.run([program, "doctor", *args], capture_output=True, text=True, timeout=60, user=user,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)


def checks(program, *args, **kw):
    r = doctor(program, "-o", "json", *args, **kw)
    report = json.loads(r.stdout)
    return r.returncode, report["ready"], {(c["area"], c["check"]): c for c in report["checks"]}


def test_ready_here_and_nothing_left(program, tmp_path):
    root = tmp_path / "not" / "made"
    code, ready, found = checks(program, f"--root={root}", f"--run-dir={tmp_path}/run", f"--log-dir={tmp_path}/log")
    assert code == 0 and ready, found
    assert found["kernel", "overlay"]["status"] != "missing" and found["cgroups", "making one"]["status"] == "ok"
    assert os.listdir(tmp_path) == []


def test_without_programs(program, tmp_path):
    code, ready, found = checks(program, f"--cni-bin-dir={tmp_path}", env={"PATH": str(tmp_path)})
    assert code == 3 and not ready
    runtime = found["OCI runtime", "crun or runc"]
    assert runtime["status"] == "missing" and "apt-get install crun" in runtime["fix"]
    assert found["network", "CNI"]["status"] == "missing" and found["images", "skopeo"]["status"] == "warning"


def test_not_root(program):
    r = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", program, "doctor", "-o", "json"], capture_output=True, text=True)
    found = {(c["area"], c["check"]): c for c in json.loads(r.stdout)["checks"]}
    assert r.returncode == 3 and found["privileges", "user"]["status"] == "missing"


def test_table_is_aligned_and_plain(program, tmp_path):
    r = doctor(program, f"--root={tmp_path}")
    rows = [line for line in r.stdout.splitlines() if line.startswith(("ok ", "warning ", "missing "))]
    assert "\033" not in r.stdout and len(rows) > 15
    area = rows[0].index("kernel")
    assert all(row[area - 1] == " " and row[area] != " " for row in rows)
    assert r.stdout.splitlines()[-1].startswith("reprise can")


def test_yaml_and_usage(program):
    assert doctor(program, "-o", "yaml").stdout.startswith("ready: ")
    assert doctor(program, "-o", "xml").returncode == 2
