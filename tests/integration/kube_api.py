"""A small client of the node's API over its socket: JSON in, JSON out, one connection a request."""
import http.client
import json
import socket
import time


class ApiError(Exception):
    def __init__(self, code, status):
        super().__init__(f"{code}: {status.get('message') if isinstance(status, dict) else status}")
        self.code, self.status = code, status


class _Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    def __init__(self, path, timeout=20):
        self.path, self.timeout = path, timeout

    def call(self, method, path, body=None, content_type="application/json"):
        c = _Connection(self.path, self.timeout)
        try:
            c.request(method, path, None if body is None else json.dumps(body), {"Content-Type": content_type, "Accept": "application/json"})
            r = c.getresponse()
            text = r.read().decode(errors="replace")
        finally:
            c.close()
        answer = json.loads(text) if r.getheader("Content-Type", "").startswith("application/json") else text
        if r.status >= 400:
            raise ApiError(r.status, answer)
        return answer

    @staticmethod
    def _path(resource, name=None, namespace="default", sub=None):
        parts = ["/api/v1"] + ([f"namespaces/{namespace}"] if namespace else []) + [resource] + ([name] if name else []) + ([sub] if sub else [])
        return "/".join(parts)

    def get(self, resource, name, namespace="default"):
        """None if it is not there."""
        try:
            return self.call("GET", self._path(resource, name, namespace))
        except ApiError as e:
            if e.code == 404:
                return None
            raise

    def list(self, resource, namespace="default", query=""):
        return self.call("GET", self._path(resource, None, namespace) + query)["items"]

    def create(self, resource, o, namespace="default"):
        return self.call("POST", self._path(resource, None, namespace), json.loads(o) if isinstance(o, str) else o)

    def patch(self, resource, name, change, namespace="default", sub=None, kind="strategic-merge-patch"):
        return self.call("PATCH", self._path(resource, name, namespace, sub), change, f"application/{kind}+json")

    def delete(self, resource, name, namespace="default", grace=None):
        body = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        return self.call("DELETE", self._path(resource, name, namespace), body)

    def logs(self, name, namespace="default", query=""):
        return self.call("GET", self._path("pods", name, namespace, "log") + query)

    def events(self, name, namespace="default"):
        return [e for e in self.list("events", namespace) if e["involvedObject"].get("name") == name]

    def wait(self, resource, name, holds=lambda o: o is not None, timeout=40, namespace="default", what=None):
        deadline, o = time.monotonic() + timeout, None
        while time.monotonic() < deadline:
            try:
                o = self.get(resource, name, namespace)
                if holds(o):
                    return o
            except (OSError, http.client.HTTPException):
                pass  # the daemon is between two lives
            time.sleep(0.05)
        raise AssertionError(f"waited {timeout} s for {what or f'{resource} {name}'}\n{json.dumps(o, indent=1)[-3000:]}\n"
                             + json.dumps([(e['reason'], e['message']) for e in self.events(name, namespace)], indent=1)[-2000:])

    def wait_gone(self, resource, name, timeout=40, namespace="default"):
        self.wait(resource, name, lambda o: o is None, timeout, namespace, f"{resource} {name} to be gone")
