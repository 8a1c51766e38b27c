"""Images in true registries: Debian's own, and the local cloud's ECR, which refuses what AWS's does."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from local_cloud.cloud import LocalCloud
from local_cloud.ecr import pulls
from local_cloud.faults import Fault
from pipeline.errors import AccessDenied, ImageNotFound, RegistryRefused, SealiftError, Throttled, WrongDigest
from pipeline.image import layout, push, registries
from pipeline.image.base import Reference, parse
from pipeline.image.blobs import Image, LayerBlob
from pipeline.image.ecr import EcrRepository
from pipeline.image.manifest import DOCKER_CONFIG, DOCKER_LAYER, Descriptor, Manifest, digest_of
from pipeline.image.unfinished import UploadFiles
from pipeline.limits import LAYER_PART, MiB
from tools.image_test import tools
from tools.image_test.registry import LocalRegistry, Relay

LARGE = os.urandom(2 * LAYER_PART.value + 12345)
SMALL = os.urandom(1000)


def image_of(*contents: bytes, origin: str = "") -> Image:
    """Return an image whose layers are these bytes: no registry looks into them."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(one) for one in contents]},
        }
    ).encode()
    layers = tuple(
        LayerBlob(
            Descriptor(DOCKER_LAYER, digest_of(one), len(one)),
            digest_of(one),
            partial(io.BytesIO, one),
            origin,
        )
        for one in contents
    )
    blob = Descriptor(DOCKER_CONFIG, digest_of(config), len(config))
    return Image(Manifest(blob, tuple(one.descriptor for one in layers)), config, layers)


IMAGE = image_of(LARGE, SMALL)


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Debian's registry on a free port."""
    try:
        tools.find("docker-registry")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with LocalRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


def test_debians_registry_holds_what_was_pushed(debian: LocalRegistry) -> None:
    """The same manifest under the same digest; the bytes of each layer come back; again nothing is sent."""
    repository = registries.connect(parse(f"{debian.address}/team/app"), sleep=time.sleep)

    push.push(IMAGE, repository, "v1")

    assert debian.manifest("team/app", "v1") == (IMAGE.manifest.digest, IMAGE.manifest.render())
    for layer, content in zip(IMAGE.layers, (LARGE, SMALL), strict=True):
        assert b"".join(repository.read(layer.descriptor)) == content
    before = len(debian.asked())
    assert push.push(IMAGE, repository, "v1").plan.tagged
    assert [one.method for one in debian.asked()[before:]] == ["GET"]


def test_debians_registry_mounts(debian: LocalRegistry) -> None:
    """What lies in another of its repositories is not sent."""
    push.push(IMAGE, registries.connect(parse(f"{debian.address}/library/base")), "v1")
    ours = image_of(LARGE, SMALL, origin=f"{debian.address}/library/base")

    done = push.push(ours, registries.connect(parse(f"{debian.address}/mounted")), "v1")

    assert done.mounted == len(LARGE) + len(SMALL)


def test_debians_registry_refuses_what_is_not_there(debian: LocalRegistry) -> None:
    """A manifest before its layers, and bytes that their digest does not name; no upload is left."""
    repository = registries.connect(parse(f"{debian.address}/refused"))
    wrong = Descriptor(DOCKER_LAYER, digest_of(b"right"), 5)

    with pytest.raises(RegistryRefused, match="nothing was tagged"):
        repository.put_manifest(IMAGE.manifest.render(), IMAGE.manifest.media_type, "v1")
    with pytest.raises(WrongDigest):
        repository.upload(wrong, partial(io.BytesIO, b"wrong"), lambda _: None)

    assert debian.tags("refused") == []
    # Of an upload that was given up it leaves a folder; no bytes.
    assert [one.status for one in debian.asked() if one.method == "DELETE"] == [204]
    assert list((debian.folder / "storage").rglob("refused/_uploads/*/data")) == []


