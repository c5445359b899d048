"""Registries on this machine, for tests that pull. Used by test_image.py and test_pull_auth.py."""
import base64
import http.server
import json
import os
import threading


def layout_blobs(path):
    """Blobs by digest, and the manifest's digest, of an OCI layout directory."""
    blobs = {}
    for name in os.listdir(f"{path}/blobs/sha256"):
        with open(f"{path}/blobs/sha256/{name}", "rb") as f:
            blobs["sha256:" + name] = f.read()
    with open(f"{path}/index.json", encoding="utf-8") as f:
        return blobs, json.load(f)["manifests"][0]["digest"]


class Registry(http.server.ThreadingHTTPServer):
    """As much of a registry as one image needs (OCI distribution-spec, pull). <login>: "user:password" that it asks for, else none; a
    user "mallory" is denied. <tried>: what it was offered."""

    def __init__(self, blobs, manifest, login=None):
        super().__init__(("127.0.0.1", 0), RegistryHandler)
        self.blobs, self.manifest, self.lie, self.login, self.tried = blobs, manifest, None, login, []
        self.name = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """A client that gives up is what some tests are about."""


class RegistryHandler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def may_come_in(self):
        if not self.server.login:
            return True
        word, _, encoded = self.headers.get("Authorization", "").partition(" ")
        offered = base64.b64decode(encoded).decode() if word == "Basic" else None
        self.server.tried.append(offered)
        if offered == self.server.login:
            return True
        status, code, text = (403, "DENIED", "no such friend") if (offered or "").startswith("mallory:") else \
            (401, "UNAUTHORIZED", "authentication required")
        data = json.dumps({"errors": [{"code": code, "message": text, "detail": [{"Type": "repository", "Action": "pull"}]}]}).encode()
        self.send_response(status)
        self.send_header("WWW-Authenticate", 'Basic realm="test"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)
        return False

    def do_GET(self):
        if not self.may_come_in():
            return
        kind, name = (self.path.split("/") + ["", "", "", ""])[3:5]
        known = self.server.manifest if kind == "manifests" and name in ("1", "latest") else name
        data = self.server.blobs.get(known)
        if self.path == "/v2/":
            data, known = b"{}", ""
        if data is None:
            self.send_response(404)
            data = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
            self.send_header("Content-Type", "application/json")
        else:
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json" if kind == "manifests" else
                             "application/octet-stream")
            self.send_header("Docker-Content-Digest", known)
        if kind == "blobs" and name == self.server.lie:
            data = bytes(len(data))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)
