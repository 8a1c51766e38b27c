"""A repository of any registry, spoken to over HTTP as registries specify it.

Owns the requests, the way to a token, and going on with an upload that was cut off: a registry is asked what it has of
it. Refuses plain HTTP but on this machine, and to believe a digest that it can reckon.

Source: github.com/opencontainers/distribution-spec, spec.md; distribution.github.io/distribution/spec/auth/token.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from pipeline.errors import (
    ImageNotFound,
    Problem,
    RegistryRefused,
    SealiftError,
    ServiceUnavailable,
    TransientError,
    WrongDigest,
)
from pipeline.image.manifest import ACCEPTED, digest_of, is_digest
from pipeline.image.parts import BlobReader
from pipeline.image.transport import HttpAnswer, failure_of, host_of, is_here, origin, retry_after
from pipeline.image.unfinished import Forgetful
from pipeline.limits import MiB
from pipeline.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline.image.base import Reference
    from pipeline.image.credentials import Login
    from pipeline.image.manifest import Descriptor
    from pipeline.image.registry import Content, Progress
    from pipeline.image.transport import Http
    from pipeline.image.unfinished import Unfinished

CHUNK: Final = 8 * MiB
"""What is sent at a time, and so what is sent again at most when it is cut off."""
_MOST_CHUNK: Final = 64 * MiB
_BEGINNINGS: Final = 3
"""How often an upload is begun anew that the registry forgot."""
_PARAMETER: Final = re.compile(r'([A-Za-z]+)=(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^\s,"]+))\s*(?:,\s*|$)')
_RANGE: Final = re.compile(r"(?:bytes=)?(\d{1,15})-(\d{1,15})")
_API_HOSTS: Final = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
"""Docker's own registry is not where its name says."""


class _Forgotten(Exception):
    """The registry does not know the upload (any more); another one must be begun."""


@dataclass(slots=True)
class _Upload:
    """An upload that was begun."""

    url: str
    at: int = 0
    """How many bytes the registry has."""
    chunk: int = CHUNK
    broken: bool = False
    """Whether it was ever cut off: what a registry then believes to have may be wrong."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry wants to know of whoever asks, as its header WWW-Authenticate says."""

    scheme: str
    """``bearer`` or ``basic``."""
    realm: str
    service: str = ""
    scope: str = ""


