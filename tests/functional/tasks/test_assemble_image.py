"""A model on its way into an image: AssembleImage against the local cloud's own S3 and ECR, at their port."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import urllib.request
import zipfile
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from moto import mock_aws

from examples.tiny_gguf import write_tiny_gguf
from local_cloud.faults import Fault, Faults
from local_cloud.functions.configurations import Configurations
from local_cloud.gateway import Backends, Gateway
from local_cloud.hosting import Quotas
from pipeline.archive.build import record
from pipeline.archive.build.pack import pack
from pipeline.archive.checks.checksum import check
from pipeline.archive.s3.sources import S3Source
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.errors import ImageNotAssembled, ImageNotFound, InvalidArchive, ServiceUnavailable
from pipeline.image import image_record
from pipeline.image.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    Descriptor,
    Manifest,
    digest_of,
)
from pipeline.planning import archive_rules
from pipeline.state_data.image_types import BegunUpload
from pipeline.state_data.plan_types import PlannedImage
from tasks import assemble_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.functional.tasks.conftest import Task

ACCOUNT, REGION, NAME = "123456789012", "us-east-1", "sealift-images"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{NAME}"
WHERE = {"registryId": ACCOUNT, "repositoryName": NAME}
TAG = f"model-{'0a' * 16}"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-1"
PART = 10 * 1024 * 1024


@dataclass
class Site:
    """S3 and ECR at a port, a plain image in the repository, and an upload."""

    gateway: Gateway
    clients: Clients
    planned: PlannedImage
    events: dict[str, Any] = field(default_factory=dict)

    def calls(self, operation: str) -> int:
        """Return how often ECR was asked for something."""
        return sum(one.call.operation == operation for one in self.gateway.recorded)

    def manifest(self, tag: str = TAG) -> dict[str, Any] | None:
        """Return the manifest that a tag names."""
        found = self.clients.registry.batch_get_image(
            **WHERE, imageIds=[{"imageTag": tag}], acceptedMediaTypes=[DOCKER_MANIFEST]
        )
        return json.loads(found["images"][0]["imageManifest"]) if found["images"] else None

    def blob(self, digest: str) -> bytes:
        """Return a blob of the repository."""
        found = self.clients.registry.get_download_url_for_layer(**WHERE, layerDigest=digest)
        with urllib.request.urlopen(found["downloadUrl"]) as answer:
            content: bytes = answer.read()
        return content

    def assemble(self, clock: Callable[[], float] = lambda: 0.0) -> dict[str, Any]:
        """Run the task."""
        with service_errors.translated():
            return dict(assemble_image.assemble(self.events["event"], self.clients, clock))

    def sends_one_part(self) -> float:
        """Tell a time by which a call is over as soon as one part was sent: reading is quick, sending is not."""
        return self.calls("UploadLayerPart") * assemble_image.SENDS_S

    def known(self) -> Any:
        """Return the image's record."""
        return image_record.read(self.clients.s3, "artifacts", TAG)


def push_plain(clients: Clients) -> str:
    """Put an image of one small layer into the repository; return its manifest's digest."""
    ecr = clients.registry
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("opt/sealift/server"))
    layer = gzip.compress(plain.getvalue(), mtime=0)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["SM_MODEL_DIR=/opt/ml/model", "PATH=/bin"], "Entrypoint": ["serve"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(plain.getvalue())]},
        }
    ).encode()
    for blob in (layer, config):
        upload = ecr.initiate_layer_upload(**WHERE)["uploadId"]
        ecr.upload_layer_part(
            **WHERE, uploadId=upload, partFirstByte=0, partLastByte=len(blob) - 1, layerPartBlob=blob
        )
        ecr.complete_layer_upload(**WHERE, uploadId=upload, layerDigests=[digest_of(blob)])
    made = Manifest(
        Descriptor(DOCKER_CONFIG, digest_of(config), len(config)),
        (Descriptor(DOCKER_LAYER, digest_of(layer), len(layer)),),
    ).render()
    ecr.put_image(
        **WHERE,
        imageManifest=made.decode(),
        imageManifestMediaType=DOCKER_MANIFEST,
        imageTag="sealift-1.0.0-x86_64",
    )
    return digest_of(made)


