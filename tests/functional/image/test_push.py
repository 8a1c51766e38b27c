"""An image's way into a registry: nothing twice, nothing half, and one clear word for each refusal."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from pipeline.errors import ImageTooLarge, RegistryRefused, SealiftError, ServiceUnavailable, WrongDigest
from pipeline.image import push, registries
from pipeline.image.base import Reference
from pipeline.image.blobs import Image, LayerBlob
from pipeline.image.distribution import CHUNK, HttpRepository
from pipeline.image.manifest import DOCKER_CONFIG, DOCKER_LAYER, Descriptor, Manifest, digest_of
from pipeline.image.unfinished import UploadFiles
from pipeline.limits import IMAGE_BYTES
from tests.fake_registry import FakeRegistry, Fault, running

BASE, OURS, CODE = b"b" * (CHUNK + 1), b"o" * 5000, b"c" * 100
CONFIG = b'{"architecture": "amd64"}'


def layer_of(content: bytes, origin: str = "") -> LayerBlob:
    """Return a layer."""
    blob = Descriptor(DOCKER_LAYER, digest_of(content), len(content))
    return LayerBlob(blob, digest_of(content), partial(io.BytesIO, content), origin)


def image_of(*layers: LayerBlob, config: bytes = CONFIG) -> Image:
    """Return an image."""
    blob = Descriptor(DOCKER_CONFIG, digest_of(config), len(config))
    return Image(Manifest(blob, tuple(one.descriptor for one in layers)), config, layers)


IMAGE = image_of(layer_of(BASE, "registry.example/python"), layer_of(OURS), layer_of(CODE))
ALL = {digest_of(one) for one in (BASE, OURS, CODE, CONFIG)}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A registry that lets everybody in."""
    with running(FakeRegistry()) as registry:
        yield registry


Connect = Callable[..., HttpRepository]


@pytest.fixture
def slept() -> list[float]:
    """How long it was waited."""
    return []


@pytest.fixture
def connect(registry: FakeRegistry, slept: list[float], tmp_path: Path) -> Connect:
    """Returns a repository of the registry."""

    def make(name: str = "team/app") -> HttpRepository:
        unfinished = UploadFiles(tmp_path / "uploads")
        found = registries.connect(Reference(registry.host, name), sleep=slept.append, unfinished=unfinished)
        assert isinstance(found, HttpRepository)
        return found

    return make


def test_an_image_arrives_whole_and_its_tag_last(registry: FakeRegistry, connect: Connect) -> None:
    """Every blob once, then the manifest; the progress ends with all of it."""
    told: list[tuple[int, int]] = []

    done = push.push(IMAGE, connect(), "v1", progress=lambda *one: told.append(one))

    assert set(registry.blobs["team/app"]) == ALL
    assert registry.manifests["team/app", "v1"][1] == IMAGE.manifest.render()
    assert [one.method for one in registry.seen][-1] == "PUT"
    assert "manifests/v1" in registry.seen[-1].path
    assert told[-1] == (IMAGE.manifest.size, IMAGE.manifest.size)
    assert [one[0] for one in told] == sorted(one[0] for one in told)
    assert done.reference == f"{registry.host}/team/app@{IMAGE.manifest.digest}"
    assert (done.plan.size, done.plan.present, done.mounted) == (IMAGE.manifest.size, 0, 0)


def test_again_is_one_question(registry: FakeRegistry, connect: Connect) -> None:
    """The tag names this very image: nothing else is asked and nothing sent."""
    push.push(IMAGE, connect(), "v1")
    registry.seen.clear()

    done = push.push(IMAGE, connect(), "v1")

    assert [one.method for one in registry.seen] == ["GET"]
    assert (done.plan.tagged, done.plan.size, done.plan.present) == (True, 0, IMAGE.manifest.size)
    assert done.plan.replaces is None


