"""The stack and its way through CloudFormation: staged as a change set, carried out, followed, deleted.

The same functions serve AWS and the local cloud, which differ in nothing that is decided here. Refuses to touch a stack
that CloudFormation would not let be changed, and says what to do about it; asks nobody (`pipeline.cli` does).
"""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from botocore.exceptions import ClientError

from pipeline import package_files, wheels
from pipeline.aws import resource_tags, service_errors, waiting
from pipeline.errors import InvalidInput, Problem, RequestRejected
from pipeline.settings import RESOURCE_TAGS
from pipeline.stack import budget, bundles, changes, code_bucket, template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_cloudformation import CloudFormationClient

    from pipeline.aws.clients import Clients
    from pipeline.stack.changes import Change

    Kind = Literal["CREATE", "UPDATE"]

CAPABILITIES: Final = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
"""It makes roles, and SAM's transform makes the stack of the template."""
LOOK_S: Final = 2.0
"""How long to wait between two looks at CloudFormation."""
PATIENCE_S: Final = 900
"""How long CloudFormation may take over a change set, which it makes in seconds."""
READY: Final = frozenset(
    {
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
    }
)
"""Statuses of a stack that stands."""
OUTPUTS: Final = frozenset({"ArtifactBucketName", "EndpointRoleArn", "StateMachineArn", "UploadBucketName"})
"""Outputs that every stack of Sealift's has, and that commands go by."""
UNUSED_CODE: Final = timedelta(days=1)
"""How long code stays that is deployed no more: somebody may be about to deploy it."""


@dataclass(frozen=True, slots=True)
class StackPlace:
    """Where a stack is or is to be."""

    account_id: str
    region: str
    partition: str = "aws"

    @property
    def bucket(self) -> code_bucket.Bucket:
        """The bucket for code."""
        return code_bucket.Bucket(self.account_id, self.region, self.partition)

    def __str__(self) -> str:
        return f"account {self.account_id}, {self.region}"


@dataclass(frozen=True, slots=True)
class StackEvent:
    """Something that happened to a resource of a stack, or to the stack itself."""

    id: str
    name: str
    """The logical id; the stack's own name when it is the stack."""
    type: str
    status: str
    reason: str
    of_stack: bool

    @property
    def failed(self) -> bool:
        """Whether it is a failure of its own, and not the end of something because of another's."""
        return self.status.endswith("_FAILED") and "cancelled" not in self.reason.lower()


@dataclass(frozen=True, slots=True)
class Staged:
    """A change set that waits to be carried out; with no changes there is none."""

    name: str
    stack_id: str
    change_set: str
    kind: Kind
    changes: tuple[Change, ...]
    fresh: bool
    """Whether the stack is there only because of this."""
    after: str
    """The newest event of the stack before it."""
    place: StackPlace
    keys: frozenset[str]
    """What of the bucket for code it uses."""

    @property
    def empty(self) -> bool:
        """Whether the stack is already what is wanted."""
        return not self.change_set


@dataclass(frozen=True, slots=True)
class Ended:
    """How it came out."""

    status: str
    reasons: tuple[str, ...] = ()
    """Why it failed, the first cause first."""

    @property
    def good(self) -> bool:
        """Whether what was wanted is there, or gone."""
        return self.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"}


def place(clients: Clients) -> StackPlace:
    """Return the account and the region of the clients."""
    caller = clients.sts.get_caller_identity()
    return StackPlace(caller["Account"], clients.cloudformation.meta.region_name, caller["Arn"].split(":")[1])


