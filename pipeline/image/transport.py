"""HTTP as registries and their stores need it: bounded answers, patience, redirects that take no password along.

Owns when a request is made again and where it may go: HTTPS, and plain HTTP only on this machine. Refuses to know what
a registry is: `distribution` does.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, SSLError

from pipeline import settings
from pipeline.errors import (
    Problem,
    RegistryRefused,
    SealiftError,
    ServiceUnavailable,
    Throttled,
    TransientError,
    WrongDigest,
)
from pipeline.limits import KiB, MiB
from pipeline.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from pipeline.image.manifest import Descriptor

ANSWER_BYTES: Final = 4 * MiB
"""Of an answer that is held whole; the largest manifest that ECR takes (its service model, ImageManifest)."""
_PIECE: Final = 256 * KiB
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MOST_REDIRECTS: Final = 5
_HERE: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_TIMEOUT: Final = urllib3.Timeout(connect=5, read=60)
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(?:\d+|\*)")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a request is made again that a registry or the way to it has cut off, and how long before that."""

    sleep: Callable[[float], None] | None = None
    """What waits; None where nothing may, as in a task: then the first failure is raised."""
    attempts: int = 5
    first_s: float = 0.5
    most_s: float = 60.0
    """The longest single wait, also of those that a registry asks for."""

    def pause(self, failures: int, asked_s: float | None = None) -> bool:
        """Wait before the next attempt; return False, at once, where there is to be none.

        Args:
            failures: how many there were in a row.
            asked_s: what Retry-After says.
        """
        wait = asked_s if asked_s is not None else self.first_s * 2 ** (failures - 1)
        if self.sleep is None or failures >= self.attempts or wait > self.most_s:
            return False
        self.sleep(wait)
        return True


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer, whole."""

    status: int
    headers: Mapping[str, str]
    """By names in whatever case."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class _HttpRequest:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class _Got:
    """What was read of a blob so far."""

    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


@dataclass(frozen=True, slots=True)
class _Cut:
    """Why an answer ended before the blob, and how long its server wants to be left alone."""

    failure: SealiftError
    wait: float | None = None


