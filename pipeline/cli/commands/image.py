"""`sealift image`: make Sealift's own container image, without a container engine."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from pipeline import __version__, package_files, settings
from pipeline.cli.screen import Progress, Screen
from pipeline.image import base as bases
from pipeline.image import build as builds
from pipeline.image import contents, layout, registries
from pipeline.image.cache import BlobCache
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.cli.options import ImageBuildOptions, ImageOptions
    from pipeline.image.base import Reference
    from pipeline.image.blobs import Image
    from pipeline.image.contents import Contents
    from pipeline.image.registry import Registry

    Connect = Callable[[Reference], Registry]
    Gather = Callable[[str], Contents]

sleep: Final = time.sleep  # noqa: TID251 the command line is where time passes


def build(arguments: ImageBuildOptions) -> int:
    """Make the image, and lay it out where a folder is named."""
    return run_build(arguments, connect, gather)


def connect(reference: Reference) -> Registry:
    """Return the repository that a reference names, with patience."""
    return registries.connect(reference, sleep=sleep)


def gather(architecture: str) -> Contents:
    """Return what the image holds, its wheels from the user's cache."""
    return contents.gather(architecture, settings.cache() / "wheels")


def blobs() -> BlobCache:
    """Return where layers are kept."""
    return BlobCache(settings.cache() / "image")


def built(arguments: ImageOptions, connect: Connect, gather: Gather, screen: Screen) -> Image:
    """Return the image that is asked for: our layers lie in the cache, the base's where they were.

    Args:
        arguments: of the command line.
        connect: returns a repository.
        gather: returns what the image holds.
        screen: is told what is being done.

    Raises:
        SealiftError: a part was not built, or the base cannot be had.
    """
    reference = bases.parse(arguments.base or bases.DEFAULT)
    screen.hint("gathering what the image holds ...")
    held = gather(arguments.architecture)
    return builds.plain(
        connect(reference),
        reference,
        held,
        cache=blobs(),
        version=__version__,
        commit=package_files.commit(),
        tell=lambda text: screen.hint(f"{text} ..."),
    )


def run_build(arguments: ImageBuildOptions, connect: Connect, gather: Gather) -> int:
    """Build with a registry and contents.

    Args:
        arguments: of the command line.
        connect: returns a repository.
        gather: returns what the image holds.
    """
    screen = Screen.of(arguments)
    begun = time.monotonic()
    image = built(arguments, connect, gather, screen)
    tag = builds.tag(__version__, arguments.architecture)
    if arguments.output is not None:
        progress, total = Progress(screen, "laying it out"), sum(one.descriptor.size for one in image.layers)
        layout.write(
            image, arguments.output, tag, arguments.architecture, progress=lambda done: progress(done, total)
        )
    blobs().prune(time.time())
    if arguments.json:
        print(json.dumps(document(image, tag, arguments), indent=2))
        return 0
    tell(image, tag, screen)
    if arguments.architecture in contents.WITHOUT_SERVER:
        screen.say("without llama-server, which is built for x86_64 alone: Sealift's own server answers")
    where = f"in {arguments.output}" if arguments.output is not None else "its layers are kept for a push"
    screen.say(f"built in {time.monotonic() - begun:.1f} s, {where}")
    return 0


def document(image: Image, tag: str, arguments: ImageBuildOptions) -> dict[str, Any]:
    """Return what was built as a JSON object."""
    return {
        "tag": tag,
        "architecture": arguments.architecture,
        "digest": image.manifest.digest,
        "bytes": image.manifest.size,
        "layers": [
            {
                "digest": one.descriptor.digest,
                "diff_id": one.diff_id,
                "bytes": one.descriptor.size,
                "of": "base" if one.origin else "sealift",
            }
            for one in image.layers
        ],
        "output": None if arguments.output is None else str(arguments.output),
    }


def tell(image: Image, tag: str, screen: Screen) -> None:
    """Say what an image is made of."""
    screen.say(f"{tag}: {image.manifest.digest}")
    for layer in image.layers:
        of = "the base's" if layer.origin else "ours"
        screen.say(f"  {layer.descriptor.digest}  {layer.descriptor.size / MiB:8,.1f} MiB  {of}")
