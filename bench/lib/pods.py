"""The Pods that are measured, as values: the same containers, images and command lines for every peer.

A shape is a list of containers, each a (kind, role): kind is init, sidecar or main; role is what stamp does in it."""
import json

IMAGE = "localhost/bench:1"
RULE = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]


def shape_of(n):
    """The Pod with <n> containers. 1: a main container whose own exit triggers. 2: the same after an init container, small so
    that many fit. Else an init container, a sidecar that triggers, and main containers: with 3, the announcement's ML worker."""
    if n == 1:
        return [("main", "trigger")]
    if n == 2:
        return [("init", "init"), ("main", "trigger")]
    return [("init", "init"), ("sidecar", "trigger")] + [("main", "main")] * (n - 2)


TASK = [("init", "take"), ("main", "work")]


def without_init(shape):
    return [c for c in shape if c[0] != "init"]


class Pod:
    """<shape> as a Pod named <name> whose board is in <stamps>. Container i has the number <first> + i on the board.

    rules: in-place restart is in the manifest; without, it is a Pod that any implementation takes.
    extra: further arguments of stamp, for the main containers."""

    def __init__(self, name, shape, stamps, first=0, rules=True, host_network=False, extra=()):
        self.name, self.shape, self.stamps, self.first = name, shape, stamps, first
        self.rules, self.host_network, self.extra = rules, host_network, list(extra)

    def command(self, i):
        kind, role = self.shape[i]
        return ["/bin/stamp", role, str(self.first + i)] + (self.extra if kind == "main" else [])

    def _container(self, i):
        kind, role = self.shape[i]
        c = {"name": f"{kind}-{i}", "image": IMAGE, "command": self.command(i),
             "volumeMounts": [{"name": "stamps", "mountPath": "/stamps"}]}
        if self.rules and kind == "sidecar":
            c["restartPolicy"] = "Always"
        if self.rules and role in ("trigger", "work"):
            c.setdefault("restartPolicy", "Never")
            c["restartPolicyRules"] = RULE
        return c

    def manifest(self):
        """JSON, which is YAML too. Without rules a sidecar is a plain container, since only Kubernetes knows sidecars."""
        init_kinds = ("init", "sidecar") if self.rules else ("init",)
        numbered = [(kind, self._container(i)) for i, (kind, _) in enumerate(self.shape)]
        spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
                "containers": [c for kind, c in numbered if kind not in init_kinds],
                "volumes": [{"name": "stamps", "hostPath": {"path": self.stamps, "type": "Directory"}}]}
        init = [c for kind, c in numbered if kind in init_kinds]
        if init:
            spec["initContainers"] = init
        if self.host_network:
            spec["hostNetwork"] = True
        return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": spec})
