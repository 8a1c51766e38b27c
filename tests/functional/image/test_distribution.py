"""Registries over HTTP: a strict one in this process, which fails as it is told to."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pipeline.errors import (
    ImageNotFound,
    RegistryRefused,
    SealiftError,
    ServiceUnavailable,
    Throttled,
    WrongDigest,
)
from pipeline.image import distribution
from pipeline.image.base import Reference
from pipeline.image.credentials import Login
from pipeline.image.distribution import CHUNK, HttpRepository
from pipeline.image.manifest import DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, Descriptor, Manifest
from pipeline.image.transport import Http, Patience
from pipeline.image.unfinished import UploadFiles
from tests.fake_registry import PASSWORD, FakeRegistry, Fault, running

LARGE = bytes(range(256)) * (CHUNK // 256) * 2 + b"and some more"
"""Three chunks."""
SOMEBODY = Login("somebody", PASSWORD)


class World:
    """A registry that runs, one who speaks to it, and how long that one has slept."""

    def __init__(self, registry: FakeRegistry, folder: Path) -> None:
        self.registry = registry
        self.slept: list[float] = []
        self.folder = folder
        self.told: list[int] = []

    def repository(
        self,
        name: str = "team/app",
        *,
        login: Login | None = None,
        remembers: bool = False,
        waits: bool = True,
    ) -> HttpRepository:
        """Return a repository."""
        http = Http(Patience(self.slept.append if waits else None), local=True)
        unfinished = UploadFiles(self.folder) if remembers else None
        return HttpRepository(Reference(self.registry.host, name), http, lambda: login or Login(), unfinished)

    def upload(self, content: bytes, repository: HttpRepository | None = None) -> Descriptor:
        """Upload a blob."""
        blob = described(content)
        (repository or self.repository()).upload(blob, partial(io.BytesIO, content), self.told.append)
        return blob


def described(content: bytes) -> Descriptor:
    """Return the descriptor of a blob."""
    return Descriptor(DOCKER_LAYER, f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))


Worlds = Callable[..., World]


@pytest.fixture
def world_of(tmp_path: Path) -> Iterator[Worlds]:
    """Makes registries, which run until the test ends."""
    contexts = []

    def make(**how: object) -> World:
        context = running(FakeRegistry(**how))  # type: ignore[arg-type]
        contexts.append(context)
        return World(context.__enter__(), tmp_path / "uploads")

    yield make
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture
def world(world_of: Worlds) -> World:
    """A registry that lets everybody in."""
    return world_of()


def test_a_blob_is_sent_in_chunks_and_read_again(world: World) -> None:
    """Three chunks, each told of; what is read is what was sent."""
    blob = world.upload(LARGE)

    assert world.registry.blobs["team/app"][blob.digest] == LARGE
    assert [one.body for one in world.registry.asked("PATCH")] == [CHUNK, CHUNK, len(LARGE) - 2 * CHUNK]
    assert world.told == [0, CHUNK, 2 * CHUNK, len(LARGE)]
    assert b"".join(world.repository().read(blob)) == LARGE
    assert world.registry.uploads == {}


@pytest.mark.parametrize("content", [b"", b"x", b"xy", b"z" * CHUNK], ids=["none", "one", "two", "a chunk"])
def test_a_blob_of_any_size_arrives(world: World, content: bytes) -> None:
    """Of nothing and of a single byte registries say the same."""
    blob = world.upload(content)

    assert world.registry.blobs["team/app"][blob.digest] == content
    assert b"".join(world.repository().read(blob)) == content


def test_what_is_there_is_not_sent(world: World) -> None:
    """One question, no byte; the progress is whole."""
    world.registry.put("team/app", LARGE)

    world.upload(LARGE)

    assert [one.method for one in world.registry.seen] == ["HEAD"]
    assert world.told == [len(LARGE)]


def test_missing_blobs_are_named(world: World) -> None:
    """Each is asked about once."""
    there, not_there = world.registry.put("team/app", b"1"), described(b"2").digest

    assert world.repository().missing([there, not_there, there]) == {not_there}
    assert len(world.registry.seen) == 2


@pytest.mark.parametrize("kept", [0, 1000, CHUNK], ids=["nothing", "a part", "all"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_upload_that_is_cut_goes_on_where_the_registry_is(world: World, kept: int, after: int) -> None:
    """The registry is asked what it has; nothing of that is sent again."""
    world.registry.fail(Fault("PATCH", "", cut_request=kept, after=after))

    blob = world.upload(LARGE)

    assert world.registry.blobs["team/app"][blob.digest] == LARGE
    whole = sum(one.body for one in world.registry.asked("PATCH") if one.status == 202)
    assert whole == len(LARGE) - min(kept, len(LARGE) - after * CHUNK)
    assert world.slept == ([] if kept else [0.5])
    assert world.registry.uploads == {}


def test_a_lost_answer_to_a_chunk_is_no_chunk_twice(world: World) -> None:
    """The chunk had arrived."""
    world.registry.fail(Fault("PATCH", "", lost=True))

    blob = world.upload(LARGE)

    assert world.registry.blobs["team/app"][blob.digest] == LARGE
    assert len(world.registry.asked("PATCH")) == 3


def test_a_lost_answer_to_the_completion_is_a_blob_that_is_there(world: World) -> None:
    """Whoever asks finds it."""
    world.registry.fail(Fault("PUT", "", lost=True))

    blob = world.upload(LARGE)

    assert world.registry.blobs["team/app"][blob.digest] == LARGE
    assert len(world.registry.asked("PUT")) == 1


def test_an_upload_that_the_registry_forgot_is_begun_anew(world: World) -> None:
    """From its first byte."""
    world.registry.fail(Fault("PATCH", "", forget=True, after=1))

    blob = world.upload(LARGE)

    assert world.registry.blobs["team/app"][blob.digest] == LARGE
    assert len(world.registry.asked("POST")) == 2


def test_a_registry_that_always_forgets_is_told_of(world: World) -> None:
    """After three beginnings."""
    world.registry.fail(Fault("PATCH", "", forget=True, times=99))

    with pytest.raises(ServiceUnavailable, match=r"forgot the upload .* 3 times"):
        world.upload(LARGE)
    assert len(world.registry.asked("POST")) == 3


def test_a_line_that_stays_cut_is_told_of_and_leaves_nothing(world: World) -> None:
    """As often as the patience goes; the upload is given up where nobody remembers it."""
    world.registry.fail(Fault("PATCH", "", cut_request=0, times=99))

    with pytest.raises(ServiceUnavailable, match="no whole answer"):
        world.upload(LARGE)
    assert world.slept == [0.5, 1, 2, 4]
    assert world.registry.uploads == {}
    assert world.registry.blobs == {}


def test_the_next_command_goes_on_with_what_this_one_has_sent(world: World) -> None:
    """The registry has two chunks; the third is sent."""
    world.registry.fail(Fault("PATCH", "", cut_request=0, times=99, after=2))
    with pytest.raises(ServiceUnavailable):
        world.upload(LARGE, world.repository(remembers=True))
    world.registry.faults.clear()
    world.registry.seen.clear()

    blob = world.upload(LARGE, world.repository(remembers=True))

    assert [one.body for one in world.registry.asked("PATCH")] == [len(LARGE) - 2 * CHUNK]
    assert world.registry.asked("POST") == []
    assert world.registry.blobs["team/app"][blob.digest] == LARGE
    assert list(world.folder.iterdir()) == []


def test_a_remembered_upload_that_expired_is_begun_anew(world: World) -> None:
    """Without a word."""
    blob = described(LARGE)
    name = f"{world.registry.host}/team/app"
    UploadFiles(world.folder).write(
        name, blob.digest, f"http://{world.registry.host}/v2/team/app/blobs/uploads/old"
    )

    world.upload(LARGE, world.repository(remembers=True))

    assert world.registry.blobs["team/app"][blob.digest] == LARGE
    assert list(world.folder.iterdir()) == []


def test_a_resumed_upload_of_other_bytes_is_begun_anew(world: World) -> None:
    """What the registry believes to have may be wrong after a break; what is sent from the beginning is not."""
    blob, name = described(LARGE), f"{world.registry.host}/team/app"
    upload = world.registry.begin("team/app")
    world.registry.uploads[upload][1].extend(b"other bytes")
    place = f"http://{world.registry.host}/v2/team/app/blobs/uploads/{upload}?state=11"
    UploadFiles(world.folder).write(name, blob.digest, place)

    world.upload(LARGE, world.repository(remembers=True))

    assert world.registry.blobs["team/app"][blob.digest] == LARGE
    assert world.registry.uploads == {}


def test_content_that_is_not_what_its_digest_says_is_refused(world: World) -> None:
    """By the registry; no upload and no file is left."""
    blob = Descriptor(DOCKER_LAYER, described(b"right").digest, 5)

    with pytest.raises(WrongDigest, match="DIGEST_INVALID"):
        world.repository(remembers=True).upload(blob, partial(io.BytesIO, b"wrong"), world.told.append)
    assert world.registry.uploads == {}
    assert list(world.folder.iterdir()) == []


def test_content_that_is_too_short_is_refused(world: World) -> None:
    """Before the end is sent."""
    blob = Descriptor(DOCKER_LAYER, described(b"right").digest, 6)

    with pytest.raises(WrongDigest, match="ends after 5 of 6 bytes"):
        world.repository().upload(blob, partial(io.BytesIO, b"right"), world.told.append)
    assert world.registry.uploads == {}


def test_a_registry_that_asks_to_wait_is_waited_for(world: World) -> None:
    """As long as it says, of a chunk as of any other request."""
    world.registry.fail(Fault("HEAD", "", status=429, headers={"Retry-After": "7"}))
    world.registry.fail(Fault("PATCH", "", status=429, headers={"Retry-After": "8"}))
    world.registry.fail(Fault("PUT", "", status=503, headers={"Retry-After": "9"}))
    world.registry.fail(Fault("PUT", "", status=503))

    world.upload(LARGE)

    assert world.slept == [7, 8, 9, 1]


def test_a_registry_that_asks_to_wait_too_long_is_not(world: World) -> None:
    """The message says how long it wants."""
    world.registry.fail(Fault("HEAD", "", status=429, headers={"Retry-After": "3600"}))

    with pytest.raises(Throttled, match="try again in 3600 s"):
        world.upload(b"x")
    assert world.slept == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [pytest.param(429, Throttled, id="429"), pytest.param(503, ServiceUnavailable, id="503")],
)
def test_patience_ends(world: World, status: int, kind: type[SealiftError]) -> None:
    """After five attempts; where nothing may wait, after the first."""
    world.registry.fail(Fault("HEAD", "", status=status, times=99))

    with pytest.raises(kind, match=f"HTTP {status}"):
        world.upload(b"x")
    assert (len(world.registry.seen), world.slept) == (5, [0.5, 1, 2, 4])
    with pytest.raises(kind):
        world.upload(b"x", world.repository(waits=False))
    assert len(world.registry.seen) == 6


@pytest.mark.parametrize("auth", ["basic", "bearer", "token"])
def test_who_asks_is_told_when_the_registry_wants_to_know(world_of: Worlds, auth: str) -> None:
    """Name and password, or a token that is given for them, or to anybody."""
    world = world_of(auth=auth)
    repository = world.repository(login=Login() if auth == "token" else SOMEBODY)

    blob = world.upload(LARGE, repository)

    assert b"".join(repository.read(blob)) == LARGE
    assert {one.status for one in world.registry.asked("PATCH")} == {202}


def test_a_token_that_expires_in_between_is_fetched_anew(world_of: Worlds) -> None:
    """In the middle of an upload, and of reading."""
    world = world_of(auth="bearer")
    repository = world.repository(login=SOMEBODY)
    world.registry.put("team/app", b"1")
    repository.missing([described(b"1").digest])
    world.registry.token = "token-2"

    blob = world.upload(LARGE, repository)
    world.registry.token = "token-3"

    assert b"".join(repository.read(blob)) == LARGE


def test_a_scope_with_push_is_asked_for_when_it_is_needed(world_of: Worlds) -> None:
    """As the registry's challenge says."""
    world = world_of(auth="bearer")

    world.upload(b"x", world.repository(login=SOMEBODY))

    (asked,) = world.registry.asked("GET", "^/token")
    assert "scope=repository%3Ateam%2Fapp%3Apull" in asked.path


