"""The Pod's network with real CNI plugins: the machine's configuration, and the built-in network where there is none."""
import ipaddress
import os
import re
import socket
import subprocess
import time
import urllib.request

import pytest

from conftest import RUNTIME
from pods import container, free_port, is_ready, is_running, pod, shared, status

WEB = "mkdir /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www"
READY = {"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "timeoutSeconds": 1}}


@pytest.fixture(params=["containerd's"] if RUNTIME == "cri" else ["built-in", "configured"])
def network(request, folder):
    """Arguments that choose the network: none configured, or one that a CNI configuration of the machine's would give. Over CRI
    the network is containerd's, and the agent has no say."""
    if RUNTIME == "cri":
        yield []
        return
    conf = os.path.join(folder, "net.d")
    os.makedirs(conf)
    if request.param == "configured":
        with open(os.path.join(conf, "10-test.conflist"), "w") as f:
            f.write('{"cniVersion":"0.4.0","name":"reprise-test","plugins":[{"type":"bridge","bridge":"rtest0","isGateway":true,'
                    '"ipMasq":true,"hairpinMode":true,"ipam":{"type":"host-local","dataDir":"%s/leases","ranges":[[{"subnet":'
                    '"10.59.7.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},{"type":"portmap","capabilities":{"portMappings":true}},'
                    '{"type":"firewall"}]}' % folder)
    yield [f"--cni-conf-dir={conf}"]
    if request.param == "configured":
        subprocess.run(["ip", "link", "del", "rtest0"], capture_output=True, check=False)


def get(ip):
    """A shell command that fetches / of port 8080. Not wget: that of a static busybox crashes in glibc's name look-up."""
    return f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {ip} 8080 | tail -n 1 > /shared/out"


def fetch(url, timeout=5):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=timeout) as answer:
        return answer.read().decode()


def eventually(call, seconds=10):
    end = time.monotonic() + seconds
    while True:
        try:
            return call()
        except (OSError, AssertionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def nat_rules():
    return subprocess.run(["iptables", "-t", "nat", "-S"], capture_output=True, text=True, check=False).stdout


def output(folder):
    """What a container has written to /shared/out; its logs go with the Pod."""
    with open(os.path.join(folder, "out")) as f:
        return f.read()


def test_address_and_files(reprise, network, folder):
    spec, mount = shared(folder)
    script = "exec > /shared/out; ip -o -4 addr show eth0; ip -o link show lo; cat /etc/hosts; hostname; ip route"
    run = reprise.run_pod(pod(container(script=script, **mount), name="web-1", **spec), *network)
    assert run.returncode == 0, run.explain()
    seen = output(folder)
    ip = next(p["status"]["podIP"] for p in run.pods if p["status"].get("podIP"))
    assert ipaddress.ip_address(ip).is_private
    assert re.search(rf"eth0\s+inet {re.escape(ip)}/", seen)
    assert re.search(r"lo:.*UP", seen)
    assert re.search(rf"^{re.escape(ip)}\s+web-1$", seen, re.M)
    assert "\nweb-1\n" in seen
    assert re.search(r"^default via ", seen, re.M)
    assert any(p["status"].get("podIPs") == [{"ip": ip}] for p in run.pods)


def test_host_reaches_pod_and_pod_reaches_pod(reprise, network, folder):
    spec, mount = shared(folder)
    web = reprise.start_pod(pod(container(script=WEB, **READY), name="web"), *network)
    ip = web.wait_for(is_ready, 30, "the server")["status"]["podIP"]
    assert fetch(f"http://{ip}:8080/") == "web\n"
    client = container(script=get(ip), **mount)
    run = reprise.run_pod(pod(client, name="client", **spec), *network)
    assert run.returncode == 0, run.explain()
    assert output(folder) == "web\n"
    other = next(p["status"]["podIP"] for p in run.pods if p["status"].get("podIP"))
    assert other != ip


def test_host_port(reprise, network):
    port = free_port()
    ports = [{"containerPort": 8080, "hostPort": port}]
    web = reprise.start_pod(pod(container(script=WEB, ports=ports, **READY), name="web"), *network)
    web.wait_for(is_ready, 30, "the server")
    assert eventually(lambda: fetch(f"http://127.0.0.1:{port}/")) == "web\n"
    assert str(port) in nat_rules()
    web.interrupt()
    assert web.wait().returncode == 130
    assert f"--dport {port} " not in nat_rules()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=2).close()


