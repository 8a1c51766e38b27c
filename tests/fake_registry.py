"""A registry over HTTP in this process, as strict as the specification, that can be told to fail.

Its layers lie on a store of another origin when it redirects, which refuses whoever brings the registry's password.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

PASSWORD = "hunter2"


@dataclass
class Fault:
    """What goes wrong with a request."""

    method: str
    path: str
    """A regular expression that is found in it."""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    code: str = ""
    cut_request: int | None = None
    """Bytes of the body that are read, and of an upload kept, before the connection is cut."""
    cut_answer: int | None = None
    """Bytes of the answer's body that are sent before the connection is cut."""
    lost: bool = False
    """Whether all is done and only the answer is lost."""
    change: Callable[[bytes], bytes] | None = None
    """Of the answer's body."""
    unsized: bool = False
    """Whether the answer's length is not said, and its end is the connection's."""
    forget: bool = False
    """Whether all uploads are forgotten before."""
    times: int = 1
    after: int = 0
    """How many requests are let through first."""


@dataclass
class Seen:
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    body: int
    status: int = 0


class _Cut(Exception):
    """The connection is to be cut."""


class FakeRegistry:
    """What it holds, what it was asked, what goes wrong.

    Args:
        auth: "" lets everybody in; "basic" and "bearer" want a name and PASSWORD, "token" a bearer token that anybody
            gets, as public registries have it.
        redirects: whether layers are read from the store.
        ranges: whether the store can be read from the middle.
    """

    def __init__(
        self, *, auth: str = "", redirects: bool = False, ranges: bool = True, mounts: bool = True
    ) -> None:
        self.auth, self.redirects, self.ranges, self.mounts = auth, redirects, ranges, mounts
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, tuple[str, bytearray]] = {}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.lock = threading.Lock()
        self.token = "token-1"
        self.host = self.store = ""
        self._count = 0

    def fail(self, *faults: Fault) -> None:
        """Let requests fail from now on."""
        self.faults += faults

    def put(self, repository: str, content: bytes) -> str:
        """Let a repository have a blob; return its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs.setdefault(repository, {})[digest] = content
        return digest

    def asked(self, method: str = "", path: str = "") -> list[Seen]:
        """Return what it was asked."""
        return [one for one in self.seen if method in {"", one.method} and re.search(path, one.path)]

    def sent(self) -> int:
        """Return how many bytes of layers were brought to it."""
        return sum(one.body for one in self.asked("PATCH") if one.status in {0, 202})

    def begin(self, repository: str) -> str:
        """Begin an upload; return its identifier."""
        self._count += 1
        name = f"upload-{self._count}"
        self.uploads[name] = (repository, bytearray())
        return name

    def fault(self, method: str, path: str) -> Fault | None:
        """Return what goes wrong with this request."""
        for fault in self.faults:
            if fault.method in {"", method} and re.search(fault.path, path) and fault.times:
                if fault.after:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: FakeRegistry
    is_store = False

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def _serve(self) -> None:
        registry = self.registry
        with registry.lock:
            fault = registry.fault(self.command, self.path)
        length = int(self.headers.get("Content-Length", 0))
        seen = Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, length)
        with registry.lock:
            registry.seen.append(seen)
        self._fault, self._seen = fault, seen
        try:
            if fault is not None and fault.forget:
                registry.uploads.clear()
            if fault is not None and fault.cut_request is not None:
                self._cut(self.rfile.read(min(fault.cut_request, length)))
            body = self.rfile.read(length)
            if fault is not None and fault.status:
                errors = {"errors": [{"code": fault.code or "UNKNOWN", "message": "as the test wants"}]}
                self._answer(fault.status, json.dumps(errors).encode(), fault.headers)
                return
            with registry.lock:
                (self._store if self.is_store else self._route)(body)
        except _Cut:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 http.server's names

    def _cut(self, part: bytes) -> NoReturn:
        """Keep what arrived of a chunk, as registries do, and cut the connection."""
        name = urlsplit(self.path).path.rpartition("/")[2]
        if name in self.registry.uploads:
            self.registry.uploads[name][1].extend(part)
        raise _Cut

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        fault = self._fault
        self._seen.status = status
        if fault is not None and fault.lost:
            raise _Cut
        if fault is not None and fault.change is not None:
            body = fault.change(body)
        sized = {"Content-Length": str(len(body))}
        if fault is not None and fault.unsized:
            sized = {"Connection": "close"}
        self.send_response(status)
        for name, text in {**sized, **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.cut_answer is not None:
            self.wfile.write(body[: fault.cut_answer])
            self.wfile.flush()
            raise _Cut
        self.wfile.write(body)

    def _error(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"errors": [{"code": code, "message": f"{code.lower()} it is"}]}).encode()
        self._answer(status, body, {"Content-Type": "application/json", **(headers or {})})

    def _let_in(self, repository: str, query: dict[str, list[str]]) -> bool:
        registry, given = self.registry, self.headers.get("Authorization", "")
        if registry.auth in {"bearer", "token"} and given != f"Bearer {registry.token}":
            action = "pull" if self.command in {"GET", "HEAD"} else "pull,push"
            scope = f"repository:{repository}:{action}"
            if "from" in query:
                scope += f" repository:{query['from'][0]}:pull"
            realm = f'Bearer realm="http://{registry.host}/token",service="fake",scope="{scope}"'
            self._error(401, "UNAUTHORIZED", {"WWW-Authenticate": realm})
            return False
        if registry.auth == "basic" and given != _basic():
            self._error(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="fake"'})
            return False
        return True

    def _route(self, body: bytes) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if url.path == "/token":
            self._token(query)
            return
        found = re.fullmatch(r"/v2/(.+?)/(blobs/uploads|blobs|manifests)/([^/]*)", url.path)
        if found is None:
            self._error(404, "NAME_UNKNOWN")
            return
        repository, kind, name = found.groups()
        if not self._let_in(repository, query):
            return
        if kind == "blobs/uploads":
            self._upload(repository, name, query, body)
        elif kind == "blobs":
            self._blob(repository, name)
        else:
            self._manifest(repository, name, body)

    def _token(self, query: dict[str, list[str]]) -> None:
        if query.get("service") != ["fake"] or not query.get("scope"):
            self._error(400, "UNSUPPORTED")
        elif self.registry.auth == "bearer" and self.headers.get("Authorization") != _basic():
            self._error(401, "UNAUTHORIZED")
        else:
            self._answer(200, json.dumps({"token": self.registry.token}).encode())

    def _upload(self, repository: str, name: str, query: dict[str, list[str]], body: bytes) -> None:
        registry = self.registry
        if self.command == "POST" and not name:
            self._begin(repository, query)
            return
        if name not in registry.uploads or registry.uploads[name][0] != repository:
            self._error(404, "BLOB_UPLOAD_UNKNOWN")
            return
        content_so_far = registry.uploads[name][1]
        if self.command in {"PATCH", "PUT"} and query.get("state") != [str(len(content_so_far))]:
            # An address is good for one request: after a break it must be asked for anew.
            self._error(416, "BLOB_UPLOAD_INVALID")
            return
        if self.command == "GET":
            self._accepted(204, repository, name)
        elif self.command == "DELETE":
            del registry.uploads[name]
            self._answer(204)
        elif self.command == "PATCH":
            expected = f"{len(content_so_far)}-{len(content_so_far) + len(body) - 1}"
            if not body or self.headers.get("Content-Range") != expected:
                self._error(416, "BLOB_UPLOAD_INVALID", {"Range": f"0-{max(0, len(content_so_far) - 1)}"})
                return
            content_so_far.extend(body)
            self._accepted(202, repository, name)
        elif self.command == "PUT":
            self._complete(repository, name, query, body)

    def _begin(self, repository: str, query: dict[str, list[str]]) -> None:
        registry = self.registry
        if "mount" in query and registry.mounts:
            digest = query["mount"][0]
            content = registry.blobs.get(query["from"][0], {}).get(digest)
            if content is not None:
                registry.put(repository, content)
                self._answer(201, headers={"Location": f"/v2/{repository}/blobs/{digest}"})
                return
        self._accepted(202, repository, registry.begin(repository))

    def _complete(self, repository: str, name: str, query: dict[str, list[str]], body: bytes) -> None:
        content = bytes(self.registry.uploads[name][1]) + body
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if query.get("digest") != [digest]:
            self._error(400, "DIGEST_INVALID")
            return
        del self.registry.uploads[name]
        self.registry.put(repository, content)
        self._answer(
            201, headers={"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest}
        )

    def _accepted(self, status: int, repository: str, name: str) -> None:
        there = len(self.registry.uploads[name][1])
        where = f"/v2/{repository}/blobs/uploads/{name}?state={there}"
        headers = {"Location": where, "Range": f"0-{max(0, there - 1)}"}
        self._answer(status, headers=headers)

    def _blob(self, repository: str, digest: str) -> None:
        content = self.registry.blobs.get(repository, {}).get(digest)
        if content is None:
            self._error(404, "BLOB_UNKNOWN")
        elif self.registry.redirects:
            self._answer(
                307, headers={"Location": f"http://{self.registry.store}/{repository}/{digest}?signed"}
            )
        else:
            self._bytes(content)

    def _store(self, _body: bytes) -> None:
        if "Authorization" in self.headers:
            self._answer(400, b"<Error><Code>InvalidArgument</Code></Error>")
            return
        repository, _, digest = urlsplit(self.path).path[1:].rpartition("/")
        self._bytes(self.registry.blobs[repository][digest])

    def _bytes(self, content: bytes) -> None:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found and self.registry.ranges:
            start = int(found[1])
            where = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            self._answer(206, content[start:], where)
        else:
            self._answer(200, content)

    def _manifest(self, repository: str, reference: str, body: bytes) -> None:
        registry = self.registry
        if self.command == "PUT":
            document = json.loads(body)
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            names = [one["digest"] for one in (document["config"], *document["layers"])]
            if any(name not in registry.blobs.get(repository, {}) for name in names):
                self._error(400, "MANIFEST_BLOB_UNKNOWN")
                return
            for name in (reference, digest):
                registry.manifests[repository, name] = (self.headers["Content-Type"], body)
            self._answer(201, headers={"Docker-Content-Digest": digest, "Location": f"/v2/{repository}"})
            return
        found = registry.manifests.get((repository, reference))
        if found is None or found[0] not in self.headers.get("Accept", "").split(", "):
            self._error(404, "MANIFEST_UNKNOWN")
            return
        digest = f"sha256:{hashlib.sha256(found[1]).hexdigest()}"
        self._answer(
            200, found[1], {"Content-Type": f"{found[0]}; charset=utf-8", "Docker-Content-Digest": digest}
        )


def _basic() -> str:
    return f"Basic {base64.b64encode(f'somebody:{PASSWORD}'.encode()).decode()}"


@contextmanager
def running(registry: FakeRegistry) -> Iterator[FakeRegistry]:
    """Run a registry and its store on two free ports of 127.0.0.1."""
    servers = []
    for is_store in (False, True):
        handler = type("Handler", (_Handler,), {"registry": registry, "is_store": is_store})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
    registry.host, registry.store = (f"127.0.0.1:{server.server_address[1]}" for server in servers)
    try:
        yield registry
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