class Http:
    """The requests of one session with its connections; safe to be used by several threads.

    Args:
        patience: with what is cut off.
        local: whether plain HTTP to this machine is allowed; a registry elsewhere must not send anybody there.
    """

    def __init__(self, patience: Patience, *, local: bool = False) -> None:
        self.patience = patience
        self._local = local
        self._pools: dict[str, urllib3.PoolManager] = {}

    def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        again: bool = True,
    ) -> HttpAnswer:
        """Return the answer to a request; where it may be made again, of whatever status below 500 but 429.

        Args:
            method: of the request.
            url: absolute.
            headers: of the request; Authorization goes to the URL's own host alone.
            body: of the request.
            again: whether the same request may be made once more after one that may have worked; if not, every answer
                is returned as it is.

        Raises:
            RegistryRefused: the answer is too long, or leads to where nobody may go.
            Throttled, ServiceUnavailable: it stayed so, as often as the patience goes.
        """
        asked = _HttpRequest(method, url, headers or {}, body)
        failures = 0
        while True:
            failure: TransientError | None
            wait = None
            try:
                answer = self._whole(asked)
            except HTTPError as error:
                failure = unreachable(host_of(url), error)
                if isinstance(error, SSLError):
                    raise failure from error
            else:
                failure, wait = failure_of(host_of(url), answer), retry_after(answer.headers)
                if failure is None or not again:
                    return answer
            failures += 1
            if not again or not self.patience.pause(failures, wait):
                raise failure

    def download(
        self,
        blob: Descriptor,
        name: str,
        locate: Callable[[], tuple[str, Mapping[str, str]]],
        check: Callable[[HttpAnswer], bool],
    ) -> Iterator[bytes]:
        """Give a blob piece by piece, from where it was cut off when it was; ends with an error unless it is whole.

        Args:
            blob: what is read.
            name: what messages call where it lies.
            locate: returns URL and headers; asked again after a break, since such a URL may be good for minutes only.
            check: is told of an answer that is not the blob; raises what it means, or returns whether it has brought
                about that the next one may be another: then that is asked for at once.

        Raises:
            WrongDigest: its bytes are not what its digest says, or not as many.
            ServiceUnavailable, Throttled: it was cut off again and again with no byte between.
        """
        got, failures = _Got(), 0
        while got.size < blob.size:
            before = got.size
            url, headers = locate()
            if before:
                headers = {**headers, "Range": f"bytes={before}-"}
            try:
                cut = yield from self._attempt(_HttpRequest("GET", url, headers), blob, name, got, check)
            except HTTPError as error:
                cut = _Cut(unreachable(host_of(url), error))
                cut.failure.__cause__ = error
            if cut is None:
                continue
            failures = 1 if got.size > before else failures + 1
            if got.size < blob.size and not self.patience.pause(failures, cut.wait):
                raise cut.failure
        if (found := f"sha256:{got.digest.hexdigest()}") != blob.digest:
            raise WrongDigest(
                f"{name}: the bytes of {blob.digest} have the digest {found}; wanted those that were asked for; "
                f"{WrongDigest.fix}"
            )

    def _attempt(
        self, asked: _HttpRequest, blob: Descriptor, name: str, got: _Got, check: Callable[[HttpAnswer], bool]
    ) -> Generator[bytes, None, _Cut | None]:
        """Give what one answer has of a blob; return how it was cut, None to ask again at once."""
        response = self._open(asked)
        try:
            if response.status not in {200, 206}:
                answer = _held(response)
                if check(answer):
                    return None
                failure = failure_of(host_of(asked.url), answer)
                return _Cut(failure or _strange(name, answer), retry_after(answer.headers))
            skip = _to_skip(response, got.size, blob, name)
            for piece in _pieces(response):
                fresh = piece[skip:]
                skip = max(0, skip - len(piece))
                got.size += len(fresh)
                if got.size > blob.size:
                    raise _wrong_size(blob, name, "more bytes")
                got.digest.update(fresh)
                if fresh:
                    yield fresh
            return _Cut(
                ServiceUnavailable(
                    f"{name}: {blob.digest} ended after {got.size} of {blob.size} bytes; try again"
                )
            )
        finally:
            # The connection of an answer that was read whole is free again by itself.
            response.close()

    def _whole(self, asked: _HttpRequest) -> HttpAnswer:
        response = self._open(asked)
        try:
            return _held(response)
        finally:
            response.close()

    def _open(self, asked: _HttpRequest) -> urllib3.BaseHTTPResponse:
        """Return the answer to a request with its body yet to be read; of a GET, from where redirects lead."""
        url, headers = asked.url, {"Accept-Encoding": "identity", "User-Agent": "sealift", **asked.headers}
        for _ in range(_MOST_REDIRECTS + 1):
            self._allow(url)
            response = self._pool(url).request(
                asked.method,
                url,
                body=asked.body,
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
                # The default of urllib3's second version alone; Lambda has the first.
                enforce_content_length=True,
                timeout=_TIMEOUT,
            )
            goes_to = response.headers.get("Location")
            if asked.method != "GET" or response.status not in _REDIRECTS or not goes_to:
                return response
            response.close()
            there = urljoin(url, goes_to)
            if origin(there) != origin(url):
                # A store that a registry leads to is nobody whom the password was given for.
                headers = {name: text for name, text in headers.items() if name.lower() != "authorization"}
            url = there
        raise RegistryRefused(
            host_of(asked.url),
            [
                Problem(
                    "RedirectLoop",
                    f"more than {_MOST_REDIRECTS} redirects",
                    "the bytes",
                    "ask whoever keeps the registry",
                )
            ],
        )

    def _allow(self, url: str) -> None:
        found = split(url)
        plain = found.scheme == "http" and self._local and found.hostname in _HERE
        if found.scheme != "https" and not plain:
            raise RegistryRefused(
                host_of(url),
                [
                    Problem(
                        "NotEncrypted",
                        f"an address of the scheme {found.scheme!r} at {found.netloc!r}",
                        "https, or http on 127.0.0.1 and localhost",
                        "use a registry that speaks HTTPS",
                    )
                ],
            )

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = settings.proxy(url)
        key = proxy or ""
        if key not in self._pools:
            how: dict[str, Any] = {"num_pools": 8, "maxsize": 4, "ca_certs": settings.certificates()}
            self._pools[key] = urllib3.ProxyManager(proxy, **how) if proxy else urllib3.PoolManager(**how)
        return self._pools[key]


