"""A `reprise node` whose API is served over TLS with what `reprise node --init` makes, and kubectl against it: the one that
tools/build-kubectl builds (1.37), and the older one of this machine, which streams over SPDY."""
import functools
import json
import os
import pty
import re
import select
import shutil
import subprocess
import threading
import time

import pytest
from conftest import PROGRAM, ROOT
from pods import container, free_port, pod

OLD = shutil.which("kubectl")


@functools.cache
def built(tool, result):
    """The path of what tools/<tool> makes; skips when it cannot be made here."""
    done = subprocess.run([os.path.join(ROOT, "tools", tool)], env=dict(os.environ, BUILD="build"), text=True, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, check=False)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return os.path.join(ROOT, "build/tools", result)


def kubectl_path():
    return built("build-kubectl", "kubectl/kubectl")


class Process:
    """A kubectl that goes on; its output line by line."""

    def __init__(self, argv, env, stdin=subprocess.DEVNULL):
        self.argv = argv
        self.process = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=env)
        self.lines, self._changed = [], threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, pattern, timeout=30):
        """The first line, past ones too, in which <pattern> is found."""
        deadline, seen = time.monotonic() + timeout, 0
        with self._changed:
            while True:
                while seen < len(self.lines):
                    if found := re.search(pattern, self.lines[seen]):
                        return found
                    seen += 1
                left = deadline - time.monotonic()
                assert left > 0 and self._thread.is_alive(), f"no {pattern!r} in {timeout} s of {self.argv}:\n" + "\n".join(self.lines[-40:])
                self._changed.wait(min(left, 0.2))

    def wait(self, timeout=30):
        self.process.wait(timeout)
        self._thread.join(5)
        return self.process.returncode

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.wait(10)


class Terminal:
    """A kubectl on a terminal of its own."""

    def __init__(self, argv, env, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.size(rows, columns)
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=dict(env, TERM="xterm"), start_new_session=True)
        os.close(slave)
        self.text = ""

    def size(self, rows, columns):
        import fcntl
        import struct
        import termios
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern, timeout=20):
        """Reads on until <pattern> is in what came since the last call; what follows it is left for the next."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.text)):
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} on the terminal: {self.text[-2000:]!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:
                    data = b""
                assert data, f"the terminal closed before {pattern!r}: {self.text[-2000:]!r}"
                self.text += data.decode(errors="replace")
        self.text = self.text[found.end():]
        return found

    def wait(self, timeout=20):
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still running: {self.text[-2000:]!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    break
        os.close(self.master)
        return self.process.wait(5)


class Kube:
    """The node, and kubectl for it."""

    def __init__(self, node):
        self.node, self.folder, self.port = node, node.reprise.folder, free_port()
        self.etc = f"{self.folder}/etc"
        self.admin, self.view = f"{self.etc}/admin.kubeconfig", f"{self.etc}/view.kubeconfig"
        done = subprocess.run([PROGRAM, "node", "--init", self.etc, "--node-name=n1", f"--secure-port={self.port}", "--tokens"], capture_output=True,
                              text=True, timeout=30, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr
        self.url = f"https://127.0.0.1:{self.port}"
        self.program = kubectl_path()
        node.args.append(f"--config={self.etc}/node.yaml")
        self.background = []

    def start(self, *args, **more):
        self.node.start(*args, **more)
        return self

    def env(self, kubeconfig=None):
        return dict(os.environ, KUBECONFIG=kubeconfig or self.admin, HOME=self.folder, KUBECACHEDIR=f"{self.folder}/kube-cache", NO_PROXY="*")

    def run(self, *args, input=None, kubeconfig=None, old=False, timeout=45):
        """kubectl ARGS, whatever its status."""
        return subprocess.run([OLD if old else self.program, *map(str, args)], capture_output=True, text=True, errors="replace", timeout=timeout,
                              env=self.env(kubeconfig), **({"input": input} if input is not None else {"stdin": subprocess.DEVNULL}))

    def __call__(self, *args, **more):
        """stdout of kubectl ARGS, which must succeed."""
        done = self.run(*args, **more)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, args))}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-3000:]}\n" + self.tail()
        return done.stdout

    def fails(self, *args, status=1, **more):
        """stderr of kubectl ARGS, which must fail."""
        done = self.run(*args, **more)
        assert done.returncode == status, f"kubectl {' '.join(map(str, args))}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stderr

    def tail(self):
        return "\n".join(json.dumps(x) for x in self.node.lines()[-15:])

    def get(self, *args):
        return json.loads(self("get", *args, "-o", "json"))

    def spawn(self, *args, stdin=subprocess.DEVNULL, old=False):
        p = Process([OLD if old else self.program, *map(str, args)], self.env(), stdin)
        self.background.append(p)
        return p

    def terminal(self, *args, old=False, **more):
        return Terminal([OLD if old else self.program, *map(str, args)], self.env(), **more)

    def up(self, *containers, name="p", **spec):
        """Creates a Pod, and waits until it is ready; as it is then."""
        self("create", "-f", "-", input=pod(*(containers or [container()]), name=name, **spec))
        self("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
        return self.get("pod", name)

    def wait_pod(self, name, holds, timeout=40):
        """Looks until <holds>; the Pod as it is then."""
        deadline = time.monotonic() + timeout
        while True:
            p = self.get("pod", name)
            if holds(p):
                return p
            assert time.monotonic() < deadline, json.dumps(p["status"], indent=1) + self.tail()
            time.sleep(0.1)

    def close(self):
        for p in self.background:
            p.stop()
        if self.node.process and self.node.process.poll() is None:
            self.run("delete", "pods", "--all", "--all-namespaces", "--grace-period=1", "--timeout=60s")
