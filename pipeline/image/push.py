"""An image's way into a registry: what is not there is sent, and the tag comes last.

Owns the decision what is sent (`plan`, pure) and carrying it out: two blobs at a time, the rest given up when one
fails. A tag names an image only when all of it is there. Refuses to know how a registry is spoken to.
"""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from io import BytesIO
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Final, Literal

from pipeline.errors import ImageTooLarge, Problem
from pipeline.image.manifest import digest_of
from pipeline.limits import IMAGE_BYTES, GiB

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.image.blobs import Image, LayerBlob
    from pipeline.image.manifest import Descriptor
    from pipeline.image.registry import Content, Registry

AT_ONCE: Final = 2
"""Blobs that are sent at a time: each holds a part in memory, and one fills most lines."""

Kind = Literal["base", "layer", "configuration"]


@dataclass(frozen=True, slots=True)
class BlobTransfer:
    """A blob that is to be sent."""

    blob: Descriptor
    kind: Kind
    origin: str = ""
    """Of a base's layer: the repository that it is in, which may be one of the same registry."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"digest": self.blob.digest, "bytes": self.blob.size, "kind": self.kind}


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What a push does."""

    digest: str
    """Of the manifest: the image's name that never changes."""
    tag: str
    transfers: tuple[BlobTransfer, ...]
    """The largest first."""
    present: int
    """Bytes that are there already."""
    tagged: bool
    """Whether the tag names this image already."""
    replaces: str | None = None
    """The digest of the image that the tag names now, another one."""

    @property
    def size(self) -> int:
        """Return the bytes that are to be sent."""
        return sum(one.blob.size for one in self.transfers)


@dataclass(frozen=True, slots=True)
class Pushed:
    """How a push ended, or would."""

    repository: str
    plan: PushPlan
    dry_run: bool
    mounted: int = 0
    """Bytes that the registry took over from another of its repositories."""

    @property
    def reference(self) -> str:
        """Return the image by its digest: what an endpoint is made with never changes."""
        return f"{self.repository}@{self.plan.digest}"

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "image": f"{self.repository}:{self.plan.tag}",
            "digest": self.plan.digest,
            "reference": self.reference,
            "dry_run": self.dry_run,
            "transfers": [one.to_json() for one in self.plan.transfers],
            "bytes": self.plan.size,
            "mounted_bytes": self.mounted,
            "present_bytes": self.plan.present,
            "tagged": self.plan.tagged,
            "replaces": self.plan.replaces,
        }


def plan(image: Image, tag: str, *, tagged: str | None, missing: set[str]) -> PushPlan:
    """Return what a push of an image sends.

    Args:
        image: all of it.
        tag: what it is to be called.
        tagged: the digest of the manifest that the tag names; None for none.
        missing: which of the image's blobs the registry does not have.
    """
    blobs: dict[str, BlobTransfer] = {}
    for layer in image.layers:
        kind: Kind = "base" if layer.origin else "layer"
        blobs.setdefault(layer.descriptor.digest, BlobTransfer(layer.descriptor, kind, layer.origin))
    blobs.setdefault(image.manifest.config.digest, BlobTransfer(image.manifest.config, "configuration"))
    digest = digest_of(image.manifest.render())
    transfers = [one for one in blobs.values() if one.blob.digest in missing]
    return PushPlan(
        digest,
        tag,
        tuple(sorted(transfers, key=lambda one: (-one.blob.size, one.blob.digest))),
        sum(one.blob.size for one in blobs.values() if one.blob.digest not in missing),
        tagged == digest,
        tagged if tagged != digest else None,
    )


def check_size(image: Image) -> None:
    """Refuse an image that serverless would, before anything of it is sent.

    Raises:
        ImageTooLarge: its layers, compressed as they are, are larger already.
    """
    size = image.manifest.size
    if size <= IMAGE_BYTES.value:
        return
    problem = Problem(
        "ImageTooLarge",
        f"an image of {size} bytes, {size / GiB:.2f} GiB, compressed as it is stored",
        f"at most {IMAGE_BYTES.value} bytes, which is what a serverless endpoint takes",
        ImageTooLarge.fix,
    )
    raise ImageTooLarge("image", [problem])


