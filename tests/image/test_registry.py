"""The image on its way to a registry that is Debian's own: nothing twice, nothing half, and on after a break."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.image.conftest import REPOSITORY
from tools.image_test.registry import Relay

if TYPE_CHECKING:
    from tests.image.conftest import Built, Sealift
    from tools.image_test.registry import LocalRegistry

CHUNK = 8 * 2**20
"""What is sent again at most of a blob that was cut; two are under way at a time."""
SLACK = 2**20
"""Headers, questions and answers."""


class TestPush:
    """`sealift image push`."""

    def test_the_tag_names_what_was_built(
        self, registry: LocalRegistry, built: Built, pushed: dict[str, Any]
    ) -> None:
        """By its digest, as the registry itself has it; what lies in the base's repository is not sent."""
        digest, _ = registry.manifest(REPOSITORY, "one")

        assert digest == built.said["digest"] == pushed["digest"]
        assert pushed["mounted_bytes"] > 0

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

    @pytest.mark.usefixtures("pushed")
    def test_goes_on_after_a_cut(self, registry: LocalRegistry, built: Built, sealift: Sealift) -> None:
        """What the registry has is not sent again."""
        size = sum(path.stat().st_size for path in (built.layout / "blobs" / "sha256").iterdir())
        with Relay(registry.port, cut_after=size // 2) as relay:
            said = sealift("image", "push", f"{relay.address}/cut:one", "--image", built.layout)

            assert relay.cuts == 1
            assert relay.sent <= size + 2 * CHUNK + SLACK
        assert registry.manifest("cut", "one")[0] == said["digest"] == built.said["digest"]

    @pytest.mark.usefixtures("pushed")
    def test_goes_on_after_it_was_killed(
        self, registry: LocalRegistry, built: Built, sealift: Sealift
    ) -> None:
        """The tag comes last, so there is none; the same command then sends what is missing alone."""
        size = sum(path.stat().st_size for path in (built.layout / "blobs" / "sha256").iterdir())
        with Relay(registry.port, cut_after=size // 2) as relay:
            arguments = ("image", "push", f"{relay.address}/killed:one", "--image", built.layout)
            process = sealift.start(*arguments)
            while not relay.cuts and process.poll() is None:
                try:
                    process.wait(0.01)
                except subprocess.TimeoutExpired:
                    continue
            process.kill()
            process.communicate()
            first = relay.sent

            assert registry.tags("killed") == []
            sealift(*arguments)
            assert relay.sent - first <= size - size // 2 + 2 * CHUNK + SLACK
        assert registry.manifest("killed", "one")[0] == built.said["digest"]
