"""The image on its way to a registry that is Debian's own: nothing twice, nothing half, and on after a break."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.image.conftest import REPOSITORY
from tools.image_test import base
from tools.image_test.registry import Relay

if TYPE_CHECKING:
    from tests.image.conftest import Built, Sealift
    from tools.image_test.registry import LocalRegistry

CHUNK = 8 * 2**20
"""What is sent in one request."""
SLACK = 2**20
"""Headers, questions and answers."""


class TestPush:
    """`sealift image push`."""

    def test_the_tag_names_what_was_built(
        self, registry: LocalRegistry, built: Built, pushed: dict[str, Any]
    ) -> None:
        """By its digest, as the registry itself has it."""
        digest, _ = registry.manifest(REPOSITORY, "one")

        assert digest == built.said["digest"] == pushed["digest"]

    def test_the_bases_layers_are_taken_over(
        self, registry: LocalRegistry, built: Built, sealift: Sealift
    ) -> None:
        """From the repository of the same registry that they lie in: not a byte of them is sent or fetched."""
        reference = f"{registry.address}/python:{base.TAG}"
        before = len(registry.asked())
        said = sealift("image", "push", f"{registry.address}/beside:one", "--base", reference)

        layers = json.loads(registry.manifest("beside", "one")[1])["layers"]
        lowest = layers[0]
        assert [one["digest"] for one in layers] == [one["digest"] for one in built.said["layers"]]
        assert said["mounted_bytes"] == lowest["size"]
        fetched = f"/v2/python/blobs/{lowest['digest']}"
        assert [one for one in registry.asked()[before:] if one.path == fetched and one.method == "GET"] == []

    @pytest.mark.usefixtures("pushed")
    def test_again_sends_nothing(self, registry: LocalRegistry, built: Built, sealift: Sealift) -> None:
        """Not even a manifest; under another tag the manifest alone."""
        before = len(registry.asked())
        sealift("image", "push", f"{registry.address}/{REPOSITORY}:one", "--image", built.layout)
        again = registry.asked()[before:]
        sealift("image", "push", f"{registry.address}/{REPOSITORY}:two", "--image", built.layout)
        elsewhere = registry.asked()[before + len(again) :]

        assert [one for one in again if one.method not in {"GET", "HEAD"}] == []
        written = [one for one in elsewhere if one.method not in {"GET", "HEAD"}]
        assert [(one.method, one.path) for one in written] == [("PUT", f"/v2/{REPOSITORY}/manifests/two")]

    def test_a_dry_run_sends_nothing(self, registry: LocalRegistry, built: Built, sealift: Sealift) -> None:
        """It says what would be sent, and no repository comes of it."""
        before = len(registry.asked())
        said = sealift(
            "image", "push", f"{registry.address}/elsewhere:one", "--image", built.layout, "--dry-run"
        )

        assert said["bytes"] > 0
        assert {one.method for one in registry.asked()[before:]} <= {"GET", "HEAD"}
        assert registry.tags("elsewhere") == []

    def test_goes_on_after_a_cut(self, registry: LocalRegistry, built: Built, sealift: Sealift) -> None:
        """What the registry has is not sent again: neither whole blobs nor the beginning of one."""
        size = total(built)
        with Relay(registry.port, cut_after=size // 2, within=False) as relay:
            said = sealift("image", "push", f"{relay.address}/cut:one", "--image", built.layout)

            assert relay.broken == 1
            assert relay.sent <= size + SLACK
        assert registry.manifest("cut", "one")[0] == said["digest"] == built.said["digest"]

    def test_sends_a_layer_again_that_the_registry_forgot(
        self, registry: LocalRegistry, built: Built, sealift: Sealift
    ) -> None:
        """This registry gives an upload up that was cut within a piece; what is whole is still not sent again."""
        size = total(built)
        with Relay(registry.port, cut_after=size - 2 * CHUNK) as relay:
            said = sealift("image", "push", f"{relay.address}/forgotten:one", "--image", built.layout)

            assert relay.broken == 1
            assert relay.sent < size + largest(built) + SLACK
        assert registry.manifest("forgotten", "one")[0] == said["digest"] == built.said["digest"]

    def test_goes_on_after_it_was_killed(
        self, registry: LocalRegistry, built: Built, sealift: Sealift
    ) -> None:
        """The tag comes last, so there is none; the same command then sends what is missing alone."""
        size = total(built)
        with Relay(registry.port, cut_after=size // 2, cuts=1000, within=False) as relay:
            arguments = ("image", "push", f"{relay.address}/killed:one", "--image", built.layout)
            process = sealift.start(*arguments)
            # Both blobs that are sent at a time stand still then, and nothing is half.
            while relay.broken < 2 and process.poll() is None:
                time.sleep(0.01)
            process.kill()
            process.communicate()
            relay.cuts = 0

            assert registry.tags("killed") == []
            sealift(*arguments)
            assert relay.sent <= size + SLACK
        assert registry.manifest("killed", "one")[0] == built.said["digest"]


def total(built: Built) -> int:
    """Return the bytes of all blobs of a layout."""
    return sum(path.stat().st_size for path in (built.layout / "blobs" / "sha256").iterdir())


def largest(built: Built) -> int:
    """Return the bytes of the largest of them."""
    return max(path.stat().st_size for path in (built.layout / "blobs" / "sha256").iterdir())