@pytest.mark.parametrize("cut", [1 * MiB, 9 * MiB, 20 * MiB])
def test_a_push_to_debians_registry_goes_on_after_a_cut(debian: LocalRegistry, cut: int) -> None:
    """It forgets an upload of which a chunk came in part, so that blob begins anew; all that is whole is kept."""
    name = f"cut-{cut // MiB}"
    with Relay(debian.port, cut_after=cut) as relay:
        repository = registries.connect(parse(f"{relay.address}/{name}"), sleep=time.sleep)
        push.push(IMAGE, repository, "v1")
        assert relay.broken == 1

    assert debian.manifest(name, "v1")[0] == IMAGE.manifest.digest


def test_skopeo_reads_what_was_pushed(debian: LocalRegistry, tmp_path: Path) -> None:
    """It checks every digest on the way."""
    if shutil.which("skopeo") is None:
        pytest.skip("no skopeo on this machine; `make image-test` installs it")
    push.push(IMAGE, registries.connect(parse(f"{debian.address}/skopeo")), "v1")
    source, target = f"docker://{debian.address}/skopeo:v1", f"dir:{tmp_path / 'image'}"
    command = ["skopeo", "copy", "--src-tls-verify=false", "--insecure-policy", source, target]

    subprocess.run(command, check=True, capture_output=True, timeout=60)

    assert (tmp_path / "image" / "manifest.json").read_bytes() == IMAGE.manifest.render()
    assert (tmp_path / "image" / digest_of(LARGE).removeprefix("sha256:")).read_bytes() == LARGE


HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


def ecr(cloud: LocalCloud, name: str, folder: Path | None = None, *, make: bool = True) -> EcrRepository:
    """Return a repository of the local cloud's ECR."""
    client = cloud.clients.registry
    if make:
        client.create_repository(repositoryName=name)  # type: ignore[attr-defined]
    found = registries.connect(
        Reference(HOST, name),
        sleep=time.sleep,
        unfinished=UploadFiles(folder) if folder else None,
        client=client,
    )
    assert isinstance(found, EcrRepository)
    return found


def test_ecr_holds_what_was_pushed(cloud: LocalCloud) -> None:
    """Whoever pulls gets the same manifest, configuration and layers; again nothing is sent."""
    repository = ecr(cloud, "whole")

    push.push(IMAGE, repository, "v1")

    pulled = pulls.pull("123456789012", "us-east-1", f"{HOST}/whole:v1")
    assert pulled is not None
    assert (pulled.digest, pulled.manifest) == (IMAGE.manifest.digest, IMAGE.manifest.render())
    assert [path.read_bytes() for path in pulled.layers] == [LARGE, SMALL]
    assert b"".join(repository.read(IMAGE.layers[0].descriptor)) == LARGE
    assert repository.manifest("v1") == (IMAGE.manifest.media_type, IMAGE.manifest.render())
    assert push.push(IMAGE, repository, "v1").plan.tagged
    assert push.push(IMAGE, repository, "v2").plan.size == 0


def test_a_push_to_ecr_goes_on_where_it_was_cut(cloud: LocalCloud, tmp_path: Path) -> None:
    """In the next command, with the part after those that ECR has; no tag names it before."""
    name, folder = "cut", tmp_path / "uploads"
    repository = ecr(cloud, name, folder)
    told: list[int] = []

    class Interrupted(BaseException):
        pass

    def interrupt(done: int) -> None:
        if done >= LAYER_PART.value:
            raise Interrupted

    with pytest.raises(Interrupted):
        repository.upload(IMAGE.layers[0].descriptor, partial(io.BytesIO, LARGE), interrupt)
    assert repository.manifest("v1") is None

    again = ecr(cloud, name, folder, make=False)
    again.upload(IMAGE.layers[0].descriptor, partial(io.BytesIO, LARGE), told.append)

    assert told == [LAYER_PART.value, 2 * LAYER_PART.value, len(LARGE)]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("at", "have"), [pytest.param(LAYER_PART.value, 0, id="nothing"), pytest.param(7, 0, id="too early")]
)
def test_ecr_says_how_far_an_upload_is(cloud: LocalCloud, at: int, have: int) -> None:
    """Whoever begins elsewhere is led there."""
    repository = ecr(cloud, f"far-{at}")
    begun = repository.begin(IMAGE.layers[0].descriptor)

    assert repository.send_part(begun.upload_id, at, LARGE[: LAYER_PART.value]) == have
    assert repository.send_part(begun.upload_id, 0, LARGE[: LAYER_PART.value]) == LAYER_PART.value
    assert repository.send_part(begun.upload_id, 0, LARGE[: LAYER_PART.value]) == LAYER_PART.value
    assert repository.send_part(str(uuid.uuid4()), 0, b"x") is None