@pytest.fixture
def site() -> Iterator[Site]:
    """Return S3 and ECR with a plain image."""
    with mock_aws():
        gateway = Gateway(faults=Faults())
        gateway.start(
            Backends(
                hosting=lambda _environ, _start: [],
                invoke=lambda _name, _qualifier, _event: None,
                configurations=Configurations(),
                quotas=Quotas,
                object_created=lambda _operation, _bucket, _key: None,
            )
        )
        credentials = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        clients = Clients(endpoint_url=gateway.url, region=REGION, credentials=credentials)
        try:
            for bucket in ("uploads", "artifacts"):
                clients.s3.create_bucket(Bucket=bucket)
            clients.registry.create_repository(repositoryName=NAME)  # type: ignore[attr-defined]
            yield Site(gateway, clients, PlannedImage(REPOSITORY, TAG, push_plain(clients), "artifacts"))
        finally:
            gateway.close()


def uploaded(site: Site, *files: tuple[str, bytes]) -> list[dict[str, Any]]:
    """Upload a model that is no archive; return its parts."""
    parts = []
    for name, content in files:
        key = f"models/harbour/{name}"
        etag = site.clients.s3.put_object(Bucket="uploads", Key=key, Body=content)["ETag"].strip('"')
        parts.append({"key": key, "version_id": None, "etag": etag, "size": len(content)})
    return parts


def bare_event(site: Site, *files: tuple[str, bytes]) -> dict[str, Any]:
    """Return the event for such a model, which the site works on from now on."""
    parts = uploaded(site, *files)
    assembly = {"bucket": "artifacts", "record": None, "relocate_model": False, "code": "none"}
    return _event(site, {"bucket": "uploads", **parts[0], "parts": parts}, assembly, files[0][0])


def _event(site: Site, archive: dict[str, Any], assembly: dict[str, Any], model: str) -> dict[str, Any]:
    site.events["event"] = {
        "archive": archive,
        "assembly": assembly,
        "hosting": "serverless",
        "model": model,
        "image": site.planned,
        "execution": EXECUTION,
    }
    event: dict[str, Any] = site.events["event"]
    return event


def archive_event(site: Site, path: Path) -> dict[str, Any]:
    """Return the event for an archive, checked as CheckArchive does."""
    key = f"models/harbour/{path.name}"
    site.clients.s3.put_object(Bucket="uploads", Key=key, Body=path.read_bytes())
    source = S3Source(site.clients.s3, "uploads", key)
    report = check(source, rules=archive_rules.archive_rules("sealift", container="custom"))
    report.require()
    assert report.model
    site.clients.s3.put_object(
        Bucket="artifacts", Key="records/0.json", Body=json.dumps(record.write(report)).encode()
    )
    archive = {"bucket": "uploads", "key": key, "version_id": None, "etag": source.etag.strip('"')}
    assembly = {"bucket": "artifacts", "record": "records/0.json", "relocate_model": False, "code": "none"}
    return _event(site, archive, assembly, report.model.path)


def files_of(site: Site, made: dict[str, Any]) -> dict[str, bytes]:
    """Return the files of an image's uppermost layer, after what it says of them has been compared."""
    blob = site.blob(made["layers"][-1]["digest"])
    plain = gzip.decompress(blob)
    config = json.loads(site.blob(made["config"]["digest"]))
    assert len(blob) == made["layers"][-1]["size"]
    assert config["rootfs"]["diff_ids"][-1] == digest_of(plain)
    assert len(config["rootfs"]["diff_ids"]) == len(made["layers"]) == 2
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]


