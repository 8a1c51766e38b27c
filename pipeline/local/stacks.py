"""CloudFormation's change sets and transforms, of which moto has little more than the shape; all of it is here.

* A change set knows no transform. SAM's is carried out by whoever is given to `install`, with the parameters' values.
* What it would change is told by type and action alone. Here also by property, and whether it replaces.
* Carried out, a new stack has no outputs, and what fails is an exception. Here it ends as in AWS.
* A template in S3 is looked for at amazonaws.com. Here it is where its URL says.
* Every template is read as YAML, several times, which takes longer than all else. Here as JSON, where it is.
* An update of what moto cannot update loses the resource. Here it stays as it was.

What is made is made at once: whoever asks for the events after ExecuteChangeSet finds all of them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from moto.cloudformation import parsing, responses
from moto.cloudformation.models import ChangeSet, CloudFormationBackend, Event, Stack
from moto.s3.models import s3_backends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_create_change_set = CloudFormationBackend.create_change_set
_delete_stack = CloudFormationBackend.delete_stack
_parse = Stack.parse_template
_update = parsing.parse_and_update_resource


def install(
    *,
    translate: Callable[[dict[str, Any], Mapping[str, str]], dict[str, Any]],
    made: Callable[[str, dict[str, Any]], None],
) -> None:
    """Let change sets work as in AWS.

    Args:
        translate: returns the CloudFormation template of a SAM template and its parameters' values.
        made: told of every stack that was made or changed: its name, and the template as it was sent.
    """

    def create(backend: CloudFormationBackend, **request: Any) -> tuple[str, str]:
        # Only a change set was ever made of it: moto would keep both.
        for stack in [one for one in backend.stacks.values() if one.name == request["stack_name"]]:
            if stack.status == "REVIEW_IN_PROGRESS":
                del backend.stacks[stack.stack_id]
        # The translator works on what it is given.
        sent, translated = (
            _parsed(request["template"]),
            translate(_parsed(request["template"]), request["parameters"]),
        )
        request["template"] = json.dumps(translated)
        change_set_id, stack_id = _create_change_set(backend, **request)
        change_set = backend.change_sets[change_set_id]
        change_set.sent = sent
        _judge(change_set, translated)
        return change_set_id, stack_id

    def execute(backend: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
        del stack_name  # the change set's ARN says it
        change_set = backend.describe_change_set(change_set_name)
        if change_set is None or change_set.execution_status != "AVAILABLE":
            raise responses.ValidationError(change_set_name)
        change_set.execution_status = "EXECUTE_COMPLETE"
        stack = backend.stacks[change_set.stack_id]
        if _carried_out(stack, change_set):
            made(stack.name, change_set.sent)

    def delete(backend: CloudFormationBackend, name_or_stack_id: str) -> None:
        for stack in [one for one in backend.stacks.values() if name_or_stack_id in {one.name, one.stack_id}]:
            going, known = _physical_ids(stack), stack.template_dict.get("Resources", {})
            _delete_stack(backend, stack.stack_id)
            for name, physical in going.items():
                kept = known.get(name, {}).get("DeletionPolicy") == "Retain"
                status = "DELETE_SKIPPED" if kept else "DELETE_COMPLETE"
                stack.events.insert(-1, _happened(stack, name, status, physical))

    responses.get_stack_from_s3_url = _from_s3
    CloudFormationBackend.create_change_set = create
    CloudFormationBackend.execute_change_set = execute
    CloudFormationBackend.delete_stack = delete
    Stack.parse_template = staticmethod(_parsed)
    ChangeSet._parse_template = _parse_change_set  # noqa: SLF001 moto has no other way in
    parsing.parse_and_update_resource = _updated


def _judge(change_set: ChangeSet, translated: Mapping[str, Any]) -> None:
    """Say what a change set would change, and whether there is anything to carry out."""
    update = change_set.change_set_type == "UPDATE"
    before = change_set.stack.template_dict if update else {}
    found = changes(before, translated, _physical_ids(change_set.stack))
    change_set.changes = [_Change(one) for one in found]
    same = _values(translated, change_set.stack.parameters) == _values(translated, change_set.parameters)
    if update and same and not change_set.changes:
        change_set.status, change_set.execution_status = "FAILED", "UNAVAILABLE"
        change_set.status_reason = _NO_CHANGES
    else:
        change_set.status, change_set.execution_status = "CREATE_COMPLETE", "AVAILABLE"
        change_set.status_reason = None


def _values(template: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of all parameters of a template."""
    rules = template.get("Parameters", {})
    return {name: str(given.get(name, rule.get("Default"))) for name, rule in rules.items()}


_NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)


class _Change:
    """One change, with the names of attributes that moto writes its answer from."""

    def __init__(self, change: Mapping[str, Any]) -> None:
        self.action = change["Action"]
        self.logical_resource_id = change["LogicalResourceId"]
        self.physical_resource_id = change.get("PhysicalResourceId")
        self.resource_type = change["ResourceType"]
        self.replacement = change.get("Replacement")
        self.policy_action = change.get("PolicyAction")
        self.details = change.get("Details", [])