def test_another_tag_is_a_manifest_alone(registry: FakeRegistry, connect: Connect) -> None:
    """Its layers are there."""
    push.push(IMAGE, connect(), "v1")
    registry.seen.clear()

    push.push(IMAGE, connect(), "v2")

    assert [one.method for one in registry.seen if one.method not in {"GET", "HEAD"}] == ["PUT"]


def test_of_a_changed_image_what_changed_is_sent(registry: FakeRegistry, connect: Connect) -> None:
    """And the tag moves, which is told."""
    push.push(IMAGE, connect(), "v1")
    registry.seen.clear()
    changed = image_of(*IMAGE.layers[:2], layer_of(b"new"), config=b'{"architecture": "arm64"}')

    done = push.push(changed, connect(), "v1")

    assert {one.blob.digest for one in done.plan.transfers} == {
        digest_of(b"new"),
        digest_of(b'{"architecture": "arm64"}'),
    }
    assert done.plan.replaces == IMAGE.manifest.digest
    assert registry.manifests["team/app", "v1"][1] == changed.manifest.render()


def test_a_dry_run_changes_nothing(registry: FakeRegistry, connect: Connect) -> None:
    """It says what would be sent."""
    done = push.push(IMAGE, connect(), "v1", dry_run=True)

    assert {one.method for one in registry.seen} == {"GET", "HEAD"}
    assert (done.dry_run, done.plan.size) == (True, IMAGE.manifest.size)
    assert [one.kind for one in done.plan.transfers] == ["base", "layer", "layer", "configuration"]
    assert registry.blobs == {}


def test_a_base_of_the_same_registry_is_mounted(registry: FakeRegistry, connect: Connect) -> None:
    """Its content is never opened."""
    registry.put("library/python", BASE)

    def refuse() -> BinaryIO:
        raise AssertionError("it was opened")

    base = replace(layer_of(BASE, f"{registry.host}/library/python"), open=refuse)

    done = push.push(image_of(base, layer_of(OURS)), connect(), "v1")

    assert done.mounted == len(BASE)
    assert registry.sent() == len(OURS) + len(CONFIG)


def test_a_layer_that_stands_twice_is_sent_once(registry: FakeRegistry, connect: Connect) -> None:
    """An empty layer often does."""
    done = push.push(image_of(layer_of(CODE), layer_of(OURS), layer_of(CODE)), connect(), "v1")

    assert done.plan.size == len(CODE) + len(OURS) + len(CONFIG)
    assert len(registry.asked("POST")) == 3


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param(
            Fault("PATCH", "", status=403, code="DENIED", times=99, after=1), RegistryRefused, id="403"
        ),
        pytest.param(Fault("PATCH", "", cut_request=0, times=999, after=2), ServiceUnavailable, id="cut"),
        pytest.param(Fault("PUT", "blobs", status=400, code="DIGEST_INVALID"), WrongDigest, id="digest"),
        pytest.param(Fault("PUT", "manifests", status=503, times=99), ServiceUnavailable, id="manifest"),
        pytest.param(
            Fault("PUT", "manifests", status=400, code="MANIFEST_BLOB_UNKNOWN"), RegistryRefused, id="half"
        ),
    ],
)
def test_a_push_that_fails_leaves_no_tag(
    registry: FakeRegistry, connect: Connect, fault: Fault, kind: type[SealiftError], tmp_path: Path
) -> None:
    """What the tag named before it names still; what is left of uploads is what the next command goes on with."""
    push.push(image_of(layer_of(b"old")), connect(), "v1")
    before = registry.manifests["team/app", "v1"]
    registry.fail(fault)

    with pytest.raises(kind):
        push.push(IMAGE, connect(), "v1")

    assert registry.manifests["team/app", "v1"] == before
    folder = tmp_path / "uploads"
    kept = list(folder.iterdir()) if folder.exists() else []
    assert len(registry.uploads) <= len(kept)

    registry.faults.clear()
    push.push(IMAGE, connect(), "v1")
    assert registry.manifests["team/app", "v1"][1] == IMAGE.manifest.render()
    assert registry.uploads == {}
    assert not folder.exists() or list(folder.iterdir()) == []