@pytest.mark.parametrize(
    ("auth", "login", "error", "says"),
    [
        pytest.param("bearer", Login(), "NotLoggedIn", "docker login 127", id="nobody"),
        pytest.param("basic", Login(), "NotLoggedIn", "docker login 127", id="nobody, basic"),
        pytest.param(
            "basic", Login(missing="a helper keeps it"), "NotLoggedIn", "a helper keeps it", id="helper"
        ),
        pytest.param("bearer", Login("somebody", "no"), "WrongPassword", "'somebody'", id="password"),
        pytest.param("basic", Login("other", PASSWORD), "WrongPassword", "'other'", id="name"),
    ],
)
def test_who_is_not_let_in_is_told_what_to_do(
    world_of: Worlds, auth: str, login: Login, error: str, says: str
) -> None:
    """Log in, and how; the password stands nowhere."""
    world = world_of(auth=auth)

    with pytest.raises(RegistryRefused, match=says) as refusal:
        world.upload(b"x", world.repository(login=login))
    assert [one.error for one in refusal.value.problems] == [error]
    assert PASSWORD not in str(refusal.value)


def test_who_may_not_push_is_told_so(world: World) -> None:
    """403 with a login is a permission that is missing."""
    world.registry.fail(Fault("POST", "", status=403, code="DENIED"))

    with pytest.raises(RegistryRefused, match="allow 'somebody' to pull and push team/app") as refusal:
        world.upload(b"x", world.repository(login=SOMEBODY))
    assert [one.error for one in refusal.value.problems] == ["NotAllowed"]