def test_containers_share_the_network(reprise, network, folder):
    spec, mount = shared(folder)
    script = f"for i in $(seq 50); do {get('127.0.0.1')}; [ -s /shared/out ] && exit 0; sleep 0.1; done; exit 1"
    client = container("client", script, **mount)
    web = container("web", WEB, restartPolicy="Always")
    run = reprise.run_pod(pod(client, init=[web], name="two", **spec), *network)
    assert run.returncode == 0, run.explain()
    assert output(folder) == "two\n"


def test_host_network(reprise, folder):
    spec, mount = shared(folder)
    script = "exec > /shared/out; readlink /proc/self/ns/net; hostname"
    run = reprise.run_pod(pod(container(script=script, **mount), hostNetwork=True, **spec))
    assert run.returncode == 0, run.explain()
    assert output(folder).split() == [os.readlink("/proc/self/ns/net"), socket.gethostname()]
    p = next(p for p in run.pods if p["status"].get("podIP"))
    assert p["status"]["podIP"] == p["status"]["hostIP"]


def test_in_place_restart_keeps_address_and_namespace(reprise, network, folder):
    spec, mount = shared(folder)
    rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]
    script = "readlink /proc/self/ns/net; ip -o -4 addr show eth0 | grep -o 'inet [0-9.]*'; exec sleep 1000"
    source = "echo x >> /shared/runs; [ $(wc -l < /shared/runs) -gt 2 ] && exec sleep 1000; sleep 0.5; exit 88"
    port = free_port()
    main = container(script=script, ports=[{"containerPort": 8080, "hostPort": port}])
    web = container("web", WEB)
    run = reprise.start_pod(pod(main, web, container("source", source, restartPolicy="Never", restartPolicyRules=rules, **mount),
                                name="kept", **spec), *network)
    last = run.wait_for(lambda p: is_running(p, "main", "source") and status(p, "source")["restartCount"] == 2, 40, "two restarts")
    eventually(lambda: fetch(f"http://127.0.0.1:{port}/"))  # hostPort goes on working
    lines = eventually(lambda: three_attempts(reprise, last))
    assert len({attempt for attempt in lines}) == 1, lines
    assert f"inet {last['status']['podIP']}" in lines[0]


def three_attempts(reprise, p):
    lines = [reprise.log(p, "main", n) for n in range(3)]
    assert all(line.count("\n") == 2 for line in lines)
    return lines


@pytest.fixture
def broken_network(reprise, folder):
    """Arguments for a network that cannot be made; what is said of it has "no-such-plugin"."""
    if RUNTIME == "cri":
        with reprise.containerd.broken_network("no-such-plugin"):
            yield []
        return
    conf = os.path.join(folder, "net.d")
    os.makedirs(conf)
    with open(os.path.join(conf, "1.conflist"), "w") as f:
        f.write('{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"no-such-plugin"}]}')
    yield [f"--cni-conf-dir={conf}"]


def test_network_that_cannot_be_made_is_said(reprise, broken_network):
    run = reprise.run_pod(pod(container()), *broken_network, "--timeout=5", output="lines")
    assert run.returncode == 124, run.explain()
    assert "no-such-plugin" in run.stdout + run.stderr


def test_nothing_is_left_behind(reprise, network):
    before = set(nat_rules().splitlines())
    for name in ("a", "b"):
        run = reprise.run_pod(pod(container(script="true"), name=name), *network)
        assert run.returncode == 0, run.explain()
    new = set(nat_rules().splitlines()) - before
    # The plugins' shared chains stay by design; what is for one Pod has its sandbox in a comment, or a chain by hash.
    assert not [rule for rule in new if re.search(r'id: |CNI-(DN-)?[0-9a-f]{20}', rule)]
