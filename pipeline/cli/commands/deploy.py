"""`sealift deploy`: makes the stack what this version of Sealift has as its template, after saying what that changes.

Owns the order: look, package, upload, show, ask, carry out, follow; then Sealift's own image into the stack's
repository, where it is not there. Refuses to ask where nobody can answer. A dry run uploads the code, since
CloudFormation looks at it, and leaves the stack as it is.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from pipeline import package_files, settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli import asking, stack_image
from pipeline.cli.commands import image
from pipeline.cli.endings import misuse
from pipeline.cli.options import ImagePushOptions
from pipeline.cli.screen import Progress, Screen
from pipeline.sizing import images
from pipeline.stack import bundles, change_sets, changes, template, wheels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.cli.options import DeployOptions
    from pipeline.cli.stack_image import StackImage
    from pipeline.image.push import Pushed
    from pipeline.stack.change_sets import StackEvent, Staged

    Push = Callable[[str, Screen], Pushed]
    """Builds the image and brings it into a repository."""

sleep = time.sleep  # noqa: TID251 the command line is where time passes

VERB_WIDTH = 9


def deploy(arguments: DeployOptions) -> int:
    """Deploy the stack, and print its outputs."""
    source = template.load(package_files.template())

    def libraries() -> dict[str, bytes]:
        cache = settings.cache() / "wheels"
        return wheels.libraries(package_files.lock(), wheels.platform(source), cache)

    clients = Clients(region=settings.region())

    def push(repository: str, screen: Screen) -> Pushed:
        asked = ImagePushOptions(repository=repository)
        return image.pushed(asked, image.connect, image.gather, clients, screen)

    return run(arguments, clients, source, libraries, push)


def run(
    arguments: DeployOptions,
    clients: Clients,
    source: dict[str, Any],
    libraries: Callable[[], Mapping[str, bytes]],
    push: Push,
    *,
    level: int = bundles.SMALLEST,
) -> int:
    """Deploy with the clients of an account.

    Args:
        arguments: of the command line.
        clients: of the account.
        source: the template as loaded.
        libraries: returns what travels with the tasks.
        push: builds Sealift's own image and brings it into a repository.
        level: of deflate.
    """
    name = arguments.stack or settings.STACK
    with misuse():
        values = template.given(arguments.parameter)
    if not arguments.dry_run:
        asking.must_be_asked("deploy", yes=arguments.yes, json=arguments.json)
    screen = Screen.of(arguments)
    with service_errors.translated():
        screen.hint("packaging the functions ...")
        staged = change_sets.stage(
            clients,
            name=name,
            source=source,
            libraries=libraries,
            values=values,
            progress=Progress(screen, "uploading code"),
            level=level,
        )
        if staged.empty:
            screen.say(f"{name} in {staged.place}: unchanged")
            return _stands(staged, clients, push, arguments, screen, status="unchanged")
        show(staged, screen)
        if arguments.dry_run:
            change_sets.discard(clients.cloudformation, staged)
            screen.say("nothing was deployed: this was a dry run")
            return _concluded("planned", staged, {}, arguments, screen)
        if not _agreed(staged, clients, arguments):
            screen.say("nothing was deployed")
            return 1
        return _execute(staged, clients, push, arguments, screen)


def _agreed(staged: Staged, clients: Clients, arguments: DeployOptions) -> bool:
    """Ask; any answer but yes, also an interruption, leaves nothing behind."""
    lost = [one for one in staged.changes if one.lost]
    question = "Deploy this, AND LOSE WHAT IT SAYS?" if lost else "Deploy this?"
    answer = False
    try:
        answer = asking.agreed(question, yes=arguments.yes)
    finally:
        if not answer:
            change_sets.discard(clients.cloudformation, staged)
    return answer


def _execute(staged: Staged, clients: Clients, push: Push, arguments: DeployOptions, screen: Screen) -> int:
    begun = time.monotonic()
    try:
        ended = change_sets.execute(
            clients, staged, on_event=StackProgress(screen, len(staged.changes)), sleep=sleep
        )
    except KeyboardInterrupt:
        screen.say(
            f"CloudFormation continues with {staged.name}; run `sealift deploy` again to see what is left"
        )
        raise
    screen.say()
    if not ended.good:
        screen.say(f"{staged.name} in {staged.place}: {ended.status}")
        for reason in ended.reasons:
            screen.say(f"  {reason}")
        if staged.kind == "CREATE":
            screen.say(f"correct that, then `sealift destroy --stack {staged.name}` and deploy again")
        else:
            screen.say("everything is as it was before; correct that, then deploy again")
        return _concluded("failed", staged, {}, arguments, screen, reasons=ended.reasons)
    screen.say(f"{staged.name} in {staged.place}: deployed in {time.monotonic() - begun:.0f} s")
    return _stands(staged, clients, push, arguments, screen, status="deployed")


def _stands(
    staged: Staged, clients: Clients, push: Push, arguments: DeployOptions, screen: Screen, *, status: str
) -> int:
    """See to the image of a stack that stands, and conclude."""
    found = change_sets.deployed(clients.cloudformation, staged.name)
    outputs = change_sets.outputs_of(found)
    seen = None
    if repository := not arguments.no_image and outputs.get("ImageRepository"):
        command = f"{images.PUSH} --stack {staged.name}" if arguments.stack else images.PUSH
        seen = stack_image.see_to(clients, repository, lambda: push(repository, screen), command)
        screen.clear()
        screen.say(seen.text)
        if idle := stack_image.idle(found.get("Parameters", ())):
            screen.say(idle)
    return _concluded(status, staged, outputs, arguments, screen, image=seen)


def show(staged: Staged, screen: Screen) -> None:
    """Say in plain words what would change."""
    what = "a new stack" if staged.kind == "CREATE" else "the stack is there"
    screen.say(f"{staged.name} in {staged.place}: {what}, {changes.counts(staged.changes) or 'new settings'}")
    for verb, line in changes.lines(staged.changes):
        screen.item(f"  {verb:<{VERB_WIDTH}}", line)


class StackProgress:
    """Draws the events of a stack: a line for each resource that is done, and a passing one for what is at work.

    Args:
        screen: where to draw.
        total: how many resources there are to do.
    """

    def __init__(self, screen: Screen, total: int) -> None:
        self._screen = screen
        self._total = total
        self._done: set[str] = set()

    def __call__(self, event: StackEvent) -> None:
        """Draw one event."""
        if event.of_stack:
            return
        noun = changes.NOUNS.get(event.type, event.type)
        if event.status.endswith("_COMPLETE"):
            self._done.add(event.name)
            verb = {"CREATE_COMPLETE": "made", "UPDATE_COMPLETE": "changed", "DELETE_COMPLETE": "deleted"}
            self._screen.step(
                f"  {verb.get(event.status, event.status.lower()):<{VERB_WIDTH}}{noun} {event.name}"
            )
        elif event.status.endswith("_FAILED"):
            self._screen.say(f"  {'FAILED':<{VERB_WIDTH}}{noun} {event.name}: {event.reason}")
        elif event.status == "DELETE_SKIPPED":
            self._screen.say(f"  {'kept':<{VERB_WIDTH}}{noun} {event.name}")
        else:
            self._screen.hint(f"  {len(self._done)} of {self._total}: {noun} {event.name} ...")


def _concluded(
    status: str,
    staged: Staged,
    outputs: Mapping[str, str],
    arguments: DeployOptions,
    screen: Screen,
    *,
    reasons: Sequence[str] = (),
    image: StackImage | None = None,
) -> int:
    # The stack stands whatever became of the image; that not all is there which was wanted is told all the same.
    failed = status == "failed" or (image is not None and not image.there)
    if arguments.json:
        document = {
            "stack": staged.name,
            "account_id": staged.place.account_id,
            "region": staged.place.region,
            "status": status,
            "changes": [one.to_json() for one in staged.changes],
            "outputs": dict(outputs),
            "image": image.to_json() if image else None,
            "reasons": list(reasons),
        }
        print(json.dumps(document, indent=2))
        return 1 if failed else 0
    width = max(map(len, outputs), default=0)
    for name, value in outputs.items():
        screen.say(f"  {name:<{width}}  {value}")
    if bucket := outputs.get("UploadBucketName"):
        screen.say(f"deploy a model: upload it as s3://{bucket}/models/SERVICE/model.tar.gz")
    return 1 if failed else 0
