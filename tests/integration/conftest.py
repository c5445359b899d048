"""Fixtures of the integration tests: the built program, one image store, and a clean machine after every test.

    def test_x(reprise):
        run = reprise.run_pod(MANIFEST, "--until=Succeeded", timeout=60)
        assert run.returncode == 0, run.explain()
        assert run.pod["status"]["phase"] == "Succeeded"

    def test_y(reprise):
        pod = reprise.start_pod(MANIFEST)
        pod.wait_for(lambda p: p["status"]["phase"] == "Running", timeout=20)
        pod.interrupt()
        assert pod.wait().returncode == 130

Environment: REPRISE_BUILD (default build/), REPRISE_TEST_RUNTIME (oci: the embedded runtime; cri: a containerd of the tests'
own), REPRISE_TEST_CONTAINERD (1: Debian's; 2: the one of tools/build-containerd). Needs root.

Most tests say what a Pod's user sees, and run over either runtime. Marks take a test out, so that it is not even counted:
    oci(reason)          it is about the embedded runtime itself
    cri                  it is about CRI itself: it takes the fixture `containerd`
    containerd2(reason)  containerd 1.6 cannot do it"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))
import host  # noqa: E402
import leaks  # noqa: E402

BUILD = os.path.abspath(os.path.join(ROOT, os.environ.get("REPRISE_BUILD", "build")))
PROGRAM = os.path.join(BUILD, "src/cli/reprise")
DEADLINE = 120  # of anything that has no timeout of its own
RUNTIME = os.environ.get("REPRISE_TEST_RUNTIME") or "oci"
CONTAINERD = os.environ.get("REPRISE_TEST_CONTAINERD") or "1"


def pytest_configure(config):
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `timeout pytest`: fixtures still clean up
    config.addinivalue_line("markers", "slow: takes more than ten seconds")
    config.addinivalue_line("markers", "leaves_nothing(False): the test cleans up by itself; do not audit")
    config.addinivalue_line("markers", "oci(reason): about the embedded runtime itself; not run over CRI")
    config.addinivalue_line("markers", "cri: about CRI itself; not run over the embedded runtime")
    config.addinivalue_line("markers", "containerd2(reason): over CRI, not run with containerd 1.6")
    if RUNTIME not in ("oci", "cri") or CONTAINERD not in ("1", "2"):
        raise pytest.UsageError("REPRISE_TEST_RUNTIME is oci or cri, REPRISE_TEST_CONTAINERD is 1 or 2")


def fits(item):
    """Whether the test is for the runtime of this run."""
    for name in ("oci", "containerd2"):
        for marker in item.iter_markers(name):
            assert marker.args and marker.args[0], f"{item.nodeid}: the mark {name} needs a reason"
    if RUNTIME == "oci":
        return not item.get_closest_marker("cri")
    return not (item.get_closest_marker("oci") or (CONTAINERD == "1" and item.get_closest_marker("containerd2")))


def pytest_report_header():
    return f"runtime: {RUNTIME}" + (f", containerd {CONTAINERD}" if RUNTIME == "cri" else "")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    unfit = [item for item in items if not fits(item)]
    if unfit:
        items[:] = [item for item in items if item not in set(unfit)]
        config.hook.pytest_deselected(items=unfit)
    if items and os.geteuid() != 0:
        raise pytest.UsageError("the integration tests start real containers: run them as root (sudo make test)")
    if items and not os.access(PROGRAM, os.X_OK):
        raise pytest.UsageError(f"{PROGRAM} is not built: run make, or set REPRISE_BUILD")


def parse_events(text):
    """The watch events of `-o json`; other lines (there should be none) are an error."""
    return [json.loads(line) for line in text.splitlines() if line.strip()]


class Run:
    """A finished `reprise`."""

    def __init__(self, args, returncode, stdout, stderr, is_json):
        self.args, self.returncode, self.stdout, self.stderr = args, returncode, stdout, stderr
        self.events = parse_events(stdout) if is_json else []

    @property
    def pod(self):
        """The Pod as last seen."""
        return self.events[-1]["object"] if self.events else None

    @property
    def pods(self):
        return [e["object"] for e in self.events]

    def explain(self):
        tail = self.stdout if len(self.stdout) < 4000 else "..." + self.stdout[-4000:]
        return f"{' '.join(self.args)}\nstatus {self.returncode}\n--- stdout\n{tail}\n--- stderr\n{self.stderr[-4000:]}"


class Background:
    """A running `reprise run -o json`, its events as they come."""

    def __init__(self, args, stdin_text=None, env=None):
        self.args = args
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE if stdin_text is not None else subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=env)
        if stdin_text is not None:
            self.process.stdin.write(stdin_text)
            self.process.stdin.close()
        self.events, self._lines, self._errors = [], [], []
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._read, daemon=True), threading.Thread(target=self._read_errors, daemon=True)]
        for thread in self._threads:
            thread.start()

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                if line.strip():
                    self.events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _read_errors(self):
        for line in self.process.stderr:
            self._errors.append(line)

    @property
    def stderr(self):
        return "".join(self._errors)

    @property
    def pod(self):
        with self._changed:
            return self.events[-1]["object"] if self.events else None

    def wait_for(self, predicate, timeout=30, what=None):
        """The first Pod object (past ones too) for which <predicate> is true."""
        deadline, seen = time.monotonic() + timeout, 0
        with self._changed:
            while True:
                while seen < len(self.events):
                    pod = self.events[seen]["object"]
                    seen += 1
                    if predicate(pod):
                        return pod
                left = deadline - time.monotonic()
                ended = self.process.poll() is not None and not self._threads[0].is_alive()
                if left <= 0 or ended:
                    why = f"ended with {self.process.returncode}" if ended else f"{timeout} s passed"
                    last = json.dumps(self.events[-1]["object"].get("status"), indent=1)[-3000:] if self.events else "no event"
                    raise AssertionError(f"waited for {what or 'a state'}: {why}\n{last}\n{self.stderr[-3000:]}")
                self._changed.wait(min(left, 0.2))

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def kill(self):
        """kill -9 of the agent: shims and containers live on."""
        self.process.kill()
        self.process.wait(10)

    def wait(self, timeout=60):
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s: {' '.join(self.args)}\n{self.stderr[-3000:]}") from None
        for thread in self._threads:
            thread.join(10)
        return Run(self.args, self.process.returncode, "".join(self._lines), self.stderr, True)


class Reprise:
    """The program with state, run and log directories of its own, sharing the session's image store, or containerd."""

    def __init__(self, folder, images, containerd=None):
        self.program, self.folder = PROGRAM, folder
        self.root, self.run_dir, self.log_dir = (os.path.join(folder, n) for n in ("root", "run", "log"))
        os.makedirs(self.root)
        if images:
            os.symlink(images, os.path.join(self.root, "images"))
        self.node = [f"--root={self.root}", f"--run-dir={self.run_dir}", f"--log-dir={self.log_dir}"]
        self.containerd, self.endpoint = containerd, containerd and containerd.endpoint
        self._n, self._background = 0, []

    @property
    def dirs(self):
        """Flags of the commands that open a runtime: where everything is, and which runtime. Those that open none take `node`."""
        return self.node + (["--runtime=cri", f"--container-runtime-endpoint={self.endpoint}"] if self.endpoint else [])

    def command(self, *args, timeout=DEADLINE, input=None, env=None, check=False):
        """`reprise ARGS...` as it stands, without directories."""
        argv = [self.program, *map(str, args)]
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=timeout, env=self._env(env),
                              **({"input": input} if input is not None else {"stdin": subprocess.DEVNULL}))
        run = Run(argv, done.returncode, done.stdout, done.stderr, False)
        assert not check or run.returncode == 0, run.explain()
        return run

    def manifest(self, text_or_path):
        """A path for a manifest given as text or as path (relative to the repository)."""
        if "\n" not in text_or_path:
            path = os.path.join(ROOT, text_or_path)
            return path if os.path.exists(path) else text_or_path
        self._n += 1
        path = os.path.join(self.folder, f"manifest-{self._n}.yaml")
        with open(path, "w") as f:
            f.write(text_or_path)
        return path

    @staticmethod
    def _env(extra):
        return dict(os.environ, **extra) if extra else None

    def _run_args(self, manifests, args, output):
        manifests = [manifests] if isinstance(manifests, str) else list(manifests)
        return [self.program, "run", *map(self.manifest, manifests), *self.dirs, "-o", output, *map(str, args)]

    def run_pod(self, manifests, *args, timeout=60, input=None, output="json", env=None):
        """Runs to its end. <timeout> s is ours: the test fails then. Give --timeout to have reprise give up by itself."""
        argv = self._run_args(manifests, args, output)
        process = subprocess.Popen(argv, stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=self._env(env))
        try:
            out, err = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            try:
                out, err = process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
            raise AssertionError(f"not done after {timeout} s: {' '.join(argv)}\n{out[-3000:]}\n{err[-3000:]}") from None
        return Run(argv, process.returncode, out, err, output == "json")

    def start_pod(self, manifests, *args, input=None, env=None):
        """Starts it in the background; ended at the test's end if the test does not."""
        pod = Background(self._run_args(manifests, args, "json"), input, self._env(env))
        self._background.append(pod)
        return pod

    def log(self, pod, container, attempt=None):
        """The text of a container's log, CRI prefixes taken away. attempt None = all attempts, in order."""
        meta = pod["metadata"]
        folder = os.path.join(self.log_dir, f"{meta.get('namespace', 'default')}_{meta['name']}_{meta['uid']}", container)
        names = sorted((n for n in os.listdir(folder) if n.endswith(".log")), key=lambda n: int(n[:-4])) if os.path.isdir(folder) else []
        text = ""
        for name in names if attempt is None else [f"{attempt}.log"]:
            with open(os.path.join(folder, name), errors="replace") as f:
                for line in f:
                    parts = line.rstrip("\n").split(" ", 3)
                    text += parts[3] + ("\n" if parts[2] == "F" else "")
        return text

    def delete(self, pod, *args):
        """`reprise delete`, for a Pod that --keep left."""
        name = f"{pod['metadata'].get('namespace', 'default')}/{pod['metadata']['name']}"
        return self.command("delete", name, *self.dirs, *args, check=True)

    def close(self):
        """Ends what the test left running in the background; whatever lives after that is a leak."""
        for pod in self._background:
            if pod.process.poll() is None:
                pod.interrupt()
                try:
                    pod.process.wait(3)
                except subprocess.TimeoutExpired:
                    pod.interrupt()  # the second one kills
                    try:
                        pod.process.wait(15)
                    except subprocess.TimeoutExpired:
                        pod.process.kill()
                        pod.process.wait(10)