def ask(client: CloudFormationClient, name: str) -> Mapping[str, Any] | None:
    """Return a stack as DescribeStacks has it; None when there is none of that name, or no more."""
    try:
        found: Mapping[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if service_errors.is_no_such_stack(error):
            return None
        raise
    return None if found["StackStatus"] == "DELETE_COMPLETE" else found


def outputs(clients: Clients, name: str) -> dict[str, str]:
    """Return the outputs of a stack of Sealift's by name.

    Raises:
        InvalidInput: there is no such stack in this account and region.
    """
    return outputs_of(_ours(ask(clients.cloudformation, name), name))


def deployed(client: CloudFormationClient, name: str) -> Mapping[str, Any]:
    """Return a stack of Sealift's that stands, so that deployments can be made with it, as DescribeStacks has it.

    Raises:
        InvalidInput: there is no such stack in this account and region, or CloudFormation has not made it whole.
    """
    found = _ours(ask(client, name), name)
    status = found["StackStatus"]
    if status not in READY:
        under_way = status.endswith("_IN_PROGRESS")
        fix = (
            "wait until that has ended" if under_way else "`sealift deploy` puts it right, or says what does"
        )
        _refuse(name, "StackBusy" if under_way else "StackBroken", status, "a stack that stands", fix)
    return found


_MISSING: Final = "NoStack"


def is_missing(refusal: InvalidInput) -> bool:
    """Tell whether a stack is refused since there is none of its name, so that one can be made."""
    return [one.error for one in refusal.problems] == [_MISSING]


def _ours(found: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    if found is None or found["StackStatus"] == "REVIEW_IN_PROGRESS":
        seen = f"no stack {name!r} in this account and region"
        fix = "make it with `sealift deploy`, or check --stack, --profile and --region"
        raise InvalidInput("command line", [Problem(_MISSING, seen, "a stack that is deployed", fix)])
    if found["StackStatus"] in READY and (lacking := sorted(OUTPUTS - outputs_of(found).keys())):
        seen = f"the stack {name!r} has no output {', '.join(lacking)}"
        fix = "name Sealift's own with --stack, or bring it to this version with `sealift deploy`"
        raise InvalidInput("command line", [Problem("NotSealifts", seen, "a stack that Sealift made", fix)])
    return found


def outputs_of(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the outputs of a stack as DescribeStacks has it."""
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


# ----------------------------------------------------------------------------- staging


def stack_tags(found: Mapping[str, Any] | None, values: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a stack, which CloudFormation gives to its resources: those of its parameter, and others' own.

    Args:
        found: the stack as DescribeStacks has it; None for one that is yet to be made.
        values: of the template's parameters; those that are not here keep what they have.
    """
    parameters = {
        one["ParameterKey"]: one.get("ParameterValue", "") for one in (found or {}).get("Parameters", ())
    }
    before = parameters.get(RESOURCE_TAGS, "")
    old, new = resource_tags.pairs(before), resource_tags.pairs(values.get(RESOURCE_TAGS, before))
    there = {one["Key"]: one["Value"] for one in (found or {}).get("Tags", ())}
    return {key: value for key, value in there.items() if old.get(key) != value} | new


def _tagged(found: Mapping[str, Any] | None, values: Mapping[str, str]) -> dict[str, Any]:
    """Return a change set's Tags; nothing where nobody ever named any, so that a stack's tags stay as they are."""
    there = [one["Key"] for one in (found or {}).get("Tags", ())]
    wanted = stack_tags(found, values)
    return {"Tags": [{"Key": key, "Value": wanted[key]} for key in wanted]} if there or wanted else {}


def change_set_type(name: str, found: Mapping[str, Any] | None) -> Kind:
    """Return how a stack gets to what is wanted, by what there is.

    Args:
        name: the stack's name.
        found: the stack as DescribeStacks has it; None when there is none.

    Raises:
        InvalidInput: for one that CloudFormation does not let be changed, with the way out.
    """
    status = found["StackStatus"] if found else "REVIEW_IN_PROGRESS"
    if status == "REVIEW_IN_PROGRESS":
        # Only a change set was made of it; nothing else is there.
        return "CREATE"
    if status.endswith("_IN_PROGRESS"):
        fix = "wait until that has ended, then run this again; the console of CloudFormation shows it"
        _refuse(name, "StackBusy", status, "a stack that nobody is changing", fix)
    if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}:
        fix = f"run `sealift destroy --stack {name}`, which keeps its archives, then this again"
        wanted = "a stack that was made; one that never was, or is half deleted, can only be deleted"
        _refuse(name, "StackBroken", status, wanted, fix)
    if status == "UPDATE_ROLLBACK_FAILED":
        fix = f"`aws cloudformation continue-update-rollback --stack-name {name}`, then run this again"
        _refuse(name, "StackBroken", status, "a stack that is as it was before its last change", fix)
    if status == "UPDATE_FAILED":
        fix = f"`aws cloudformation rollback-stack --stack-name {name}`, then run this again"
        _refuse(name, "StackBroken", status, "a stack that is as it was before its last change", fix)
    return "UPDATE"


def _refuse(name: str, error: str, status: str, wanted: str, fix: str) -> None:
    raise InvalidInput(f"stack {name}", [Problem(error, f"it is {status}", wanted, fix)])


def stage(
    clients: Clients,
    *,
    name: str,
    source: dict[str, Any],
    libraries: Callable[[], Mapping[str, bytes]],
    values: Mapping[str, str],
    progress: Callable[[int, int], None],
    every_s: float = LOOK_S,
    level: int = bundles.SMALLEST,
) -> Staged:
    """Upload the code and return the change set that makes the stack what the template says.

    Args:
        clients: of the account.
        name: the stack's name.
        source: the template as loaded.
        libraries: returns what travels with the tasks; asked only when nothing else is in the way.
        values: of the template's parameters; those that are not here keep what they have.
        progress: takes the bytes that were uploaded, and how many there are to upload.
        every_s: between two looks at the change set.
        level: of deflate.

    Raises:
        InvalidInput: the stack cannot be changed now, or a parameter is wrong.
        RequestRejected: CloudFormation does not take the template.
    """
    found = ask(clients.cloudformation, name)
    kind = change_set_type(name, found)
    known = (found or {}).get("Parameters", ()) if kind == "UPDATE" else ()
    before = {one["ParameterKey"]: one.get("ParameterValue", "") for one in known}
    chosen = template.parameters(source, values, before)
    source = budget.in_force(source, before, values)
    codes = bundles.packages(source, libraries(), level=level)
    here = place(clients)
    code_bucket.ensure(clients.s3, here.bucket)
    keys = code_bucket.upload(clients.s3, here.bucket, name, codes, progress)
    definition = json.loads(package_files.definition().read_text(encoding="utf-8"))
    body = template.body(template.resolve(source, bucket=here.bucket.name, keys=keys, definition=definition))
    where: dict[str, Any] = {"TemplateBody": body}
    if len(body.encode()) > template.LARGEST_BODY:
        where = {"TemplateURL": code_bucket.put_template(clients.s3, here.bucket, name, body)}
    made = clients.cloudformation.create_change_set(
        StackName=name,
        ChangeSetName=f"sealift-{uuid.uuid4().hex[:12]}",
        ChangeSetType=kind,
        Parameters=chosen,  # type: ignore[arg-type]
        Capabilities=list(CAPABILITIES),
        Description="Made by sealift deploy",
        **_tagged(found if kind == "UPDATE" else None, values),
        **where,
    )
    staged = Staged(
        name=name,
        stack_id=made["StackId"],
        change_set=made["Id"],
        kind=kind,
        changes=(),
        fresh=found is None,
        after=_newest(clients.cloudformation, made["StackId"]),
        place=here,
        keys=frozenset(keys.values()),
    )
    return _settled(clients.cloudformation, staged, every_s)


def _settled(client: CloudFormationClient, staged: Staged, every_s: float) -> Staged:
    """Wait until CloudFormation has made the change set; return it with what it would do."""
    which: dict[str, Any] = {"ChangeSetName": staged.change_set, "StackName": staged.stack_id}
    ended = waiting.wait(client, "change_set_create_complete", every_s=every_s, most_s=PATIENCE_S, **which)
    if ended is None:
        pages = client.get_paginator("describe_change_set").paginate(**which)
        return replace(
            staged, changes=changes.read([one for page in pages for one in page.get("Changes", ())])
        )
    status, reason = ended["Status"], str(ended.get("StatusReason") or "")
    if status != "FAILED":
        fix = "look at it in the console of CloudFormation, then run this again"
        problem = Problem(
            "ChangeSetSlow", f"it is {status} after {PATIENCE_S} s", "a change set that is made", fix
        )
        raise InvalidInput(f"change set {staged.change_set}", [problem])
    discard(client, staged)
    if service_errors.says_no_changes(reason):
        return replace(staged, change_set="")
    wanted, fix = "a template that CloudFormation takes", "correct what the message names"
    raise RequestRejected(f"stack {staged.name}", [Problem("ChangeSetFailed", reason or status, wanted, fix)])


def discard(client: CloudFormationClient, staged: Staged) -> None:
    """Delete a change set that is not to be carried out, and the empty stack that it made."""
    client.delete_change_set(ChangeSetName=staged.change_set, StackName=staged.stack_id)
    if staged.fresh:
        client.delete_stack(StackName=staged.stack_id)


# ---------------------------------------------------------------------------- carrying out


def execute(
    clients: Clients,
    staged: Staged,
    *,
    on_event: Callable[[StackEvent], None],
    sleep: Callable[[float], None],
) -> Ended:
    """Carry a change set out, tell what happens, and return how it ended."""
    clients.cloudformation.execute_change_set(ChangeSetName=staged.change_set, StackName=staged.stack_id)
    ended = watch(clients.cloudformation, staged.stack_id, after=staged.after, on_event=on_event, sleep=sleep)
    if ended.good:
        before = datetime.now(UTC) - UNUSED_CODE
        code_bucket.prune(clients.s3, staged.place.bucket, staged.name, keep=staged.keys, older_than=before)
    return ended


def delete(
    client: CloudFormationClient,
    found: Mapping[str, Any],
    *,
    on_event: Callable[[StackEvent], None],
    sleep: Callable[[float], None],
) -> Ended:
    """Delete a stack, tell what happens, and return how it ended; one that is being deleted already is followed."""
    stack_id = found["StackId"]
    after = _newest(client, stack_id)
    client.delete_stack(StackName=stack_id)
    return watch(client, stack_id, after=after, on_event=on_event, sleep=sleep)


def watch(
    client: CloudFormationClient,
    stack_id: str,
    *,
    after: str,
    on_event: Callable[[StackEvent], None],
    sleep: Callable[[float], None],
) -> Ended:
    """Report the events of a stack until its operation ends; return how.

    No waiter of botocore's: those are silent until the end, and know no reason.

    Args:
        client: of CloudFormation.
        stack_id: its ARN: a stack that is deleted has its events by no other name.
        after: the event before the first that is of interest.
        on_event: takes each event, the oldest first.
        sleep: waits between two looks.
    """
    reasons: list[str] = []
    while True:
        for event in reversed(list(_events(client, stack_id, after))):
            after = event.id
            on_event(event)
            if event.failed and event.reason and not event.of_stack:
                reasons.append(f"{event.name}: {event.reason}")
            if event.of_stack and not event.status.endswith("_IN_PROGRESS"):
                return Ended(event.status, tuple(reasons) or ((event.reason,) if event.reason else ()))
        sleep(LOOK_S)


def _events(client: CloudFormationClient, stack_id: str, after: str) -> Iterator[StackEvent]:
    """Yield the events of a stack since one of them, the newest first."""
    for page in client.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for one in page["StackEvents"]:
            if one["EventId"] == after:
                return
            yield StackEvent(
                id=one["EventId"],
                name=one.get("LogicalResourceId", ""),
                type=one.get("ResourceType", ""),
                status=one.get("ResourceStatus", ""),
                reason=one.get("ResourceStatusReason") or "",
                of_stack=one.get("PhysicalResourceId") == stack_id,
            )


def _newest(client: CloudFormationClient, stack_id: str) -> str:
    return next((event.id for event in _events(client, stack_id, "")), "")


def _lay_out(top: Path) -> None:
    """Write the Lambdas' own code as files, where the template's CodeUris point for `sam deploy`.

    Beside each folder stands the lock of the libraries that belong into it, ``.build/lambda.lock``.
    """
    source, lock = template.load(package_files.template()), package_files.lock().read_text(encoding="utf-8")
    needed = bundles.libraries_of(source)
    for folder, files in bundles.folders(source).items():
        if (top / folder).exists():
            shutil.rmtree(top / folder)
        for name, content in files.items():
            path = top / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (top / f"{folder}.lock").write_text(wheels.part(lock, needed[folder]), encoding="utf-8")


if __name__ == "__main__":
    _lay_out(Path(sys.argv[1]))