@pytest.mark.parametrize(
    ("operation", "code", "kind"),
    [
        pytest.param("UploadLayerPart", "AccessDeniedException", AccessDenied, id="permission"),
        pytest.param("PutImage", "ThrottlingException", Throttled, id="throttle"),
        pytest.param("CompleteLayerUpload", "InvalidLayerException", WrongDigest, id="digest"),
    ],
)
def test_what_ecr_refuses_leaves_no_tag(
    cloud: LocalCloud, operation: str, code: str, kind: type[SealiftError]
) -> None:
    """And the next push brings all of it."""
    repository = ecr(cloud, f"refused-{operation.lower()}")
    cloud.faults.replace([Fault("ecr", operation, code, times=20)])
    with pytest.raises(kind, match=operation):
        push.push(IMAGE, repository, "v1")
    cloud.faults.replace([])
    assert repository.manifest("v1") is None

    push.push(IMAGE, repository, "v1")

    assert repository.manifest("v1") is not None


def test_a_repository_that_is_not_there_is_told_of(cloud: LocalCloud) -> None:
    """Before anything is sent, with the command that makes it."""
    with pytest.raises(ImageNotFound, match="create-repository --repository-name nowhere"):
        push.push(IMAGE, ecr(cloud, "nowhere", make=False), "v1")


def test_a_tag_that_may_not_change_stays(cloud: LocalCloud) -> None:
    """Whoever pushes another image under it is told so; the same one is done."""
    cloud.clients.registry.create_repository(  # type: ignore[attr-defined]
        repositoryName="fixed", imageTagMutability="IMMUTABLE"
    )
    repository = ecr(cloud, "fixed", make=False)
    push.push(IMAGE, repository, "v1")

    with pytest.raises(RegistryRefused) as refusal:
        push.push(image_of(b"another"), repository, "v1")
    assert refusal.value.problems[0].error == "TagTaken"
    repository.put_manifest(IMAGE.manifest.render(), IMAGE.manifest.media_type, "v1")
    found = repository.manifest("v1")
    assert found is not None
    assert digest_of(found[1]) == IMAGE.manifest.digest


def test_the_command_finds_the_stacks_own_repository(cloud: LocalCloud, tmp_path: Path) -> None:
    """Where none is named; an image that was laid out goes there whole, and a second time nothing is sent."""
    layout.write(IMAGE, tmp_path / "image", "one", "x86_64")
    environ = {**os.environ, "AWS_ENDPOINT_URL": cloud.url, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    # Not the tag that deployments look for.
    words = ["image", "push", "--image", str(tmp_path / "image"), "--tag", "probe", "--json"]
    command = [sys.executable, "-m", "sealift", *words]
    repository = cloud.outputs["ImageRepository"]

    said = [
        json.loads(subprocess.run(command, env=environ, check=True, capture_output=True, timeout=120).stdout)
        for _ in range(2)
    ]

    pulled = pulls.pull("123456789012", "us-east-1", f"{repository}:probe")
    assert pulled is not None
    assert pulled.digest == IMAGE.manifest.digest
    assert [one["reference"] for one in said] == [f"{repository}@{IMAGE.manifest.digest}"] * 2
    assert [one["bytes"] for one in said] == [IMAGE.manifest.size, 0]
    cloud.clients.registry.batch_delete_image(
        repositoryName=repository.partition("/")[2], imageIds=[{"imageTag": "probe"}]
    )
