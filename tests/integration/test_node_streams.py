"""A whole node, over CRI: what kubectl streams through the API. (test_kubectl.py has the same, and more, over the embedded runtime.)"""
import hashlib
import os
import re
import subprocess

import pytest
from host import echo
from kube import OLD
from pods import IMAGE, container, free_port, status

pytestmark = [pytest.mark.cri, pytest.mark.skipif(not OLD, reason="kubectl is not installed")]
RULES = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]


def test_streams_over_cri(kube):
    work = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    watch = "while [ ! -e /work/go ]; do sleep 0.05; done; rm /work/go; exit 88"
    main = "echo begin; nc -ll -p 7000 -e cat & while read x; do echo \"got $x\"; done; wait"
    kube.up(container(script=main, stdin=True, **work), volumes=[{"name": "work", "emptyDir": {}}],
            init=[{"name": "watch", "image": IMAGE, "restartPolicy": "Always", "restartPolicyRules": RULES, "command": ["sh", "-c", watch], **work}])
    data = os.urandom(10_000_000)
    done = subprocess.run([OLD, "exec", "-i", "p", "-c", "main", "--", "sh", "-c", "md5sum; exit 3"], input=data, capture_output=True, timeout=60,
                          env=kube.env())
    assert (done.returncode, done.stdout.split()[0].decode()) == (3, hashlib.md5(data).hexdigest())

    local = free_port()
    forward = kube.spawn("port-forward", "pod/p", f"{local}:7000", old=True)
    forward.wait_for("Forwarding from 127.0.0.1")
    assert echo(local, data) == data

    attached = kube.spawn("attach", "-i", "p", "-c", "main", stdin=subprocess.PIPE, old=True)
    attached.process.stdin.write("me\n")
    attached.process.stdin.flush()
    attached.wait_for("got me")
    follow = kube.spawn("logs", "-f", "p", "-c", "main", old=True)
    follow.wait_for("got me")
    kube.run("exec", "p", "-c", "main", "--", "touch", "/work/go", old=True)
    assert follow.wait() == 0 and attached.wait() == 0  # both end with what they were at
    kube.wait_pod("p", lambda p: status(p, "main")["restartCount"] == 1 and "running" in status(p, "main")["state"])
    assert kube("logs", "p", "-c", "main", "--previous", old=True) == "begin\ngot me\n"
    assert kube("logs", "p", "-c", "main", old=True) == "begin\n"
    assert re.search("again", kube("exec", "p", "-c", "main", "--", "echo", "again", old=True))
