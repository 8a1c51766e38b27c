"""AssembleImage: puts the model into a layer of Sealift's own image, in the stack's repository.

The model streams from S3 into ECR, in parts and in constant memory; ECR has the image below already. What the time does
not suffice for goes on in another call, which reads from the beginning and sends what is missing. The tag is made of
the content, so what is there already is not made again.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from io import BytesIO
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypedDict

from pipeline.archive.build import record
from pipeline.archive.s3 import bare
from pipeline.aws import lambda_handler, task_log
from pipeline.aws.permissions import (
    ARTIFACT_BUCKET,
    IMAGE_REPOSITORY,
    RECORDS,
    UPLOADS,
    allow,
)
from pipeline.errors import ImageNotAssembled, ImageNotFound, Problem, WrongDigest
from pipeline.hosting import IMAGE_ARTIFACT
from pipeline.image import base as references
from pipeline.image import configuration, image_record, model_feed, model_image
from pipeline.image.ecr import EcrRepository
from pipeline.image.ecr import LayerUpload as LayerBegun
from pipeline.image.layer_upload import LayerUpload, UploadLost
from pipeline.image.manifest import DOCKER_LAYER, DOCKER_MANIFEST, Descriptor, digest_of
from pipeline.image.model_feed import LayerFeed, OutOfTime
from pipeline.image.model_layer import LayerStream, length
from pipeline.image.transport import Http, Patience
from pipeline.planning import archive_rules, continuity
from pipeline.state_data.checked_types import CheckedAssembly, UploadedArchive
from pipeline.state_data.image_types import BegunUpload, ImageRecord
from pipeline.state_data.plan_types import PlannedImage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.aws.clients import Clients
    from pipeline.image.manifest import Manifest
    from pipeline.image.model_layer import LayerFile
    from pipeline.state_data.image_types import MadeLayer

_LOGGER = logging.getLogger(__name__)
_BEGINNINGS = 2
TIMEOUT_S: Final = 890
SENDS_S: Final = 690
"""How long one call sends: what is left of its time is for the last part, and for ECR to check the layer."""
MOST_CALLS: Final = 10
"""Of one image: together more than an hour and a half, for 10 GB at the most."""


class Event(TypedDict):
    """What CheckArchive found, and the image that the plan names."""

    archive: UploadedArchive
    assembly: CheckedAssembly
    hosting: str
    model: str
    """The path of the model's file."""
    image: PlannedImage
    execution: str


class Result(TypedDict):
    """The image, and how it came about; or that there is more to do."""

    way: str
    """image."""
    reason: str
    image: str
    """By its tag, as the plan names it."""
    digest: str | None
    """None while there is more to do."""
    size: int
    """Bytes of all its layers, as they are stored; 0 likewise."""
    bytes_moved: int
    """Bytes of the model that were sent by this call."""
    written: bool
    """False when the very same image was there already."""
    received: int
    """Bytes of the layer that ECR has."""
    more: bool
    """Whether the state is to come again."""


def run(event: Event, clients: Clients) -> Result:
    """Assemble the image, or as much of it as there is time for.

    Raises:
        InvalidArchive: the upload changed, or turned out to be damaged, since it was checked.
        ImageNotFound: the image below is gone from the repository.
        ImageNotAssembled: the layer does not come to an end, however often it goes on.
        StackChanged: this function's code cannot read what CheckArchive has written down.
    """
    return assemble(event, clients, monotonic)


def assemble(event: Event, clients: Clients, clock: Callable[[], float]) -> Result:
    """Do what `run` does, by a clock that tells seconds."""
    return _Assembly(event, clients, clock).image()


