"""CloudFormation's stacks and change sets, of which moto has little more than the shape; all of it is here.

* A change set knows no transform. SAM's is carried out by whoever is given to `install`, with the parameters' values.
* What it would change is described by type and action alone. Here also by property, and whether it replaces.
* Carried out, a new stack has no outputs, and what fails is an exception. Here it ends as in AWS.
* Nobody has to acknowledge that roles are made, and parameters are not compared with their rules. Here as in AWS.
* A parameter that is a list or a number is one there, and cannot be kept. Here it is the text that it was given as.
* CreateStack and UpdateStack go past all of that. Here they are a change set that is carried out at once.
* A change set is found by its name whatever stack it is of, and a listing has those of all stacks.
* A template in S3 is looked for at amazonaws.com. Here it is where its URL says.
* Every template is read as YAML, several times, which takes longer than all else. Here as JSON, where it is.
* GetTemplate has what was made of a template. Here it has the template as it was sent, unless the other is asked for.
* An update of what moto cannot update loses the resource. Here it stays as it was.

What is made is made at once: whoever asks for the events after ExecuteChangeSet finds all of them.
"""

from __future__ import annotations

import json
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from moto.cloudformation import parsing, responses
from moto.cloudformation.exceptions import AlreadyExistsException, CloudFormationError, ValidationError
from moto.cloudformation.models import ChangeSet, CloudFormationBackend, Event, Stack
from moto.core.responses import ActionResult, EmptyResult
from moto.s3.models import s3_backends

from local_cloud.stacks.template import UnknownTypes
from pipeline.stack import template as templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from moto.cloudformation.responses import CloudFormationResponse

    Process = Callable[[dict[str, Any], Mapping[str, str]], dict[str, Any]]

_create_change_set = CloudFormationBackend.create_change_set
_delete_stack = CloudFormationBackend.delete_stack
_ASKED = (
    responses.CloudFormationResponse.create_change_set,
    responses.CloudFormationResponse.create_stack,
    responses.CloudFormationResponse.update_stack,
)
_update = parsing.parse_and_update_resource

_acknowledged: ContextVar[frozenset[str]] = ContextVar("acknowledged", default=frozenset())
"""The capabilities that the request at hand names, which moto does not hand on."""


class _InsufficientCapabilities(CloudFormationError):
    code = "InsufficientCapabilitiesException"


class _ChangeSetNotFound(CloudFormationError):
    code = "ChangeSetNotFound"