GGUF = hashlib.sha256(b"weights").digest() * (PART // 32 * 3 + 1000)
"""Some 30 MiB: four parts."""


def test_a_bare_model_becomes_a_layer_of_the_plain_image(site: Site) -> None:
    """The image has the layers below, the model's, its folder in the environment and its name in a label."""
    bare_event(site, ("model.gguf", GGUF))
    result = site.assemble()
    made = site.manifest()

    assert made
    assert files_of(site, made) == {"opt/sealift/model/model.gguf": GGUF}
    config = json.loads(site.blob(made["config"]["digest"]))
    assert config["config"]["Env"] == ["SM_MODEL_DIR=/opt/sealift/model", "PATH=/bin"]
    assert config["config"]["Labels"]["sealift.model"] == "model.gguf"
    assert config["config"]["Entrypoint"] == ["serve"]
    assert (result["more"], result["written"], result["image"]) == (False, True, f"{REPOSITORY}:{TAG}")
    described = site.clients.registry.describe_images(**WHERE, imageIds=[{"imageTag": TAG}])
    assert described["imageDetails"][0]["imageDigest"] == result["digest"]


def test_a_model_and_what_lies_beside_it_come_in_one_layer(site: Site) -> None:
    """Shards and companions are files of their own names."""
    bare_event(
        site, ("m-00001-of-00002.gguf", b"one"), ("m-00002-of-00002.gguf", b"two"), ("mmproj-m.gguf", b"eye")
    )
    site.assemble()
    made = site.manifest()

    assert made
    assert files_of(site, made) == {
        "opt/sealift/model/m-00001-of-00002.gguf": b"one",
        "opt/sealift/model/m-00002-of-00002.gguf": b"two",
        "opt/sealift/model/mmproj-m.gguf": b"eye",
    }


@pytest.mark.parametrize("suffix", ["tar.gz", "zip"])
def test_a_model_is_taken_out_of_its_archive_as_it_streams_by(
    site: Site, tmp_path: Path, suffix: str
) -> None:
    """The code that lies beside it stays behind."""
    model, path = tmp_path / "model.gguf", tmp_path / f"model.{suffix}"
    write_tiny_gguf(model)
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(model, "model.gguf")
            archive.writestr("code/inference.py", "print()")
    else:
        pack(model, path, code={"code/inference.py": b"print()"})
    archive_event(site, path)
    site.assemble()
    made = site.manifest()

    assert made
    assert files_of(site, made) == {"opt/sealift/model/model.gguf": model.read_bytes()}


def test_what_is_there_is_not_sent_again(site: Site) -> None:
    """Another service's deployment of the same content finds the image, and claims it."""
    event = bare_event(site, ("model.gguf", b"weights"))
    first = site.assemble()
    sent = site.calls("UploadLayerPart")
    event["execution"] = f"{EXECUTION}-other"
    again = site.assemble()

    assert (again["written"], again["digest"], again["bytes_moved"]) == (False, first["digest"], 0)
    assert site.calls("UploadLayerPart") == sent
    assert site.known().execution == f"{EXECUTION}-other"


def test_it_goes_on_where_the_time_was_over(site: Site) -> None:
    """Each call sends what is missing and no more; the layer is the same as if one call had made it."""
    bare_event(site, ("model.gguf", GGUF))
    results = []
    while not results or results[-1]["more"]:
        results.append(site.assemble(site.sends_one_part))
        assert len(results) < 10
    made = site.manifest()

    assert len(results) > 1
    assert [one["digest"] is None for one in results] == [*[True] * (len(results) - 1), False]
    assert made
    assert files_of(site, made) == {"opt/sealift/model/model.gguf": GGUF}
    assert sum(one["bytes_moved"] for one in results) == made["layers"][-1]["size"]
    assert (
        site.calls("InitiateLayerUpload") == 2 + 1 + 1
    )  # the plain image's two, the layer's, the configuration's
    assert site.calls("UploadLayerPart") == 2 + 4 + 1


def test_a_call_that_was_cut_off_goes_on_by_what_ecr_says(site: Site) -> None:
    """Nothing was written down of the parts that arrived: ECR tells how far it has come."""
    bare_event(site, ("model.gguf", GGUF))
    site.gateway.faults.replace([Fault("ecr", "UploadLayerPart", "ServerException", after=2)])
    with pytest.raises(ServiceUnavailable):
        site.assemble()
    site.gateway.faults.replace([])
    assert site.known().upload.received == 0
    result = site.assemble()
    made = site.manifest()

    assert made
    assert files_of(site, made) == {"opt/sealift/model/model.gguf": GGUF}
    # The first part was sent again, and refused: it told that the second was there as well.
    assert result["bytes_moved"] == made["layers"][-1]["size"] - PART


def test_an_upload_that_ecr_has_forgotten_begins_again(site: Site) -> None:
    """What was begun days ago is gone: the layer is sent from the beginning."""
    bare_event(site, ("model.gguf", b"weights"))
    stale = image_record.ImageRecord(EXECUTION, upload=BegunUpload(str(UUID(int=0)), PART, 100))
    image_record.write(site.clients.s3, "artifacts", TAG, stale)
    result = site.assemble()
    made = site.manifest()

    assert made
    assert result["bytes_moved"] == made["layers"][-1]["size"]


def test_a_layer_whose_tag_was_not_put_is_not_sent_again(site: Site) -> None:
    """A call that ended between the layer and the tag leaves nothing to send but those."""
    bare_event(site, ("model.gguf", b"weights"))
    site.gateway.faults.replace([Fault("ecr", "PutImage", "ServerException")])
    with pytest.raises(ServiceUnavailable):
        site.assemble()
    site.gateway.faults.replace([])
    assert site.manifest() is None
    again = site.assemble()

    assert again["bytes_moved"] == 0
    assert site.manifest()


def test_a_layer_that_was_not_completed_is_completed_by_the_next_call(site: Site) -> None:
    """ECR's check of gigabytes may take longer than what is left of the time."""
    bare_event(site, ("model.gguf", b"weights"))
    site.gateway.faults.replace([Fault("ecr", "CompleteLayerUpload", "ServerException")])
    with pytest.raises(ServiceUnavailable):
        site.assemble()
    site.gateway.faults.replace([])
    again = site.assemble()

    assert (again["bytes_moved"], again["written"]) == (0, True)


def test_a_layer_that_comes_no_further_is_given_up(site: Site) -> None:
    """Where to read what was sent takes all the time, another call would do the same for ever."""
    bare_event(site, ("model.gguf", GGUF))

    with pytest.raises(ImageNotAssembled, match="takes all of a call's"):
        site.assemble(count(0.0, assemble_image.SENDS_S).__next__)


def test_a_layer_that_needs_ever_more_calls_is_given_up(site: Site) -> None:
    """There is a bound, and beyond it a later deployment begins anew."""
    bare_event(site, ("model.gguf", b"weights"))
    most = image_record.ImageRecord(EXECUTION, calls=assemble_image.MOST_CALLS)
    image_record.write(site.clients.s3, "artifacts", TAG, most)

    with pytest.raises(ImageNotAssembled, match=f"after {assemble_image.MOST_CALLS} calls"):
        site.assemble()
    assert site.known().calls == 0
    image_record.write(site.clients.s3, "artifacts", TAG, replace(most, calls=assemble_image.MOST_CALLS - 1))
    assert site.assemble()["written"]


def test_without_the_image_below_nothing_is_begun(site: Site) -> None:
    """The message says what puts it there."""
    bare_event(site, ("model.gguf", b"weights"))
    site.clients.registry.batch_delete_image(**WHERE, imageIds=[{"imageDigest": site.planned.base}])

    with pytest.raises(ImageNotFound, match="sealift image push"):
        site.assemble()
    assert site.calls("InitiateLayerUpload") == 2


def test_an_upload_that_changed_is_refused(site: Site) -> None:
    """The very objects that were checked, and no others."""
    event = bare_event(site, ("model.gguf", b"weights"))
    event["archive"]["parts"][0]["etag"] = "0" * 32

    with pytest.raises(InvalidArchive, match="no longer the one"):
        site.assemble()
    assert site.manifest() is None


def test_an_archive_that_was_damaged_since_leaves_no_tag(site: Site, tmp_path: Path) -> None:
    """What was checked and what is read may differ in a bucket without versions; its checksums tell."""
    model, path = tmp_path / "model.gguf", tmp_path / "model.tar.gz"
    write_tiny_gguf(model)
    pack(model, path, code={"code/inference.py": b"print()"})
    event = archive_event(site, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    put = site.clients.s3.put_object(Bucket="uploads", Key=event["archive"]["key"], Body=bytes(content))
    event["archive"]["etag"] = put["ETag"].strip('"')

    with pytest.raises(InvalidArchive):
        site.assemble()
    assert site.manifest() is None


def test_a_record_that_nobody_can_read_is_as_good_as_none(site: Site) -> None:
    """Of another release, or damaged: the upload begins again."""
    bare_event(site, ("model.gguf", b"weights"))
    for body in (b"{", b'{"version": 2, "execution": "e"}', b"[]"):
        site.clients.s3.put_object(Bucket="artifacts", Key=image_record.key(TAG), Body=body)

        assert site.known() is None
    assert site.assemble()["written"]


def test_its_event_and_its_result_are_the_definitions(site: Site, do: Task) -> None:
    """What the state sends is what the task reads, as JSON."""
    event = bare_event(site, ("model.gguf", b"weights"))
    sent = {
        **event,
        "image": {"repository": REPOSITORY, "tag": TAG, "base": site.planned.base, "bucket": "artifacts"},
    }
    sent["archive"] = {
        **dict.fromkeys(("version_id", "sha256")),
        "extracted_bytes": 7,
        "format": "gguf",
        "last_modified": "2026-01-02T03:04:05Z",
        **event["archive"],
    }
    sent["assembly"] = {
        **dict.fromkeys(("way", "reason", "key", "content", "code_digest", "form"), "x"),
        **event["assembly"],
    }
    result = do("AssembleImage", site.clients, **sent)

    assert result["digest"].startswith("sha256:")
