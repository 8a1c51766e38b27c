"""Our own image, built here on a base of Debian's packages, for tests that run it."""

from __future__ import annotations

import os
import time

import pytest

from pipeline import __version__
from pipeline.errors import SealiftError
from pipeline.image import build as builds
from pipeline.image import configuration, contents, layout
from pipeline.image.base import Base
from pipeline.image.cache import BlobCache
from tests import ways
from tests.pushed import Image
from tools.image_test import base, tools

NAME = "127.0.0.1/python"
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}
"""What images call the machine's."""


def built() -> Image:
    """Return it; skip the test where it cannot be built, or no container of it can run.

    Its layers stay in the cache of these tests, and are written again where what is in them has changed.
    """
    ways.runtime()
    below = layout.read(base.layout())
    read = configuration.read(below.config, NAME)
    found = Base(f"{NAME}:{base.TAG}", below.manifest.digest, below.manifest, read, below.layers)
    cache = BlobCache(tools.CACHE / "layers")
    try:
        held = contents.gather(ARCHITECTURES[os.uname().machine], tools.CACHE / "wheels")
    except SealiftError as error:
        pytest.skip(f"no image of our own here: {error}")
    parts = tuple(builds.write(part, cache, time.time()) for part in held.parts)
    made = builds.assemble(found, parts, packages=dict(held.packages), version=__version__, commit="")
    return Image(made.config, tuple(one.open().read() for one in made.layers), made.manifest.media_type)