@pytest.fixture(scope="session")
def image_layouts(tmp_path_factory):
    """A directory with one OCI layout for each test image, made offline by tools/make-images."""
    out = str(tmp_path_factory.mktemp("layouts"))
    done = subprocess.run([os.path.join(ROOT, "tools/make-images"), out], cwd=ROOT, capture_output=True, text=True,
                          timeout=300, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"tools/make-images: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return out


@pytest.fixture(scope="session")
def image_store(image_layouts, tmp_path_factory):
    """<root>/images with all test images imported: shared by all tests, which only read it."""
    root = str(tmp_path_factory.mktemp("images"))
    for name in sorted(os.listdir(image_layouts)):
        path = os.path.join(image_layouts, name)
        done = subprocess.run([PROGRAM, "image", "import", f"--root={root}", path], capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"image import {path}: {done.stdout}{done.stderr}"
    return os.path.join(root, "images")


@pytest.fixture(scope="session")
def containerd_of_session(image_layouts):
    import cri
    lack = cri.missing()
    if lack:
        pytest.skip(lack)
    from containerd import BUILT, Containerd
    program = BUILT if CONTAINERD == "2" else shutil.which("containerd")
    if CONTAINERD == "2":
        built = subprocess.run([os.path.join(ROOT, "tools/build-containerd")], env=dict(os.environ, BUILD="build"), text=True,
                               stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
        if built.returncode == 3:
            pytest.skip(built.stderr.strip())
        assert built.returncode == 0, built.stderr
    if not program:
        pytest.skip("containerd is not installed")
    if not os.path.isdir(os.path.join(image_layouts, "pause")):
        pytest.skip("catatonit is not installed: no pause image")
    it = Containerd(tempfile.mkdtemp(prefix="reprise-cd", dir="/tmp"), program)
    try:
        it.start()
        it.import_images(image_layouts)
        host.containerd = it if RUNTIME == "cri" else None
        yield it
    finally:
        host.containerd = None
        it.close()


@pytest.fixture
def containerd(containerd_of_session):
    """The tests' own containerd, running, whatever the test before has done to it."""
    it = containerd_of_session
    if not it.alive():
        it.process = None
        it.start()
    yield it
    if it.process is not None:
        it.resume()


@pytest.fixture
def proxy(containerd, folder):
    """What the agent can talk to instead of containerd: passes everything on, and disturbs it when told to (cri_proxy.py)."""
    from cri_proxy import Proxy
    with Proxy(f"{folder}/proxy.sock", containerd.socket) as it:
        yield it


@pytest.fixture
def folder():
    # Short: a unix socket's path has room for 107 bytes. The name has "reprise": the leak audit looks for it.
    path = tempfile.mkdtemp(prefix="reprise-t", dir="/tmp")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def left_behind(before, folder, containerd, containers_before, interrupted=False):
    """What is here that was not before the test, but for containerd itself, which may have been started anew."""
    left = leaks.diff(before, leaks.take(), [folder, *([containerd.folder] if containerd else [])])
    if containerd:
        left = [line for line in left if f"--config {containerd.folder}/" not in line]
        # containerd 1.6 kills a CNI plugin whose caller went away, in the middle of its rules, and does not call it again.
        left = [line for line in left if not (interrupted and line.startswith("NAT chain left behind: CNI-"))]
        left += [f"containerd: {line}" for line in sorted(containerd.leaks() - containers_before)]
    return left


@pytest.fixture
def reprise(folder, request):
    """The program; what the test leaves behind fails the test."""
    marker = request.node.get_closest_marker("leaves_nothing")
    audit = not (marker and marker.args == (False,))
    containerd = request.getfixturevalue("containerd") if RUNTIME == "cri" else None
    interrupted = "through" in request.fixturenames  # by the fault proxy
    images = request.getfixturevalue("image_store") if RUNTIME == "oci" else None
    before = leaks.take() if audit else None
    containers_before = containerd.leaks() if audit and containerd else set()
    it = Reprise(folder, images, containerd)
    yield it
    it.close()
    if containerd:
        containerd.tidy()  # only a living one can be asked
    if audit:
        left = left_behind(before, folder, containerd, containers_before, interrupted)
        for _ in range(40):
            if not left:
                break
            time.sleep(0.1)
            left = left_behind(before, folder, containerd, containers_before, interrupted)
        if left and containerd:
            containerd.remove_all()  # the next test is not to blame
        assert not left, "\n".join(left)


@pytest.fixture
def program():
    """Only the executable's path: for commands that run nothing."""
    return PROGRAM


class Node:
    """A running `reprise node`, its log lines (JSON) as they come, and its Pods by their records."""

    def __init__(self, reprise, args=(), env=None):
        self.reprise, self.manifests = reprise, os.path.join(reprise.folder, "manifests")
        # How full this machine is, is nobody's business but test_housekeeping.py's.
        self.args = [reprise.program, "node", *reprise.dirs, f"--pod-manifest-path={self.manifests}", "--node-name=n1", "--log-format=json",
                     "--eviction-hard=", "--image-gc-high-threshold=100", *map(str, args)]
        self.env, self.process, self.log_file = env, None, os.path.join(reprise.folder, "node.log")
        os.makedirs(self.manifests, exist_ok=True)

    def start(self, *args, env=None, ready=True):
        before = len(self.lines()) if os.path.exists(self.log_file) else 0
        with open(self.log_file, "a") as f:
            self.process = subprocess.Popen([*self.args, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=f,
                                            env=dict(os.environ, **(self.env or {}), **(env or {})))
        if ready:
            self.wait(lambda: any(x.get("msg") == "ready" for x in self.lines()[before:]), 30, "the daemon to be ready")
        return self

    def lines(self):
        with open(self.log_file, errors="replace") as f:
            text = f.read()
        return [json.loads(x) if x.startswith("{") else {"msg": x} for x in text.split("\n")[:-1]]

    def wait(self, holds, timeout=30, what="a state"):
        deadline = time.monotonic() + timeout
        while True:
            value = holds()
            if value:
                return value
            if time.monotonic() > deadline or (self.process and self.process.poll() is not None):
                tail = "\n".join(json.dumps(x) for x in self.lines()[-30:])
                raise AssertionError(f"waited {timeout} s for {what}\n{tail}\n{json.dumps(self.pods(), indent=1)[-2000:]}")
            time.sleep(0.05)

    def write(self, name, text):
        """As an editor that is careful: a hidden file, then a rename."""
        part = os.path.join(self.manifests, f".{name}.part")
        with open(part, "w") as f:
            f.write(text)
        os.rename(part, os.path.join(self.manifests, name))

    def remove(self, name):
        os.unlink(os.path.join(self.manifests, name))

    def pods(self):
        """Name -> Pod, as recorded last."""
        found, top = {}, os.path.join(self.reprise.root, "pods")
        for uid in os.listdir(top) if os.path.isdir(top) else []:
            try:
                with open(os.path.join(top, uid, "pod.json")) as f:
                    record = json.load(f)
            except (OSError, ValueError):
                continue
            for slot in ("pod.live.0.json", "pod.live.1.json"):
                try:
                    with open(os.path.join(top, uid, slot)) as f:
                        live = json.load(f)
                except (OSError, ValueError):
                    continue
                if live["seq"] == live.get("seqEnd") and live["seq"] > record["seq"]:
                    record["seq"], record["pod"]["status"], record["restarts"] = live["seq"], live["status"], live["restarts"]
            record["pod"]["restarts"] = record["restarts"]
            found[record["pod"]["metadata"]["name"]] = record["pod"]
        return found

    def wait_pod(self, name, holds=lambda p: p["status"].get("phase") == "Running", timeout=40):
        def look():
            pod = self.pods().get(name)
            return pod if pod and holds(pod) else None
        return self.wait(look, timeout, f"pod {name}")

    def wait_gone(self, *names, timeout=40):
        self.wait(lambda: not set(names) & set(self.pods()), timeout, f"{names} to be gone")

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self, timeout=15):
        """SIGTERM; the Pods go on."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def close(self):
        """No Pods any more, then no daemon."""
        for name in os.listdir(self.manifests):
            os.unlink(os.path.join(self.manifests, name))
        if self.process is None:
            return
        if self.process.poll() is not None:
            self.start()
        self.process.send_signal(signal.SIGHUP)
        try:
            self.wait(lambda: not self.pods(), 60, "all Pods to be deleted")
        finally:
            self.stop()


@pytest.fixture
def node(reprise):
    """`reprise node`, not started yet; at the end its Pods are deleted through it."""
    it = Node(reprise)
    yield it
    it.close()


@pytest.fixture
def kube(node):
    """`reprise node` with its API over TLS, running, and kubectl for it (kube.py)."""
    from kube import Kube
    it = Kube(node)
    yield it.start()
    it.close()