def install(*, process: Process, made: Callable[[str], None]) -> None:
    """Let stacks and change sets work as in AWS.

    Args:
        process: returns what CloudFormation makes of a template and its parameters' values; works on the template.
        made: takes the name of every stack that was made or changed.
    """

    def create(backend: CloudFormationBackend, **request: Any) -> tuple[str, str]:
        _refuse_what_is_there(backend, request["stack_name"], request["change_set_type"])
        request["parameters"] = {name: _text(value) for name, value in request["parameters"].items()}
        processed = _processed(request["template"], request["parameters"], process)
        text = request["template"]
        request["template"] = json.dumps(processed)
        change_set_id, stack_id = _create_change_set(backend, **request)
        change_set = backend.change_sets[change_set_id]
        change_set.sent = text
        _judge(change_set, processed)
        return change_set_id, stack_id

    def execute(backend: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
        change_set = _found(backend, change_set_name, stack_name)
        if change_set.execution_status != "AVAILABLE":
            message = f"ChangeSet [{change_set.change_set_id}] cannot be executed in its current status"
            raise ValidationError(message=f"{message} of [{change_set.status}]")
        change_set.execution_status = "EXECUTE_COMPLETE"
        stack = backend.stacks[change_set.stack_id]
        if _carried_out(stack, change_set):
            stack.sent = change_set.sent
            made(stack.name)

    def create_stack(
        backend: CloudFormationBackend, name: str, template: str, parameters: dict[str, Any], **more: Any
    ) -> Stack:
        return _at_once(backend, "CREATE", name, template, parameters, **more)

    def update_stack(
        backend: CloudFormationBackend,
        name: str,
        template: str,
        parameters: list[dict[str, Any]],
        **more: Any,
    ) -> Stack:
        values = backend._resolve_update_parameters(backend.get_stack(name), parameters)  # noqa: SLF001
        return _at_once(backend, "UPDATE", name, template, values, **more)

    responses.get_stack_from_s3_url = _from_s3
    asked = responses.CloudFormationResponse
    asked.create_change_set, asked.create_stack, asked.update_stack = map(_acknowledging, _ASKED)
    asked.describe_change_set = _asked_to_describe
    asked.delete_change_set, asked.list_change_sets = _asked_to_delete, _asked_to_list
    asked.get_template = _asked_for_template
    CloudFormationBackend.create_change_set = create
    CloudFormationBackend.execute_change_set = execute
    CloudFormationBackend.create_stack = create_stack
    CloudFormationBackend.update_stack = update_stack
    CloudFormationBackend.delete_stack = _deleted
    Stack.parse_template = staticmethod(_parsed)
    Stack.parameter_list = property(_described_parameters)
    ChangeSet._parse_template = _parse_change_set  # noqa: SLF001 moto has no other way in
    parsing.parse_and_update_resource = _updated


# ------------------------------------------------------------------------- what a request says


def _acknowledging(ask: Callable[[CloudFormationResponse], ActionResult]) -> Any:
    """Return what answers a request that has a template: not too large a one, and for its capabilities see above."""

    def answer(request: CloudFormationResponse) -> ActionResult:
        body = request._get_param("TemplateBody") or ""  # noqa: SLF001
        if len(body.encode()) > templates.LARGEST_BODY:
            limit = "failed to satisfy constraint: Member must have length less than or equal to"
            raise ValidationError(
                message=f"1 validation error detected: Value at 'templateBody' {limit} 51200"
            )
        token = _acknowledged.set(frozenset(request._get_param("Capabilities", [])))  # noqa: SLF001 it has no other way
        try:
            return ask(request)
        finally:
            _acknowledged.reset(token)

    return answer


def _asked_to_describe(request: CloudFormationResponse) -> ActionResult:
    return ActionResult(_of(request))


def _asked_to_delete(request: CloudFormationResponse) -> EmptyResult:
    del request.cloudformation_backend.change_sets[_of(request).change_set_id]
    return EmptyResult()


def _asked_to_list(request: CloudFormationResponse) -> ActionResult:
    backend = request.cloudformation_backend
    stack = backend.get_stack(request._get_param("StackName"))  # noqa: SLF001
    summaries = [one for one in backend.change_sets.values() if one.stack_id == stack.stack_id]
    return ActionResult({"Summaries": summaries})


def _asked_for_template(request: CloudFormationResponse) -> ActionResult:
    stack = request.cloudformation_backend.get_stack(request._get_param("StackName"))  # noqa: SLF001
    processed = request._get_param("TemplateStage") == "Processed"  # noqa: SLF001
    text = stack.template if processed else getattr(stack, "sent", stack.template)
    return ActionResult({"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]})


def _of(request: CloudFormationResponse) -> ChangeSet:
    """Return the change set that a request names."""
    name, stack = request._get_param("ChangeSetName"), request._get_param("StackName")  # noqa: SLF001
    return _found(request.cloudformation_backend, name, stack)


def _at_once(
    backend: CloudFormationBackend,
    kind: str,
    name: str,
    template: str,
    parameters: dict[str, Any],
    *,
    tags: dict[str, str] | None = None,
    role_arn: str | None = None,
    **_more: Any,
) -> Stack:
    """Make or change a stack as CreateStack and UpdateStack do: by a change set that nobody sees."""
    if _parsed(template).get("Transform") and EXPAND not in _acknowledged.get():
        raise _InsufficientCapabilities(f"Requires capabilities : [{EXPAND}]")
    change_set_id, stack_id = backend.create_change_set(
        stack_name=name,
        change_set_name="at-once",
        template=template,
        parameters=parameters,
        description="",
        change_set_type=kind,
        tags=tags,
        role_arn=role_arn,
    )
    change_set = backend.change_sets[change_set_id]
    if change_set.status == "FAILED":
        raise ValidationError(message="No updates are to be performed.")
    backend.execute_change_set(change_set_id)
    del backend.change_sets[change_set_id]
    return backend.stacks[stack_id]


def _processed(text: str, parameters: Mapping[str, Any], process: Process) -> dict[str, Any]:
    """Return what becomes of a template; refuse what CloudFormation refuses before it makes a change set."""
    if reason := wrong_parameters(_parsed(text).get("Parameters", {}), parameters):
        raise ValidationError(message=reason)
    try:
        processed = process(_parsed(text), parameters)
    except UnknownTypes as error:
        raise ValidationError(message=str(error)) from error
    if (needed := capability(processed)) and not _acknowledged.get() & {needed, NAMED}:
        raise _InsufficientCapabilities(f"Requires capabilities : [{needed}]")
    return processed


def _text(value: Any) -> str:
    """Return a parameter's value as it was given: moto keeps numbers and lists of it."""
    return ",".join(value) if isinstance(value, list) else str(value)


def _described_parameters(stack: Stack) -> list[dict[str, str]]:
    """Return a stack's parameters as DescribeStacks has them."""
    secret = stack.resource_map.no_echo_parameter_keys
    return [
        {"ParameterKey": name, "ParameterValue": "****" if name in secret else _text(value)}
        for name, value in stack.resource_map.resolved_parameters.items()
    ]


def _found(backend: CloudFormationBackend, name: str, stack_name: str | None) -> ChangeSet:
    """Return a change set by its ARN, or by its name and its stack's."""
    if name in backend.change_sets:
        return backend.change_sets[name]
    for one in backend.change_sets.values():
        if one.change_set_name == name and stack_name in {one.stack_name, one.stack_id}:
            return one
    raise _ChangeSetNotFound(f"ChangeSet [{name}] does not exist")


def _refuse_what_is_there(backend: CloudFormationBackend, name: str, kind: str) -> None:
    """Refuse to make a stack that there is; forget one of which there is nothing but a change set."""
    for stack in [one for one in backend.stacks.values() if one.name == name and kind == "CREATE"]:
        if stack.status != "REVIEW_IN_PROGRESS":
            raise AlreadyExistsException(
                f"Stack [{name}] already exists and cannot be created again with the changeSet"
            )
        # moto would keep both.
        del backend.stacks[stack.stack_id]


IAM, NAMED, EXPAND = "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"
_NAMES: Final = {
    "AWS::IAM::AccessKey": "",
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": "",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
    "AWS::IAM::UserToGroupAddition": "",
}
"""The types that have to be acknowledged, and the property by which some are named
(https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html)."""


def capability(template: Mapping[str, Any]) -> str:
    """Return the capability that a template needs, empty for none.

    Args:
        template: its transform carried out.
    """
    found = [one for one in template["Resources"].values() if one["Type"] in _NAMES]
    if any(_NAMES[one["Type"]] in one.get("Properties", {}) for one in found):
        return NAMED
    return IAM if found else ""


def wrong_parameters(rules: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> str:
    """Return AWS's words for parameters that a template does not have, needs, or does not take; empty for none."""
    if unknown := [name for name in given if name not in rules]:
        return f"Parameters: [{', '.join(unknown)}] do not exist in the template"
    if missing := [name for name, rule in rules.items() if name not in given and "Default" not in rule]:
        return f"Parameters: [{', '.join(missing)}] must have values"
    return next(
        (problem for name, value in given.items() if (problem := _wrong(name, _text(value), rules[name]))), ""
    )


def _wrong(name: str, value: str, rule: Mapping[str, Any]) -> str:
    allowed = [str(one) for one in rule.get("AllowedValues", ())]
    each = [one.strip() for one in value.split(",")] if rule.get("Type") == "CommaDelimitedList" else [value]
    if allowed and not set(each) <= set(allowed):
        return f"Parameter '{name}' must be one of AllowedValues"
    if "AllowedPattern" in rule and not all(re.fullmatch(rule["AllowedPattern"], one) for one in each):
        return f"Parameter '{name}' must match pattern {rule['AllowedPattern']}"
    if rule.get("Type") == "Number":
        if not re.fullmatch(r"-?\d+(\.\d+)?", value):
            return f"Parameter '{name}' must be a number"
        if float(value) < float(rule.get("MinValue", "-inf")):
            return f"Parameter '{name}' must be a number not less than {rule['MinValue']}"
    return ""


# ---------------------------------------------------------------------------- change sets


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


_REPLACING: Final = {"AWS::ECR::Repository": ("EncryptionConfiguration",)}
"""The properties of a type that need a new resource, beside its name."""


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
        resource_change = {"LogicalResourceId": name, "ResourceType": resource["Type"]}
        if name not in old:
            yield {**resource_change, "Action": "Add"}
        elif differing := _differing(old[name], resource):
            naming = parsing.resource_name_property_from_type(resource["Type"])
            replacing = {naming, *_REPLACING.get(resource["Type"], ())} & {*differing}
            replaced = bool(replacing) or old[name]["Type"] != resource["Type"]
            yield {
                **resource_change,
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
            # Whether no tags were given, or an empty list that takes all away, moto does not tell: they stay.
            stack.update(change_set.template, parameters=change_set.parameters, tags=change_set.tags or None)
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
    for one in change_set.changes:
        if one.action == "Remove":
            # moto keeps what it has deleted, and would take it for there when a later change adds it again.
            stack.resource_map._parsed_resources.pop(one.logical_resource_id, None)  # noqa: SLF001
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


def _deleted(backend: CloudFormationBackend, name_or_stack_id: str) -> None:
    for stack in [one for one in backend.stacks.values() if name_or_stack_id in {one.name, one.stack_id}]:
        going, known = _physical_ids(stack), stack.template_dict.get("Resources", {})
        try:
            _delete_stack(backend, stack.stack_id)
        except Exception as error:  # noqa: BLE001 whatever a resource's end raises is that resource's failure
            backend.stacks[stack.stack_id] = stack
            _stayed(stack, str(error))
            continue
        for name, physical in going.items():
            kept = known.get(name, {}).get("DeletionPolicy") == "Retain"
            status = "DELETE_SKIPPED" if kept else "DELETE_COMPLETE"
            stack.events.insert(-1, _happened(stack, name, status, physical))


def _stayed(stack: Stack, reason: str) -> None:
    """Say that a stack could not be deleted, and which of its resources are still there."""
    left = _physical_ids(stack)
    culprits = [
        name
        for name, one in stack.template_dict.get("Resources", {}).items()
        if name in left and one.get("DeletionPolicy") != "Retain"
    ]
    for name in culprits:
        stack.events.append(_happened(stack, name, "DELETE_FAILED", left[name], reason=reason))
    stack.status = "DELETE_FAILED"
    stack._add_stack_event(  # noqa: SLF001 moto has no other way in
        stack.status, f"The following resource(s) failed to delete: [{', '.join(culprits)}]. "
    )


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
    # A date, which YAML makes of a policy's version, is a text to CloudFormation.
    plain = text if text.lstrip().startswith("{") else json.dumps(templates.parsed(text), default=str)
    document: dict[str, Any] = json.loads(plain)
    return document


def _parse_change_set(change_set: ChangeSet) -> None:
    change_set.template_dict = _parsed(change_set.template)


def _updated(logical_id: str, resource_json: dict[str, Any], resources_map: Any, **where: str) -> Any:
    changed = _update(logical_id, resource_json, resources_map, **where)
    return resources_map[logical_id] if changed is None else changed


def _from_s3(template_url: str, account_id: str, partition: str) -> str:
    bucket, _, key = unquote(urlsplit(template_url).path).lstrip("/").partition("/")
    text: str = s3_backends[account_id][partition].get_object(bucket, key).value.decode()
    return text
