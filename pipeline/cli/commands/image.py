"""`sealift image`: make Sealift's own container image and bring it into a registry, without a container engine."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from pipeline import __version__, package_files, settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli.endings import misuse
from pipeline.cli.screen import Progress, Screen
from pipeline.errors import InvalidInput, Problem
from pipeline.image import base as bases
from pipeline.image import build as builds
from pipeline.image import configuration, contents, ecr, layout, manifest, registries
from pipeline.image import push as pushes
from pipeline.image.cache import BlobCache
from pipeline.image.unfinished import UploadFiles
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.cli.options import ImageBuildOptions, ImageOptions, ImagePushOptions
    from pipeline.image.base import Reference
    from pipeline.image.blobs import Image
    from pipeline.image.contents import ImageContents
    from pipeline.image.push import Pushed
    from pipeline.image.registry import Registry

    Connect = Callable[[Reference], Registry]
    Gather = Callable[[str], ImageContents]

OUTPUT: Final = "ImageRepository"
"""The stack's output that names its repository."""
_KINDS: Final = {"base": "the base's", "layer": "a layer", "configuration": "the configuration"}
sleep: Final = time.sleep  # noqa: TID251 the command line is where time passes


def build(arguments: ImageBuildOptions) -> int:
    """Make the image, and lay it out where a folder is named."""
    return run_build(arguments, connect, gather)


def connect(reference: Reference) -> Registry:
    """Return the repository that a reference names, with patience."""
    return registries.connect(reference, sleep=sleep, unfinished=uploads())


def uploads() -> UploadFiles:
    """Return where uploads are remembered that were cut off."""
    return UploadFiles(settings.cache() / "image-uploads")


def gather(architecture: str) -> ImageContents:
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
        now=time.time(),
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
    where = f"in {arguments.output}" if arguments.output is not None else "its layers are kept for a push"
    screen.say(f"built in {time.monotonic() - begun:.1f} s, {where}")
    return 0


def push(arguments: ImagePushOptions) -> int:
    """Build the image, or read it where it was laid out, and bring what is missing of it into a registry."""
    with service_errors.translated():
        return run_push(arguments, connect, gather, Clients(region=settings.region()))


def run_push(arguments: ImagePushOptions, connect: Connect, gather: Gather, clients: Clients) -> int:
    """Push with registries, contents and an account.

    Args:
        arguments: of the command line.
        connect: returns a repository.
        gather: returns what the image holds.
        clients: of the account; asked nothing where the registry is nobody's of AWS.
    """
    screen = Screen.of(arguments)
    begun = time.monotonic()
    done = pushed(arguments, connect, gather, clients, screen)
    seconds = time.monotonic() - begun
    if arguments.json:
        print(json.dumps({**done.to_json(), "seconds": round(seconds, 3)}, indent=2))
        return 0
    screen.clear()
    tell_pushed(done, seconds, screen)
    return 0


def pushed(
    arguments: ImagePushOptions, connect: Connect, gather: Gather, clients: Clients, screen: Screen
) -> Pushed:
    """Push as `run_push` does, and return what was sent, or would be; takes what that does.

    Args:
        arguments: of the command line.
        connect: returns a repository.
        gather: returns what the image holds.
        clients: of the account.
        screen: is told what is being done.
    """
    target = _target(arguments, clients)
    if ecr.host(target.host) is not None:
        account = clients.sts.get_caller_identity()["Account"]
        registries.check_owner(target, account, settings.region())
    folder = arguments.image
    image = built(arguments, connect, gather, screen) if folder is None else layout.read(folder)
    tag = target.tag or builds.tag(__version__, _architecture(image))
    screen.hint(f"asking {target.host} what is there ...")
    progress = Progress(screen, "pushing")
    done = pushes.push(image, connect(target), tag, progress=progress, dry_run=arguments.dry_run)
    blobs().prune(time.time())
    uploads().prune(time.time())
    return done


def _target(arguments: ImagePushOptions, clients: Clients) -> Reference:
    """Return where the image is to go, its tag empty where the default is meant.

    Raises:
        Misuse: the command line names no place, or two tags, or a digest.
        InvalidInput: the stack has no repository.
    """
    where = "REPOSITORY"
    named = arguments.repository
    if named is None:
        # Who names a registry waits for nothing that looks at stacks.
        from pipeline.cli import preflight

        stack = preflight.find_stack(clients, arguments.stack or settings.STACK)
        named = stack.outputs.get(OUTPUT)
        if not named:
            fix = "name a repository, or bring the stack to this version with `sealift deploy`"
            problem = Problem("NoRepository", f"no output {OUTPUT}", "a stack with a repository", fix)
            raise InvalidInput(f"stack {arguments.stack or settings.STACK}", [problem])
    with misuse():
        found = bases.parse(named, where)
        if found.digest:
            fix = "leave the digest out: what is pushed has its own"
            raise InvalidInput(where, [Problem("Digest", named, "HOST/REPOSITORY[:TAG]", fix)])
        if found.tag and arguments.tag not in {None, found.tag}:
            seen = f"the tag {found.tag!r} and --tag {arguments.tag!r}"
            raise InvalidInput(where, [Problem("TwoTags", seen, "one tag", "leave one of them out")])
        if arguments.tag is not None:
            found = bases.parse(f"{found.host}/{found.repository}:{arguments.tag}", "--tag")
    return found


def _architecture(image: Image) -> str:
    """Return the machine that an image is for, as tags call it."""
    named = configuration.read(image.config, "the image").architecture
    return {other: ours for ours, other in manifest.ARCHITECTURES.items()}.get(named, named)


def tell_pushed(done: Pushed, seconds: float, screen: Screen) -> None:
    """Say what was sent, or would be."""
    made = done.plan
    for one in made.transfers:
        screen.step(f"  {one.blob.digest}  {one.blob.size / MiB:8,.1f} MiB  {_KINDS[one.kind]}")
    size, there = f"{made.size / MiB:,.1f} MiB", f"{made.present / MiB:,.1f} MiB are there"
    if made.tagged:
        screen.say(f"{done.repository}:{made.tag} is this image already: nothing was sent")
    elif done.dry_run:
        screen.say(f"would send {size} to {done.repository}:{made.tag}; {there}")
    else:
        mounted = f", {done.mounted / MiB:,.1f} MiB of it taken over from another repository" * bool(
            done.mounted
        )
        screen.say(f"pushed {size} to {done.repository}:{made.tag} in {seconds:.1f} s{mounted}; {there}")
    if made.replaces:
        screen.say(f"the tag {'names now' if done.dry_run else 'named until now'}: {made.replaces}")
    screen.say(f"the image: {done.reference}")


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