def test_a_repository_that_is_not_there_is_told_of(world: World) -> None:
    """Not every registry makes one by itself."""
    world.registry.fail(Fault("POST", "", status=404, code="NAME_UNKNOWN"))

    with pytest.raises(ImageNotFound, match="a repository that is there"):
        world.upload(b"x")


def test_a_password_does_not_follow_a_redirect(world_of: Worlds) -> None:
    """The store refuses whoever brings it, and the bytes arrive."""
    world = world_of(auth="basic", redirects=True)
    blob = described(LARGE)
    world.registry.put("team/app", LARGE)

    assert b"".join(world.repository(login=SOMEBODY).read(blob)) == LARGE
    stored = world.registry.asked("GET", "signed")
    assert len(stored) == 1
    assert "authorization" not in stored[0].headers


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "whole only"])
@pytest.mark.parametrize("redirects", [True, False], ids=["store", "registry"])
def test_reading_that_is_cut_goes_on(world_of: Worlds, *, redirects: bool, ranges: bool) -> None:
    """From the byte that is missing where that can be asked for; else what came before is left out."""
    world = world_of(redirects=redirects, ranges=ranges)
    blob = described(LARGE)
    world.registry.put("team/app", LARGE)
    place = "signed" if redirects else "blobs"
    world.registry.fail(Fault("GET", place, cut_answer=1_000_000), Fault("GET", place, cut_answer=1_000_000))

    assert b"".join(world.repository().read(blob)) == LARGE
    asked = world.registry.asked("GET", place)
    assert len(asked) == 3
    assert "range" not in asked[0].headers
    assert asked[1].headers["range"] == "bytes=1000000-"


