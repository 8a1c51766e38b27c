"""`sealift deploy`: makes the stack what this version of Sealift has as its template, after saying what that changes.

Owns the order: look, package, upload, show, ask, carry out, follow; then Sealift's own image into the stack's
repository, where it is not there. Refuses to ask where nobody can answer. A dry run uploads the code, since
CloudFormation looks at it, and leaves the stack as it is.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class StackOutcome:
    """What came of it."""

    status: str
    """unchanged, planned, declined, deployed or failed."""
    staged: Staged
    outputs: Mapping[str, str] = field(default_factory=dict)
    reasons: Sequence[str] = ()
    image: StackImage | None = None

    @property
    def stands(self) -> bool:
        """Whether the stack is as it was wanted."""
        return self.status in {"unchanged", "deployed"}

    @property
    def good(self) -> bool:
        """Whether all is there that was wanted: the stack stands whatever became of the image, which is told."""
        return (self.stands or self.status == "planned") and (self.image is None or self.image.there)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "stack": self.staged.name,
            "account_id": self.staged.place.account_id,
            "region": self.staged.place.region,
            "status": self.status,
            "changes": [one.to_json() for one in self.staged.changes],
            "outputs": dict(self.outputs),
            "image": self.image.to_json() if self.image else None,
            "reasons": list(self.reasons),
        }


def deploy(arguments: DeployOptions) -> int:
    """Deploy the stack, and print its outputs."""
    screen = Screen.of(arguments)
    return concluded(made(arguments, Clients(region=settings.region()), screen), arguments, screen)


def made(arguments: DeployOptions, clients: Clients, screen: Screen, *, brief: bool = False) -> StackOutcome:
    """Make the stack of this version of Sealift, after a yes; return what came of it. Takes what `made_of` does."""
    source = template.load(package_files.template())

    def libraries() -> dict[str, bytes]:
        cache = settings.cache() / "wheels"
        return wheels.libraries(package_files.lock(), wheels.platform(source), cache)

    def push(repository: str, screen: Screen) -> Pushed:
        asked = ImagePushOptions(repository=repository)
        return image.pushed(asked, image.connect, image.gather, clients, screen)

    return made_of(arguments, clients, source, libraries, push, screen=screen, brief=brief)


def run(
    arguments: DeployOptions,
    clients: Clients,
    source: dict[str, Any],
    libraries: Callable[[], Mapping[str, bytes]],
    push: Push,
    *,
    level: int = bundles.SMALLEST,
) -> int:
    """Deploy with the clients of an account, and print the outputs; takes what `made_of` does."""
    screen = Screen.of(arguments)
    outcome = made_of(arguments, clients, source, libraries, push, screen=screen, level=level)
    return concluded(outcome, arguments, screen)


def made_of(
    arguments: DeployOptions,
    clients: Clients,
    source: dict[str, Any],
    libraries: Callable[[], Mapping[str, bytes]],
    push: Push,
    *,
    screen: Screen,
    level: int = bundles.SMALLEST,
    brief: bool = False,
) -> StackOutcome:
    """Return what came of deploying a template.

    Args:
        arguments: of the command line.
        clients: of the account.
        source: the template as loaded.
        libraries: returns what travels with the tasks.
        push: builds Sealift's own image and brings it into a repository.
        screen: where it is told.
        level: of deflate.
        brief: whether of a new stack only the sum is told, and not each of its resources.
    """
    name = arguments.stack or settings.STACK
    with misuse():
        values = template.given(arguments.parameter)
    if not arguments.dry_run:
        asking.must_be_asked("deploy", yes=arguments.yes, json=arguments.json)
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
        brief = brief and staged.kind == "CREATE"
        show(staged, screen, brief=brief)
        if arguments.dry_run:
            change_sets.discard(clients.cloudformation, staged)
            screen.say("nothing was deployed: this was a dry run")
            return StackOutcome("planned", staged)
        if not _agreed(staged, clients, arguments):
            screen.say("nothing was deployed")
            return StackOutcome("declined", staged)
        return _execute(staged, clients, push, arguments, screen, brief=brief)


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


def _execute(
    staged: Staged, clients: Clients, push: Push, arguments: DeployOptions, screen: Screen, *, brief: bool
) -> StackOutcome:
    begun = time.monotonic()
    progress = StackProgress(screen, len(staged.changes), brief=brief)
    try:
        ended = change_sets.execute(clients, staged, on_event=progress, sleep=sleep)
    except KeyboardInterrupt:
        screen.say(
            f"CloudFormation continues with {staged.name}; run `sealift deploy` again to see what is left"
        )
        raise
    if not brief:
        screen.say()
    if not ended.good:
        screen.say(f"{staged.name} in {staged.place}: {ended.status}")
        for reason in ended.reasons:
            screen.say(f"  {reason}")
        if staged.kind == "CREATE":
            screen.say(f"correct that, then `sealift destroy --stack {staged.name}` and deploy again")
        else:
            screen.say("everything is as it was before; correct that, then deploy again")
        return StackOutcome("failed", staged, reasons=ended.reasons)
    screen.say(f"{staged.name} in {staged.place}: deployed in {time.monotonic() - begun:.0f} s")
    return _stands(staged, clients, push, arguments, screen, status="deployed")


def _stands(
    staged: Staged, clients: Clients, push: Push, arguments: DeployOptions, screen: Screen, *, status: str
) -> StackOutcome:
    """See to the image of a stack that stands."""
    found = change_sets.deployed(clients.cloudformation, staged.name)
    outputs = change_sets.outputs_of(found)
    seen = None
    if repository := not arguments.no_image and outputs.get("ImageRepository"):
        command = f"{images.PUSH} --stack {staged.name}" if arguments.stack else images.PUSH
        seen = stack_image.see_to(clients, repository, lambda: push(repository, screen), command)
        screen.clear()
        for line in seen.text.splitlines():
            screen.say(line)
        if idle := stack_image.idle(found.get("Parameters", ())):
            screen.say(idle)
    return StackOutcome(status, staged, outputs, image=seen)


def show(staged: Staged, screen: Screen, *, brief: bool = False) -> None:
    """Say in plain words what would change; of a brief one only the sum."""
    what = "a new stack" if staged.kind == "CREATE" else "the stack is there"
    said = f"{staged.name} in {staged.place}: {what}, {changes.counts(staged.changes) or 'new settings'}"
    if brief:
        screen.say(f"{said} (`sealift deploy --dry-run` lists them)")
        return
    screen.say(said)
    for verb, line in changes.lines(staged.changes):
        screen.item(f"  {verb:<{VERB_WIDTH}}", line)


class StackProgress:
    """Draws the events of a stack: a line for each resource that is done, and a passing one for what is at work.

    Args:
        screen: where to draw.
        total: how many resources there are to do.
        brief: whether what is done passes, too.
    """

    def __init__(self, screen: Screen, total: int, *, brief: bool = False) -> None:
        self._screen = screen
        self._brief = brief
        self._total = total
        self._done: set[str] = set()

    def __call__(self, event: StackEvent) -> None:
        """Draw one event."""
        if event.of_stack:
            return
        noun = changes.NOUNS.get(event.type, event.type)
        if event.status.endswith("_COMPLETE"):
            self._done.add(event.name)
            if self._brief:
                self._screen.hint(f"  {len(self._done)} of {self._total}: {noun} {event.name}")
                return
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


def concluded(outcome: StackOutcome, arguments: DeployOptions, screen: Screen) -> int:
    """Print the outputs, or the document of it all; return the exit status."""
    status = 0 if outcome.good else 1
    if arguments.json:
        print(json.dumps(outcome.to_json(), indent=2))
        return status
    width = max(map(len, outcome.outputs), default=0)
    for name, value in outcome.outputs.items():
        screen.say(f"  {name:<{width}}  {value}")
    if outcome.outputs:
        screen.say("deploy a model: `sealift push MODEL.gguf --service SERVICE`")
    return status
