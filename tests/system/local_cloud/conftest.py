"""One local cloud of true containers for all tests that want one: it takes longest to come up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system import local_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.local_up import Up


@pytest.fixture(scope="session")
def true_cloud() -> Iterator[Up]:
    """Yield a local cloud that runs true containers, with our image in its registry; skip the test where none can.

    Whoever takes it leaves no endpoint in it.
    """
    with local_up.running() as up:
        yield up