def test_reading_that_stays_cut_is_told_of(world: World) -> None:
    """With no byte between five attempts."""
    blob = described(b"some bytes")
    world.registry.put("team/app", b"some bytes")
    world.registry.fail(Fault("GET", "blobs", cut_answer=0, times=99))

    with pytest.raises(ServiceUnavailable, match="no whole answer"):
        list(world.repository().read(blob))
    assert len(world.registry.asked("GET")) == 5


@pytest.mark.parametrize("status", [429, 500, 503])
def test_reading_waits_where_it_is_asked_to(world: World, status: int) -> None:
    """As every other request."""
    blob = described(b"some bytes")
    world.registry.put("team/app", b"some bytes")
    world.registry.fail(Fault("GET", "blobs", status=status, headers={"Retry-After": "3"}))

    assert b"".join(world.repository().read(blob)) == b"some bytes"
    assert world.slept == [3]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda body: b"!" + body[1:], "have the digest", id="other bytes"),
        pytest.param(lambda body: body + b"!", "has 11 bytes; wanted 10", id="more bytes"),
        pytest.param(lambda body: body[1:], "has 9 bytes; wanted 10", id="fewer bytes"),
    ],
)
def test_a_blob_that_is_not_what_its_digest_says_is_refused(
    world: World, change: Callable[[bytes], bytes], says: str
) -> None:
    """Whatever else is right about it."""
    blob = described(b"some bytes")
    world.registry.put("team/app", b"some bytes")
    world.registry.fail(Fault("GET", "blobs", change=change, times=99))

    with pytest.raises(WrongDigest, match=says):
        list(world.repository().read(blob))