def push(
    image: Image,
    registry: Registry,
    tag: str,
    *,
    progress: Callable[[int, int], None] | None = None,
    dry_run: bool = False,
    serverless: bool = True,
) -> Pushed:
    """Bring an image into a repository under a tag; what is there is not sent, and nothing where all of it is.

    Args:
        image: all of it.
        registry: the repository.
        tag: what it is to be called.
        progress: told how many of the bytes to be sent are there, and how many they are.
        dry_run: whether only to say what would be sent.
        serverless: whether to refuse what a serverless endpoint would.

    Raises:
        ImageTooLarge: as `serverless` says.
        SealiftError: the registry's refusals; the tag names what it named before.
    """
    if serverless:
        check_size(image)
    manifest = image.manifest.render()
    there = registry.manifest(tag)
    tagged = digest_of(there[1]) if there else None
    missing: set[str] = set()
    if tagged != digest_of(manifest):
        # A registry that has a manifest has all that it names.
        digests = [image.manifest.config.digest, *(layer.descriptor.digest for layer in image.layers)]
        missing = registry.missing(digests)
    made = plan(image, tag, tagged=tagged, missing=missing)
    if dry_run or made.tagged:
        return Pushed(registry.name, made, dry_run)
    mounted = _send(made, image, registry, progress or (lambda _done, _total: None))
    registry.put_manifest(manifest, image.manifest.media_type, tag)
    return Pushed(registry.name, made, dry_run=False, mounted=mounted)


class _GivenUp(BaseException):
    """Another blob failed, and this one need not go on: no failure, so that its upload is kept as one that was cut."""


class _Sum:
    """How many bytes of all blobs are there; tells, and stops whoever reports, when one has failed."""

    def __init__(self, total: int, tell: Callable[[int, int], None]) -> None:
        self.stop = Event()
        self.mounted = 0
        self._total = total
        self._tell = tell
        self._done: dict[str, int] = {}
        self._lock = Lock()

    def report(self, digest: str, done: int) -> None:
        """Take over how far a blob is."""
        if self.stop.is_set():
            raise _GivenUp
        with self._lock:
            self._done[digest] = done
            self._tell(sum(self._done.values()), self._total)

    def mount(self, blob: Descriptor) -> None:
        """Take over that a blob need not be sent."""
        with self._lock:
            self.mounted += blob.size
        self.report(blob.digest, blob.size)


def _send(made: PushPlan, image: Image, registry: Registry, tell: Callable[[int, int], None]) -> int:
    """Send what a plan says; return how many bytes the registry took over by itself."""
    layers: dict[str, LayerBlob] = {layer.descriptor.digest: layer for layer in image.layers}
    sums = _Sum(made.size, tell)

    def content(digest: str) -> Content:
        return layers[digest].open if digest in layers else lambda: BytesIO(image.config)

    def send(one: BlobTransfer) -> None:
        digest = one.blob.digest
        sums.report(digest, 0)
        if one.origin and registry.mount(one.blob, one.origin):
            sums.mount(one.blob)
            return
        registry.upload(one.blob, content(digest), lambda done: sums.report(digest, done))

    with ThreadPoolExecutor(AT_ONCE, "push") as pool:
        futures = [pool.submit(send, one) for one in made.transfers]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # Also when somebody interrupts: those under way end with their next part.
            sums.stop.set()
            pool.shutdown(cancel_futures=True)
    failures = [one.exception() for one in futures if not one.cancelled()]
    real = [one for one in failures if one is not None and not isinstance(one, _GivenUp)]
    if real:
        raise real[0]
    return sums.mounted