def is_here(host: str) -> bool:
    """Return whether a host, with or without a port, is this machine: nothing else may be spoken to in plain HTTP."""
    return split(f"http://{host}").hostname in _HERE


def split(url: str) -> SplitResult:
    """Return the parts of a URL that somebody else wrote.

    Raises:
        RegistryRefused: it is none.
    """
    try:
        found = urlsplit(url)
        _ = found.port
    except ValueError as error:
        raise _bad_url(url) from error
    return found


def host_of(url: str) -> str:
    """Return the host of a URL, with its port, for people: what else stands in it may be secret."""
    return split(url).netloc.rpartition("@")[2]


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port: whom a password may be sent to."""
    found = split(url)
    return found.scheme, found.hostname, found.port or {"https": 443, "http": 80}.get(found.scheme)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an answer asks to wait; None where it names none, or a date."""
    text = headers.get("Retry-After", "")
    return float(text) if re.fullmatch(r"\d{1,6}", text) else None


def unreachable(host: str, error: Exception) -> ServiceUnavailable:
    """Return the error for a connection that did not come about or was cut."""
    if isinstance(error, LocationParseError):
        raise _bad_url(host) from error
    why = one_line(str(error)) or type(error).__name__
    return ServiceUnavailable(
        f"{host}: no whole answer: {why[:300]}; wanted one; try again, and look at the network and the proxy",
        why=f"{host} did not answer, or the connection was cut",
        fix="look at the network and the proxy, then try again: what has arrived already is not moved again",
    )


def failure_of(host: str, answer: HttpAnswer) -> TransientError | None:
    """Return the error for an answer that may be another one later; None for any other."""
    asked = retry_after(answer.headers)
    when = f"in {asked:g} s" if asked else "in a while"
    if answer.status == 429:
        return Throttled(
            f"{host}: HTTP 429, too many requests; wanted fewer; try again {when}",
            why=f"{host} kept asking for fewer requests",
            fix=f"try again {when}; anonymous requests are allowed fewest: log in to the registry",
        )
    if answer.status >= 500:
        return ServiceUnavailable(
            f"{host}: HTTP {answer.status}; wanted an answer; try again {when}",
            why=f"{host} kept failing",
            fix=f"try again {when}: what has arrived already is not moved again",
        )
    return None


def _strange(name: str, answer: HttpAnswer) -> RegistryRefused:
    return RegistryRefused(
        name,
        [Problem("StrangeAnswer", f"HTTP {answer.status}", "the bytes", "ask whoever keeps the registry")],
    )


def _bad_url(url: str) -> RegistryRefused:
    problem = Problem(
        "StrangeAddress", f"the address {url[:200]!r}", "a URL", "ask whoever keeps the registry"
    )
    return RegistryRefused("registry", [problem])


def _held(response: urllib3.BaseHTTPResponse) -> HttpAnswer:
    body = b""
    while piece := response.read(ANSWER_BYTES + 1 - len(body), decode_content=False):
        body += piece
        if len(body) > ANSWER_BYTES:
            problem = Problem(
                "TooLong",
                f"an answer of more than {ANSWER_BYTES} bytes",
                "a shorter one",
                "name another image; no registry may make anybody read without end",
            )
            raise RegistryRefused("registry", [problem])
    return HttpAnswer(response.status, response.headers, body)


def _pieces(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    while piece := response.read(_PIECE, decode_content=False):
        yield piece


def _to_skip(response: urllib3.BaseHTTPResponse, at: int, blob: Descriptor, name: str) -> int:
    """Return how many bytes of an answer were read before, since it begins where it likes."""
    start = 0
    if response.status == 206:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) > at:
            problem = Problem(
                "StrangeRange",
                f"Content-Range: {response.headers.get('Content-Range', '')!r}",
                f"bytes {at}-",
                "ask whoever keeps the registry",
            )
            raise RegistryRefused(name, [problem])
        start = int(found[1])
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and start + int(length) > blob.size:
        raise _wrong_size(blob, name, f"{start + int(length)} bytes")
    if response.status == 200 and length.isdecimal() and int(length) < blob.size:
        raise _wrong_size(blob, name, f"{length} bytes")
    return at - start


def _wrong_size(blob: Descriptor, name: str, seen: str) -> WrongDigest:
    return WrongDigest(f"{name}: {blob.digest} has {seen}; wanted {blob.size}; {WrongDigest.fix}")