def test_a_blob_of_no_known_length_is_read_as_far_as_it_may_be(world: World) -> None:
    """One byte more than there should be is refused when it comes; its right number arrives."""
    blob = described(b"some bytes")
    world.registry.put("team/app", b"some bytes")
    world.registry.fail(Fault("GET", "blobs", unsized=True))
    world.registry.fail(Fault("GET", "blobs", unsized=True, change=lambda body: body + b"!"))

    assert b"".join(world.repository().read(blob)) == b"some bytes"
    with pytest.raises(WrongDigest, match="has more bytes; wanted 10"):
        list(world.repository().read(blob))


@pytest.mark.parametrize("where", ["bytes 5-9/10", "", "bytes 0-9", "items 0-9/10"])
def test_a_part_that_nobody_asked_for_is_refused(world: World, where: str) -> None:
    """Where it belongs nobody knows."""
    blob = described(b"some bytes")
    world.registry.fail(Fault("GET", "blobs", status=206, headers={"Content-Range": where}))

    with pytest.raises(RegistryRefused, match="Content-Range"):
        list(world.repository().read(blob))


def test_reading_goes_on_as_long_as_it_gets_further(world: World) -> None:
    """However often it is cut; only breaks with no byte between are counted."""
    blob = described(LARGE)
    world.registry.put("team/app", LARGE)
    world.registry.fail(Fault("GET", "blobs", cut_answer=2_000_000, times=8))

    assert b"".join(world.repository().read(blob)) == LARGE
    assert world.slept == [0.5] * 8


def test_a_layer_that_vanished_is_told_of(world: World) -> None:
    """With what to do: another base."""
    with pytest.raises(ImageNotFound, match="name a base that is there with --base"):
        list(world.repository().read(described(b"gone")))


def stored(world: World) -> tuple[bytes, str]:
    """Let the registry have an image; return its manifest and that one's digest."""
    config, layer = b"{}", b"layer"
    for content in (config, layer):
        world.registry.put("team/app", content)
    manifest = Manifest(Descriptor(DOCKER_CONFIG, described(config).digest, 2), (described(layer),)).render()
    return manifest, described(manifest).digest


def test_a_manifest_is_stored_and_read_by_tag_and_digest(world: World) -> None:
    """The same bytes, the type without what follows it."""
    manifest, digest = stored(world)
    repository = world.repository()

    repository.put_manifest(manifest, DOCKER_MANIFEST, "v1")

    assert repository.manifest("v1") == repository.manifest(digest) == (DOCKER_MANIFEST, manifest)
    assert repository.manifest("v2") is None
    assert repository.manifest(described(b"other").digest) is None


def test_a_manifest_whose_layers_are_not_there_is_refused(world: World) -> None:
    """No tag names it."""
    manifest = Manifest(described(b"config"), (described(b"half a layer"),)).render()

    with pytest.raises(RegistryRefused, match="all layers that the manifest names"):
        world.repository().put_manifest(manifest, DOCKER_MANIFEST, "v1")
    assert world.registry.manifests == {}