def changes(
    before: Mapping[str, Any], after: Mapping[str, Any], physical_ids: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield what makes one template of another, as DescribeChangeSet tells it.

    Args:
        before: the template as it is deployed; empty for none.
        after: as it is to be.
        physical_ids: of what is there, by logical id.
    """
    old, new = before.get("Resources", {}), after["Resources"]
    for name, resource in new.items():
        told = {"LogicalResourceId": name, "ResourceType": resource["Type"]}
        if name not in old:
            yield {**told, "Action": "Add"}
        elif differing := _differing(old[name], resource):
            naming = parsing.resource_name_property_from_type(resource["Type"])
            replaced = naming in differing or old[name]["Type"] != resource["Type"]
            yield {
                **told,
                "Action": "Modify",
                "PhysicalResourceId": physical_ids.get(name),
                "Replacement": "True" if replaced else "False",
                "PolicyAction": _policy(old[name], "UpdateReplacePolicy", "ReplaceAnd") if replaced else None,
                "Details": [
                    {"Target": {"Attribute": "Properties", "Name": one}, "ChangeSource": "DirectModification"}
                    for one in differing
                ],
            }
    for name in [name for name in old if name not in new]:
        yield {
            "Action": "Remove",
            "LogicalResourceId": name,
            "ResourceType": old[name]["Type"],
            "PhysicalResourceId": physical_ids.get(name),
            "PolicyAction": _policy(old[name], "DeletionPolicy", ""),
        }


def _policy(resource: Mapping[str, Any], kind: str, prefix: str) -> str:
    return f"{prefix}{resource.get(kind, 'Delete')}"


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = old.get("Properties", {}), new.get("Properties", {})
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _carried_out(stack: Stack, change_set: ChangeSet) -> bool:
    """Make or change what a change set says; return whether it went well."""
    kind = change_set.change_set_type
    try:
        if kind == "CREATE":
            stack._add_stack_event("CREATE_IN_PROGRESS", "User Initiated")  # noqa: SLF001
            stack.template, stack.parameters = change_set.template, change_set.parameters
            stack._parse_template()  # noqa: SLF001
            stack.resource_map = stack._create_resource_map()  # noqa: SLF001
            stack.output_map = stack._create_output_map()  # noqa: SLF001
            stack.create_resources()
        else:
            stack.update(change_set.template, parameters=change_set.parameters)
            stack.parameters = change_set.parameters
    except Exception as error:  # noqa: BLE001 whatever a resource's maker raises is that resource's failure
        _undone(stack, kind, str(error))
        return False
    physical_ids = _physical_ids(stack)
    status = {"Add": "CREATE_COMPLETE", "Modify": "UPDATE_COMPLETE", "Remove": "DELETE_COMPLETE"}
    stack.events[-1:-1] = [
        _happened(
            stack,
            one.logical_resource_id,
            status[one.action],
            physical_ids.get(one.logical_resource_id, one.physical_resource_id or ""),
            kind=one.resource_type,
        )
        for one in change_set.changes
    ]
    return True


def _undone(stack: Stack, kind: str, reason: str) -> None:
    """Go back as far as moto can: a stack that is new loses what it has; one that was there stays half changed."""
    there = _physical_ids(stack)
    culprit = next((name for name in stack.resource_map if name not in there), stack.name)
    stack.events.append(_happened(stack, culprit, f"{kind}_FAILED", "", reason=reason))
    status = "ROLLBACK" if kind == "CREATE" else "UPDATE_ROLLBACK"
    stack._add_stack_event(f"{status}_IN_PROGRESS", "A resource could not be made.")  # noqa: SLF001
    if kind == "CREATE":
        for resource in stack.resource_map._resource_json_map.values():  # noqa: SLF001
            resource.pop("DeletionPolicy", None)
        stack.resource_map.delete()
        # A listing would make anew what is not there, and outputs would refer to it.
        stack.resource_map._resource_json_map = {}  # noqa: SLF001
        stack.template_dict = {**stack.template_dict, "Outputs": {}}
        stack.output_map = stack._create_output_map()  # noqa: SLF001
    stack.status = f"{status}_{'COMPLETE' if kind == 'CREATE' else 'FAILED'}"
    stack._add_stack_event(stack.status)  # noqa: SLF001


def _happened(
    stack: Stack, name: str, status: str, physical_id: str, *, kind: str = "", reason: str | None = None
) -> Event:
    known = stack.resource_map._resource_json_map.get(name, {})  # noqa: SLF001
    return Event(
        stack_id=stack.stack_id,
        stack_name=stack.name,
        logical_resource_id=name,
        physical_resource_id=physical_id,
        resource_type=kind or known.get("Type", ""),
        resource_status=status,
        resource_status_reason=reason,
        resource_properties=None,
    )


def _physical_ids(stack: Stack) -> dict[str, str]:
    parsed = stack.resource_map._parsed_resources  # noqa: SLF001
    return {
        name: str(getattr(parsed[name], "physical_resource_id", "") or "")
        for name in stack.resource_map.resources
        if parsed.get(name) is not None
    }


def _parsed(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        document: dict[str, Any] = json.loads(text)
        return document
    return dict(_parse(text))


def _parse_change_set(change_set: ChangeSet) -> None:
    change_set.template_dict = _parsed(change_set.template)


def _updated(logical_id: str, resource_json: dict[str, Any], resources_map: Any, **where: str) -> Any:
    changed = _update(logical_id, resource_json, resources_map, **where)
    return resources_map[logical_id] if changed is None else changed


def _from_s3(template_url: str, account_id: str, partition: str) -> str:
    bucket, _, key = unquote(urlsplit(template_url).path).lstrip("/").partition("/")
    text: str = s3_backends[account_id][partition].get_object(bucket, key).value.decode()
    return text