def test_when_one_blob_fails_the_others_are_given_up(registry: FakeRegistry, connect: Connect) -> None:
    """What is under way ends with its next chunk, what waits is not begun, and the first word is the failure's."""
    begun = threading.Event()

    class Waiting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            begun.wait(10)
            return super().read(size)

    large = bytes(3 * CHUNK)
    slow = replace(layer_of(large), open=lambda: Waiting(large))

    def fail() -> BinaryIO:
        # The other one has been read from: it is under way.
        begun.set()
        raise WrongDigest("the layer is damaged")

    damaged = replace(layer_of(bytes(2 * CHUNK)), open=fail)

    with pytest.raises(WrongDigest, match="the layer is damaged"):
        push.push(image_of(slow, damaged, layer_of(CODE)), connect(), "v1")
    assert len(registry.asked("PATCH")) < 3
    assert registry.asked("PUT") == []
    assert digest_of(CODE) not in registry.blobs.get("team/app", {})


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_an_image_that_serverless_refuses_is_refused_before_anything_is_sent(
    registry: FakeRegistry, connect: Connect, more: int, *, refused: bool
) -> None:
    """By AWS's very figure, and only where it is for serverless."""
    size = IMAGE_BYTES.value - len(CONFIG) + more
    layer = replace(layer_of(b"x"), descriptor=Descriptor(DOCKER_LAYER, digest_of(b"x"), size))
    image = image_of(layer)

    if not refused:
        push.check_size(image)
        return
    with pytest.raises(ImageTooLarge, match="10737418241 bytes"):
        push.push(image, connect(), "v1")
    assert registry.seen == []
    assert push.push(image, connect(), "v1", dry_run=True, serverless=False).plan.size == image.manifest.size


def test_a_plan_is_data() -> None:
    """The largest first; what is there is not in it."""
    made = push.plan(IMAGE, "v1", tagged=None, missing=ALL - {digest_of(OURS)})

    assert [one.blob.size for one in made.transfers] == [len(BASE), len(CODE), len(CONFIG)]
    assert (made.present, made.tagged, made.replaces) == (len(OURS), False, None)
    assert made.transfers[0].origin == "registry.example/python"


@pytest.mark.parametrize(
    ("host", "account", "region", "errors"),
    [
        pytest.param(
            "123456789012.dkr.ecr.us-east-1.amazonaws.com", "123456789012", "us-east-1", [], id="own"
        ),
        pytest.param(
            "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "123456789012", "us-east-1", [], id="FIPS"
        ),
        pytest.param(
            "123456789012.dkr-ecr.us-east-1.on.aws", "123456789012", "us-east-1", [], id="dual stack"
        ),
        pytest.param(
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "123456789012", "cn-north-1", [], id="China"
        ),
        pytest.param(
            "210987654321.dkr.ecr.us-east-1.amazonaws.com",
            "123456789012",
            "us-east-1",
            ["OtherAccount"],
            id="account",
        ),
        pytest.param(
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012",
            "us-east-1",
            ["OtherRegion"],
            id="region",
        ),
        pytest.param(
            "210987654321.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012",
            "us-east-1",
            ["OtherAccount", "OtherRegion"],
            id="both",
        ),
        pytest.param("registry.example", "123456789012", "us-east-1", [], id="another registry"),
        pytest.param("public.ecr.aws", "123456789012", "us-east-1", [], id="public"),
    ],
)
def test_a_repository_that_no_endpoint_takes_an_image_of_is_refused(
    host: str, account: str, region: str, errors: list[str]
) -> None:
    """Another account's, another region's; of other registries nothing is known."""
    reference = Reference(host, "sealift")
    if not errors:
        registries.check_owner(reference, account, region)
        return
    with pytest.raises(RegistryRefused) as refusal:
        registries.check_owner(reference, account, region)
    assert [one.error for one in refusal.value.problems] == errors