class _Assembly:
    """One call's work on an image."""

    def __init__(self, event: Event, clients: Clients, clock: Callable[[], float]) -> None:
        self._event = event
        self._clients = clients
        self._planned = event["image"]
        self._bucket = self._planned.bucket
        self._until = clock() + SENDS_S
        self._clock = clock
        self._sent = 0
        self._repository = EcrRepository(
            references.parse(self._planned.repository), clients.registry, Http(Patience(), local=True)
        )
        found = image_record.read(clients.s3, self._bucket, self._planned.tag)
        self._known = found or ImageRecord(execution="")

    def image(self) -> Result:
        # First, so that nobody takes it away who sees that nobody else has claimed it.
        self._note(execution=self._event["execution"])
        base = self._base()
        if there := self._there(base):
            return there
        layer = self._completed() or self._streamed()
        return self._tagged(base, layer) if layer else self._more()

    # -- the image below, and what is there

    def _base(self) -> Manifest:
        name = f"{self._planned.repository}@{self._planned.base}"
        found = self._repository.manifest(self._planned.base)
        if found is None:
            fix = "`sealift image push`, and start the deployment again: its plan has the image that is there then"
            seen = "the image that the model was to be laid on is gone"
            raise ImageNotFound(
                name, [Problem("BaseGone", seen, "the image that the plan was made with", fix)]
            )
        media_type, content = found
        return model_image.read_base(content, media_type, name)

    def _there(self, base: Manifest) -> Result | None:
        """Return the image where it is there already, whoever has made it."""
        found = self._repository.manifest(self._planned.tag)
        if found is None:
            return None
        media_type, content = found
        made = model_image.read_base(content, media_type, self._planned.uri)
        if not model_image.holds(made, base):
            return None
        return self._result(digest_of(content), made, written=False)

    # -- the layer

    def _completed(self) -> MadeLayer | None:
        """Return the layer whose bytes an earlier call has sent to the end, if ECR has it, or can make it of them."""
        layer, upload = self._known.layer, self._known.upload
        if layer is None:
            return None
        there = not self._repository.missing([layer.digest])
        return layer if there or (upload and self._complete(upload, layer)) else None

    def _complete(self, begun: BegunUpload, layer: MadeLayer) -> bool:
        try:
            return self._repository.complete(
                LayerBegun(begun.upload_id, begun.part_bytes, begun.received),
                Descriptor(DOCKER_LAYER, layer.digest, layer.size),
            )
        except WrongDigest:
            # What ECR has of it is something else, so it is sent anew.
            return False

    def _streamed(self) -> MadeLayer | None:
        """Stream the model into a layer; return it, or None when the time was over before.

        Raises:
            ImageNotAssembled: ECR loses what it is sent, or it goes on too slowly.
        """
        if self._known.calls >= MOST_CALLS:
            received = self._received
            self._note(upload=None, layer=None, calls=0)
            raise self._stuck(f"after {MOST_CALLS} calls ECR has {received:,} bytes of the layer")
        self._note(calls=self._known.calls + 1)
        files, feed = self._source()
        begun = None if self._known.layer else self._known.upload
        for _ in range(_BEGINNINGS):
            if begun is None:
                upload = self._repository.begin(Descriptor(DOCKER_LAYER, "", length(files)))
                begun = BegunUpload(upload.upload_id, upload.part)
                self._note(upload=begun, layer=None)
            try:
                layer = self._send(begun, files, feed)
            except UploadLost:
                begun = None
                continue
            if layer is None:
                return None
            begun = replace(begun, received=layer.size)
            # Before ECR is asked to check it, which may take longer than there is time for.
            self._note(upload=begun, layer=layer)
            if self._complete(begun, layer):
                return layer
            begun = None
        self._note(upload=None, layer=None)
        raise self._stuck(f"ECR lost {_BEGINNINGS} uploads of the layer, or takes their bytes for others")

    def _send(
        self, begun: BegunUpload, files: Sequence[LayerFile], feed: Callable[[LayerFeed], None]
    ) -> MadeLayer | None:
        """Send what ECR has not; return the layer, or None when the time was over before."""
        stream = LayerStream(files, begun.part_bytes, received=begun.received)
        with LayerUpload(self._repository, begun.upload_id, begun.received) as upload:
            to = LayerFeed(
                stream,
                upload,
                in_time=self._in_time,
                progress=task_log.progress(_LOGGER, self._planned.tag, "made"),
            )
            try:
                feed(to)
                return to.finish()
            except OutOfTime:
                upload.settle()
                if upload.received <= begun.received:
                    seen = f"to read again what ECR has, {begun.received:,} bytes, takes all of a call's {SENDS_S} s"
                    raise self._stuck(seen) from None
                self._note(upload=replace(begun, received=upload.received))
                return None
            finally:
                self._sent += upload.sent

    def _source(self) -> tuple[Sequence[LayerFile], Callable[[LayerFeed], None]]:
        """Return the files of the layer, and what feeds them.

        Raises:
            InvalidArchive, StackChanged: the upload, or what was written down of it, is not what was checked.
        """
        archive, assembly, s3 = self._event["archive"], self._event["assembly"], self._clients.s3
        sources = bare.pinned_sources(s3, archive)
        if archive.get("parts"):
            files = model_image.bare_files(archive["parts"])
            return files, lambda feed: model_feed.feed_files(sources, files, feed)
        key = assembly["record"]
        if key is None:  # the check of an archive writes one; this is for the type checker and the impossible
            raise AssertionError(f"{archive['key']}: an archive without a record")
        document = json.loads(s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        continuity.require_same_record(archive, document.get("version"), record.VERSION)
        report = record.read(document)
        members = model_image.archive_files(report, relocate_model=assembly["relocate_model"])
        rules = archive_rules.archive_rules(
            assembly["code"], relocate_model=assembly["relocate_model"], hosting=self._event["hosting"]
        )
        return (
            tuple(members.values()),
            lambda feed: model_feed.feed_archive(sources[0], report, members, feed, rules),
        )

    def _in_time(self) -> bool:
        return self._clock() < self._until

    # -- the image

    def _tagged(self, base: Manifest, layer: MadeLayer) -> Result:
        """Put configuration and manifest on top of the layer, and the tag on that."""
        name = f"{self._planned.repository}@{self._planned.base}"
        content = b"".join(self._repository.read(base.config))
        model = model_image.label(self._event["model"])
        config = model_image.configure(configuration.read(content, name), layer, model)
        made = model_image.compose(base, layer, config)
        self._repository.upload(made.config, lambda: BytesIO(config.content), lambda _count: None)
        rendered = made.render()
        # Before, so that a rollback knows whose it is when the answer is lost.
        self._note(maker=self._event["execution"])
        self._repository.put_manifest(rendered, DOCKER_MANIFEST, self._planned.tag)
        self._note(upload=None, calls=0)
        return self._result(digest_of(rendered), made, written=True)

    def _result(self, digest: str, made: Manifest, *, written: bool) -> Result:
        return {
            "way": IMAGE_ARTIFACT,
            "reason": "the image holds the model" if written else "an image with this model is there already",
            "image": self._planned.uri,
            "digest": digest,
            "size": made.size,
            "bytes_moved": self._sent,
            "written": written,
            "received": made.layers[-1].size,
            "more": False,
        }

    def _more(self) -> Result:
        return {
            "way": IMAGE_ARTIFACT,
            "reason": "the layer goes on where it stopped",
            "image": self._planned.uri,
            "digest": None,
            "size": 0,
            "bytes_moved": self._sent,
            "written": False,
            "received": self._received,
            "more": True,
        }

    # -- what is remembered

    @property
    def _received(self) -> int:
        return self._known.upload.received if self._known.upload else 0

    def _note(self, **changed: Any) -> None:
        """Write down what has changed of the image's record."""
        self._known = replace(self._known, **changed)
        image_record.write(self._clients.s3, self._bucket, self._planned.tag, self._known)

    def _stuck(self, seen: str) -> ImageNotAssembled:
        return ImageNotAssembled(f"image {self._planned.uri}: {seen}; {ImageNotAssembled.fix}")


handler = lambda_handler.Task(
    run,
    may=(
        allow("s3:GetObjectVersion", on=UPLOADS, why="The very version that was checked, and no other."),
        allow("s3:GetObject", "s3:PutObject", on=RECORDS),
        allow(
            "s3:ListBucket",
            on=ARTIFACT_BUCKET,
            why='Without ListBucket, a record that is not there yet reads as "access denied" instead of "not found".',
        ),
        allow(
            "ecr:BatchGetImage",
            "ecr:BatchCheckLayerAvailability",
            "ecr:GetDownloadUrlForLayer",
            "ecr:InitiateLayerUpload",
            "ecr:UploadLayerPart",
            "ecr:CompleteLayerUpload",
            "ecr:PutImage",
            on=IMAGE_REPOSITORY,
        ),
    ),
    timeout_s=TIMEOUT_S,
    memory_mb=1769,  # one whole vCPU: two digests and a checksum of every byte
)