def read_challenge(header: str) -> Challenge | None:
    """Return what a header WWW-Authenticate says; None for schemes that are not spoken here, and for nonsense."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() not in {"bearer", "basic"} or len(header) > 8192:
        return None
    found: dict[str, str] = {}
    at = 0
    rest = rest.strip()
    while at < len(rest):
        parameter = _PARAMETER.match(rest, at)
        if parameter is None:
            return None
        value = re.sub(r"\\(.)", r"\1", parameter[2]) if parameter[2] is not None else parameter[3]
        found.setdefault(parameter[1].lower(), value)
        at = parameter.end()
    if scheme.lower() == "bearer" and not found.get("realm"):
        return None
    return Challenge(scheme.lower(), found.get("realm", ""), found.get("service", ""), found.get("scope", ""))


class HttpRepository:
    """A `Registry` over HTTP.

    Args:
        reference: host and repository; a tag or digest is not looked at.
        http: what makes the requests.
        login: tells who asks; called when the registry wants to know.
        unfinished: remembers uploads.
    """

    def __init__(
        self,
        reference: Reference,
        http: Http,
        login: Callable[[], Login],
        unfinished: Unfinished | None = None,
    ) -> None:
        self.name = f"{reference.host}/{reference.repository}"
        self._host = reference.host
        self._repository = reference.repository
        api = _API_HOSTS.get(reference.host, reference.host)
        self._root = f"{'http' if is_here(api) else 'https'}://{api}/v2/"
        self._http = http
        self._login = login
        self._unfinished = unfinished or Forgetful()
        self._authorization = ""
        self._authorizing = Lock()

    def manifest(self, reference: str) -> tuple[str, bytes] | None:
        """Return the media type and the bytes behind a tag or a digest; None where there is none.

        Raises:
            WrongDigest: the bytes are not what the digest says that was asked for, or that the registry names.
        """
        answer = self._ask("GET", f"manifests/{reference}", headers={"Accept": ", ".join(ACCEPTED)})
        if answer.status == 404:
            return None
        self._expect(answer, 200)
        found = digest_of(answer.body)
        stated = answer.headers.get("Docker-Content-Digest", "")
        wanted = reference if is_digest(reference) else stated if is_digest(stated) else found
        if found != wanted:
            raise WrongDigest(
                f"{self.name}: the manifest {reference!r} has the digest {found}; wanted {wanted}; {WrongDigest.fix}"
            )
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return media_type, answer.body

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Return which of these blobs are not there."""
        return {digest for digest in dict.fromkeys(digests) if not self._has(digest)}

    def read(self, blob: Descriptor) -> Iterator[bytes]:
        """Give a blob piece by piece, going on where it is cut off.

        Raises:
            ImageNotFound: it is not there.
            WrongDigest: at the end, when it was not what its digest says.
        """
        renewed = 0

        def check(answer: HttpAnswer) -> bool:
            nonlocal renewed
            if answer.status == 401 and renewed < self._http.patience.attempts:
                renewed += 1
                return self._authorize(answer)
            if answer.status == 404:
                raise self._no_blob(blob.digest)
            if answer.status < 500 and answer.status != 429:
                raise self._refused(answer)
            return False

        url = self._url(f"blobs/{blob.digest}")
        return self._http.download(blob, self.name, lambda: (url, self._headers(url)), check)

    def mount(self, blob: Descriptor, origin: str) -> bool:
        """Take a blob over from another repository of the same registry, with no byte sent.

        Returns:
            Whether it is there now; what a registry does not do, it need not do.
        """
        host, _, repository = origin.partition("/")
        if host != self._host or not repository:
            return False
        if repository == self._repository:
            return self._has(blob.digest)
        wanted = urlencode({"mount": blob.digest, "from": repository})
        try:
            answer = self._ask("POST", f"blobs/uploads/?{wanted}", again=False)
        except (TransientError, RegistryRefused):
            # To read there may be forbidden, and to write here not: the blob can still be sent.
            return False
        if answer.status == 202:
            # It has begun an ordinary upload instead.
            self._cancel(_Upload(self._location(answer, self._url("blobs/uploads/"))))
        return answer.status == 201

    def upload(self, blob: Descriptor, content: Content, progress: Progress) -> None:
        """Send a blob, going on where an earlier upload stopped if the registry still has it; nothing where it is.

        Raises:
            ImageNotFound: there is no such repository.
            RegistryRefused: it does not let in whoever asks, or does not take what is sent.
            WrongDigest: what arrived is not what the digest says.
            Throttled, ServiceUnavailable: it was cut off, as often as the patience goes.
        """
        with BlobReader(blob, content) as reader:
            for _ in range(_BEGINNINGS):
                # Somebody else may have brought it meanwhile.
                if self._has(blob.digest):
                    progress(blob.size)
                    return
                upload = self._recalled(blob) or self._begin()
                try:
                    self._send(upload, blob, reader, progress)
                    self._complete(upload, blob)
                except _Forgotten:
                    self._unfinished.forget(self.name, blob.digest)
                    continue
                except BaseException as error:
                    self._give_up(upload, blob, error)
                    raise
                self._unfinished.forget(self.name, blob.digest)
                return
        raise ServiceUnavailable(
            f"{self.name}: the registry forgot the upload of {blob.digest} {_BEGINNINGS} times; wanted it kept until "
            "it is complete; try again, and look whether the registry runs on several machines that share no storage"
        )

    def put_manifest(self, manifest: bytes, media_type: str, tag: str) -> None:
        """Store a manifest and let the tag name it; all that it names must be there.

        Raises:
            RegistryRefused: a blob is missing, or the registry does not take it.
            WrongDigest: the registry has understood other bytes.
        """
        headers = {"Content-Type": media_type}
        answer = self._ask("PUT", f"manifests/{tag}", headers=headers, body=manifest)
        self._expect(answer, 201)
        stated = answer.headers.get("Docker-Content-Digest", "")
        if is_digest(stated) and stated != digest_of(manifest):
            raise WrongDigest(
                f"{self.name}:{tag}: the registry has stored {stated}; wanted {digest_of(manifest)}; {WrongDigest.fix}"
            )

    def _has(self, digest: str) -> bool:
        answer = self._ask("HEAD", f"blobs/{digest}")
        if answer.status == 404:
            return False
        if answer.status not in {301, 302, 303, 307, 308}:
            # Nothing redirects to what is not there; where it leads may be signed for a GET alone.
            self._expect(answer, 200)
        return True

    def _begin(self) -> _Upload:
        answer = self._ask("POST", "blobs/uploads/")
        self._expect(answer, 202)
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        chunk = max(CHUNK, int(least) if least.isdecimal() and len(least) < 12 else 0)
        upload = _Upload(self._location(answer, self._url("blobs/uploads/")), chunk=chunk)
        if chunk > _MOST_CHUNK:
            self._cancel(upload)
            raise self._protocol(f"OCI-Chunk-Min-Length: {least}", f"at most {_MOST_CHUNK}")
        return upload

    def _recalled(self, blob: Descriptor) -> _Upload | None:
        """Return an upload that an earlier command began, as far as the registry has it."""
        url = self._unfinished.recall(self.name, blob.digest)
        if url is None:
            return None
        upload = _Upload(url, broken=True)
        try:
            self._ask_how_far(upload)
        except (_Forgotten, RegistryRefused):
            self._unfinished.forget(self.name, blob.digest)
            return None
        return upload

    def _send(self, upload: _Upload, blob: Descriptor, reader: BlobReader, progress: Progress) -> None:
        progress(upload.at)
        failures = 0
        while upload.at < blob.size:
            before, end = upload.at, min(upload.at + upload.chunk, blob.size)
            failure, asked_s = self._send_chunk(upload, reader.read(before, end))
            if upload.at > end:
                raise self._protocol(f"{upload.at} bytes received of {end} that were sent", f"at most {end}")
            if upload.at > before:
                failures = 0
                self._unfinished.write(self.name, blob.digest, upload.url)
            else:
                failures += 1
                if not self._http.patience.pause(failures, asked_s):
                    raise failure or self._protocol("a chunk of which nothing was kept", "that it is kept")
            progress(upload.at)

    def _send_chunk(self, upload: _Upload, body: bytes) -> tuple[SealiftError | None, float | None]:
        """Send a chunk; how far the upload is then, the registry says.

        Returns:
            Why not all of it arrived, None when it did; and how long the registry wants to be left alone.
        """
        end = upload.at + len(body)
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{upload.at}-{end - 1}"}
        failure: SealiftError | None
        asked_s = None
        try:
            answer = self._ask("PATCH", upload.url, headers=headers, body=body, again=False)
        except TransientError as error:
            failure = error
        else:
            failure, asked_s = failure_of(host_of(upload.url), answer), retry_after(answer.headers)
            if answer.status == 416:
                failure = self._refused(answer)
            if failure is None:
                self._expect_upload(answer, 202)
                upload.url = self._location(answer, upload.url)
                upload.at = _received(answer, end)
                return None, None
        upload.broken = True
        self._ask_how_far(upload)
        return failure, asked_s

    def _complete(self, upload: _Upload, blob: Descriptor) -> None:
        url = upload.url + ("&" if urlsplit(upload.url).query else "?") + urlencode({"digest": blob.digest})
        failures = 0
        while True:
            failure, asked_s = None, None
            try:
                answer = self._ask("PUT", url, again=False)
            except TransientError as error:
                failure = error
            else:
                failure, asked_s = failure_of(host_of(url), answer), retry_after(answer.headers)
                if failure is None:
                    break
            failures += 1
            # It may have come about before the connection was cut.
            if self._has(blob.digest):
                return
            if not self._http.patience.pause(failures, asked_s):
                raise failure
        if answer.status == 404 and self._has(blob.digest):
            return
        if upload.broken and answer.status == 400:
            # A registry may still have written bytes of a connection that was gone. What it has is of no use.
            self._cancel(upload)
            raise _Forgotten
        self._expect_upload(answer, 201)
        stated = answer.headers.get("Docker-Content-Digest", "")
        if is_digest(stated) and stated != blob.digest:
            raise WrongDigest(
                f"{self.name}: the registry has stored {stated}; wanted {blob.digest}; try again"
            )

    def _ask_how_far(self, upload: _Upload) -> None:
        """Ask what the registry has of an upload, and take that over."""
        answer = self._ask("GET", upload.url)
        self._expect_upload(answer, 204, 202, 200)
        upload.url = self._location(answer, upload.url)
        upload.at = _received(answer, 0)

    def _give_up(self, upload: _Upload, blob: Descriptor, error: BaseException) -> None:
        """Leave no upload behind that nobody goes on with."""
        passes = isinstance(error, TransientError) or not isinstance(error, Exception)
        if passes and self._unfinished.keeps:
            self._unfinished.write(self.name, blob.digest, upload.url)
            return
        self._unfinished.forget(self.name, blob.digest)
        self._cancel(upload)

    def _cancel(self, upload: _Upload) -> None:
        try:
            self._ask("DELETE", upload.url, again=False)
        except SealiftError:
            # Registries need not know it, and remove by themselves what nobody completes.
            return

    def _ask(
        self,
        method: str,
        place: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        again: bool = True,
    ) -> HttpAnswer:
        """Return an answer; who asks is told when the registry wants to know."""
        url = self._url(place)
        answer = self._http.ask(
            method, url, headers={**self._headers(url), **(headers or {})}, body=body, again=again
        )
        if answer.status == 401 and origin(url) == origin(self._root) and self._authorize(answer):
            answer = self._http.ask(
                method, url, headers={**self._headers(url), **(headers or {})}, body=body, again=again
            )
        if answer.status in {401, 403}:
            raise self._refused(answer)
        return answer

    def _url(self, place: str) -> str:
        return place if "://" in place else f"{self._root}{self._repository}/{place}"

    def _headers(self, url: str) -> dict[str, str]:
        if self._authorization and origin(url) == origin(self._root):
            return {"Authorization": self._authorization}
        return {}

    def _location(self, answer: HttpAnswer, url: str) -> str:
        there = answer.headers.get("Location")
        if not there:
            raise self._protocol("an upload without an address", "a header Location")
        return urljoin(url, there)

    def _authorize(self, answer: HttpAnswer) -> bool:
        """Do what a 401 asks for; return whether there is something else to be said now than before."""
        challenge = read_challenge(answer.headers.get("WWW-Authenticate", ""))
        if challenge is None:
            return False
        with self._authorizing:
            said = self._authorization
            login = self._login()
            if challenge.scheme == "basic":
                self._authorization = login.basic or ""
                return bool(self._authorization) and said != self._authorization
            self._authorization = f"Bearer {self._token(challenge, login)}"
            return True

    def _token(self, challenge: Challenge, login: Login) -> str:
        place = urlsplit(challenge.realm)
        asked = parse_qsl(place.query)
        if challenge.service:
            asked.append(("service", challenge.service))
        asked += [("scope", scope) for scope in challenge.scope.split(" ") if scope]
        url = place._replace(query=urlencode(asked)).geturl()
        answer = self._http.ask("GET", url, headers={"Authorization": login.basic} if login.basic else {})
        if answer.status in {401, 403}:
            raise self._refused(answer, login)
        document = _json(answer.body) if answer.status == 200 else None
        token = (document or {}).get("token") or (document or {}).get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise self._protocol(f"HTTP {answer.status} of {host_of(url)} without a token", "a token")
        return token

    def _expect(self, answer: HttpAnswer, *statuses: int) -> None:
        if answer.status not in statuses:
            raise self._refused(answer)

    def _expect_upload(self, answer: HttpAnswer, *statuses: int) -> None:
        if answer.status == 404:
            raise _Forgotten
        self._expect(answer, *statuses)

    def _no_blob(self, digest: str) -> ImageNotFound:
        problem = Problem(
            "NoLayer",
            f"{digest} is not there, or not any more",
            "all that the image's manifest names",
            "the image was deleted or replaced: name a base that is there with --base, and build again",
        )
        return ImageNotFound(self.name, [problem])

    def _protocol(self, seen: str, wanted: str) -> RegistryRefused:
        problem = Problem("StrangeAnswer", seen, wanted, "ask whoever keeps the registry, or use another one")
        return RegistryRefused(self.name, [problem])

    def _refused(self, answer: HttpAnswer, login: Login | None = None) -> SealiftError:
        """Return the error for an answer that is a refusal."""
        code, said = _said(answer)
        seen = f"HTTP {answer.status}{f', {code}' if code else ''}{f': {said}' if said else ''}"
        if answer.status in {401, 403}:
            return self._not_let_in(seen, answer.status, login or self._login())
        if code in {"NAME_UNKNOWN", "NAME_INVALID"} or answer.status == 404:
            problem = Problem(
                "NoRepository", seen, "a repository that is there", "make it, or correct its name"
            )
            return ImageNotFound(self.name, [problem])
        if code in {"DIGEST_INVALID", "SIZE_INVALID"}:
            return WrongDigest(
                f"{self.name}: {seen}; wanted the bytes that the digest names; {WrongDigest.fix}"
            )
        if code in {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"}:
            fix = "push again: what is missing is sent; nothing was tagged"
            problem = Problem("LayersMissing", seen, "all layers that the manifest names", fix)
            return RegistryRefused(self.name, [problem])
        problem = Problem("Rejected", seen, "that it is taken", "see the registry's words")
        return RegistryRefused(self.name, [problem])

    def _not_let_in(self, seen: str, status: int, login: Login) -> RegistryRefused:
        how = f"`docker login {self._host}` or `skopeo login {self._host}`"
        if login.name and status == 401:
            problem = Problem(
                "WrongPassword", seen, f"that the registry knows {login.name!r}", f"log in anew, with {how}"
            )
        elif login.name:
            fix = f"ask whoever keeps it to allow {login.name!r} to pull and push {self._repository}"
            problem = Problem("NotAllowed", seen, "permission", fix)
        else:
            missing = f": {login.missing}; log in" if login.missing else ": log in,"
            fix = f"nobody is logged in{missing} with {how}, so that config.json has the password itself"
            problem = Problem("NotLoggedIn", seen, "that it lets everybody in, or a login", fix)
        return RegistryRefused(self.name, [problem])


def _received(answer: HttpAnswer, otherwise: int) -> int:
    """Return how many bytes of an upload a registry has, as its header Range says."""
    found = _RANGE.fullmatch(answer.headers.get("Range", "").strip())
    if found is None or found[1] != "0":
        return otherwise
    # Of nothing at all registries say the same as of a single byte.
    return int(found[2]) + 1 if found[2] != "0" or otherwise == 1 else 0


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _said(answer: HttpAnswer) -> tuple[str, str]:
    """Return the first error's code and message of an answer, short and in one line."""
    document = _json(answer.body) or {}
    errors = document.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    message = str(first.get("message") or document.get("details") or "")
    return re.sub(r"[^A-Z_]", "", str(first.get("code") or ""))[:40], one_line(message)[:200]
