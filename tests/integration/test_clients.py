"""Kubernetes' client libraries against a real node: each program in clients/ says what it did, part by part."""
import os
import subprocess

import pytest
from conftest import HERE
from kube import built

pytestmark = pytest.mark.oci("the API is the same over CRI; only the time would double")


def run(kube, argv, parts, **env):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, env=dict(kube.env(), **env))
    assert done.returncode == 0, f"{done.stdout}{done.stderr[-4000:]}\n{kube.tail()}"
    assert done.stdout.count("\nok ") + done.stdout.startswith("ok ") == parts, done.stdout


def test_the_javascript_client(kube):
    folder = os.path.dirname(built("get-client-node", "node/node_modules"))
    run(kube, ["node", os.path.join(HERE, "clients/client_node.mjs")], 9, CLIENT_NODE=folder)


def test_the_python_client(kube):
    run(kube, ["/usr/bin/python3", os.path.join(HERE, "clients/client_python.py")], 6)
