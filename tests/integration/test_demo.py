"""`make demo` as it stands: it says PASS for each thing that it proves, and its exit status means it."""
import os
import re
import subprocess

import pytest

from conftest import BUILD, ROOT

pytestmark = pytest.mark.oci("tools/demo shows the embedded runtime")


def test_demo(program):
    done = subprocess.run([os.path.join(ROOT, "tools/demo")], env=dict(os.environ, BUILD=BUILD), capture_output=True, text=True,
                          timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "FAIL" not in done.stdout
    passed = re.findall(r"^  PASS  ([^:\n]+)", done.stdout, re.M)
    assert {"UID", "IP", "sandbox", "sandbox process", "main-application"} <= set(passed) and len(passed) >= 20