@pytest.mark.parametrize("by", ["v1", "digest"])
def test_a_manifest_that_is_not_what_its_digest_says_is_refused(world: World, by: str) -> None:
    """The digest that was asked for, else the one that the registry names."""
    manifest, digest = stored(world)
    repository = world.repository()
    repository.put_manifest(manifest, DOCKER_MANIFEST, "v1")
    world.registry.fail(Fault("GET", "manifests", change=lambda body: body + b" "))

    with pytest.raises(WrongDigest, match=f"wanted {digest}"):
        repository.manifest(digest if by == "digest" else by)


def test_a_manifest_that_the_registry_understood_otherwise_is_told_of(world: World) -> None:
    """Its own digest says so."""
    manifest, _ = stored(world)
    other = {"Docker-Content-Digest": described(b"other").digest}
    world.registry.fail(Fault("PUT", "manifests", status=201, headers=other))

    with pytest.raises(WrongDigest, match="has stored"):
        world.repository().put_manifest(manifest, DOCKER_MANIFEST, "v1")


def test_a_manifest_without_end_is_not_read(world: World) -> None:
    """Four mebibytes, as ECR takes them."""
    manifest, _ = stored(world)
    repository = world.repository()
    repository.put_manifest(manifest, DOCKER_MANIFEST, "v1")
    world.registry.fail(Fault("GET", "manifests", change=lambda body: body + b" " * (4 << 20)))

    with pytest.raises(RegistryRefused, match="more than 4194304 bytes"):
        repository.manifest("v1")


def test_a_blob_of_the_same_registry_is_mounted(world: World) -> None:
    """No byte is sent."""
    world.registry.put("library/base", LARGE)

    assert world.repository().mount(described(LARGE), f"{world.registry.host}/library/base")
    assert world.registry.blobs["team/app"] == world.registry.blobs["library/base"]
    assert world.registry.sent() == 0


@pytest.mark.parametrize("mounts", [True, False], ids=["not there", "no mounts"])
def test_what_cannot_be_mounted_leaves_no_upload(world_of: Worlds, *, mounts: bool) -> None:
    """The registry begins one instead, which is given up."""
    world = world_of(mounts=mounts)

    assert not world.repository().mount(described(b"x"), f"{world.registry.host}/library/base")
    assert world.registry.uploads == {}


@pytest.mark.parametrize("origin", ["elsewhere.example/library/base", "", "127.0.0.1:1/library/base"])
def test_a_blob_of_another_registry_is_not_mounted(world: World, origin: str) -> None:
    """Nothing is asked."""
    assert not world.repository().mount(described(b"x"), origin)
    assert world.registry.seen == []


def test_a_mount_that_is_forbidden_is_none(world: World) -> None:
    """The blob can still be sent."""
    world.registry.fail(Fault("POST", "mount", status=403, code="DENIED"))

    assert not world.repository().mount(described(b"x"), f"{world.registry.host}/library/base")


@pytest.mark.parametrize(
    "place", ["http://registry.example/v2/", "ftp://127.0.0.1/", "http://127.0.0.1.example/", "http://[::2]/"]
)
def test_a_registry_leads_nobody_out_of_encryption(world: World, place: str) -> None:
    """Not by a redirect, and not by the address of an upload."""
    blob = described(b"some bytes")
    world.registry.put("team/app", b"some bytes")
    world.registry.fail(Fault("GET", "", status=307, headers={"Location": place}))
    world.registry.fail(Fault("POST", "", status=202, headers={"Location": place}))

    with pytest.raises(RegistryRefused, match=r"https, or http on 127\.0\.0\.1"):
        list(world.repository().read(blob))
    with pytest.raises(RegistryRefused, match=r"https, or http on 127\.0\.0\.1"):
        world.upload(b"x")


def test_a_registry_elsewhere_leads_nobody_to_this_machine() -> None:
    """Plain HTTP to 127.0.0.1 is for a registry that is there itself."""
    with pytest.raises(RegistryRefused, match="https, or http"):
        Http(Patience()).ask("GET", "http://127.0.0.1:9/")


def test_redirects_without_end_are_not_followed(world: World) -> None:
    """Five are enough."""
    blob = described(b"x")
    world.registry.fail(
        Fault("GET", "", status=307, headers={"Location": f"http://{world.registry.host}/v2/a/b"}, times=99)
    )

    with pytest.raises(RegistryRefused, match="more than 5 redirects"):
        list(world.repository().read(blob))
    assert len(world.registry.seen) == 6


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\r\\nX: y"}', b"[" * 100_000]
)
def test_a_token_that_is_none_is_told_of(world_of: Worlds, body: bytes) -> None:
    """Whatever else stands there, and none becomes a header of its own."""
    world = world_of(auth="token")
    world.registry.fail(Fault("GET", "^/token", change=lambda _: body))

    with pytest.raises(RegistryRefused, match="without a token"):
        world.upload(b"x")


def test_a_registry_that_keeps_nothing_of_a_chunk_is_told_of(world: World) -> None:
    """It takes them and says that it has none."""
    world.registry.fail(
        Fault("PATCH", "", status=202, headers={"Range": "0-0", "Location": "/v2/"}, times=99)
    )

    with pytest.raises(RegistryRefused, match="a chunk of which nothing was kept"):
        world.upload(LARGE)


@pytest.mark.parametrize("more", [1, 99_999])
def test_a_registry_that_has_more_than_was_sent_is_told_of(world: World, more: int) -> None:
    """Whose bytes those are nobody knows."""
    headers = {"Range": f"0-{CHUNK + more - 1}", "Location": "/v2/"}
    world.registry.fail(Fault("PATCH", "", status=202, headers=headers))

    with pytest.raises(RegistryRefused, match=f"{CHUNK + more} bytes received of {CHUNK}"):
        world.upload(LARGE)


def test_chunks_are_as_large_as_the_registry_wants_within_bounds(world: World) -> None:
    """What would not fit into memory is refused, and its upload given up."""
    repository = world.repository()
    place = f"/v2/team/app/blobs/uploads/{world.registry.begin('team/app')}?state=0"
    headers = {"Location": place, "OCI-Chunk-Min-Length": str(2 * CHUNK)}
    world.registry.fail(Fault("POST", "", status=202, headers=headers))

    world.upload(LARGE, repository)

    assert [one.body for one in world.registry.asked("PATCH")] == [2 * CHUNK, len(LARGE) - 2 * CHUNK]

    place = f"/v2/team/app/blobs/uploads/{world.registry.begin('team/app')}?state=0"
    world.registry.fail(
        Fault("POST", "", status=202, headers={"Location": place, "OCI-Chunk-Min-Length": "68719476736"})
    )
    with pytest.raises(RegistryRefused, match="OCI-Chunk-Min-Length: 68719476736"):
        world.upload(b"other", repository)
    assert world.registry.uploads == {}


def test_a_host_that_is_not_there_is_told_of() -> None:
    """By its name, without what urllib3 calls it."""
    repository = HttpRepository(Reference("127.0.0.1:9", "team/app"), Http(Patience(), local=True), Login)

    with pytest.raises(ServiceUnavailable, match=r"^127\.0\.0\.1:9: no whole answer: .*refused"):
        repository.manifest("v1")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(
            'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
            ("bearer", "https://auth.example/token", "registry.example", "repository:a/b:pull,push"),
            id="docker",
        ),
        pytest.param(
            'Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws"',
            ("bearer", "https://public.ecr.aws/token/", "public.ecr.aws", "aws"),
            id="public ECR",
        ),
        pytest.param('Basic realm="a \\"b\\", c"', ("basic", 'a "b", c', "", ""), id="quoted"),
        pytest.param("bearer REALM=x , service=y", ("bearer", "x", "y", ""), id="tokens"),
        pytest.param("Basic", ("basic", "", "", ""), id="bare"),
        pytest.param("Negotiate", None, id="another scheme"),
        pytest.param('Bearer service="x"', None, id="no realm"),
        pytest.param('Bearer realm="x', None, id="no end"),
        pytest.param("Bearer realm=" + "x" * 9000, None, id="too long"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_challenge_is_read(header: str, expected: tuple[str, str, str, str] | None) -> None:
    """With quotes and commas in it; nonsense is none."""
    found = distribution.read_challenge(header)

    assert (found and (found.scheme, found.realm, found.service, found.scope)) == expected
