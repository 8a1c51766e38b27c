"""Whether account, stack and this machine are ready for a deployment: one check each, with what to do where not.

Each check looks at one thing and tells what it saw; what may not be looked at is told as not known, and is no fault.
Refuses to change anything, and to guess: what is assumed is called so.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline import limits, package_files, settings
from pipeline.aws import service_errors
from pipeline.errors import InvalidInput, SealiftError, ServiceUnavailable
from pipeline.operations import consumer_candidates, service_status
from pipeline.planning import function_names
from pipeline.rollout import endpoint_usage, own_image
from pipeline.sizing import images
from pipeline.stack import budget
from pipeline.stack import change_sets as stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date

    from pipeline.aws.clients import Clients

SAGEMAKER: Final = "sagemaker.amazonaws.com"
INVOKE: Final = "sagemaker:InvokeEndpoint"


class CheckState(StrEnum):
    """How a check came out."""

    OK = "ok"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """Nobody could look, a figure is assumed, or it can be done without."""


@dataclass(frozen=True, slots=True)
class ReadinessCheck:
    """One thing that was looked at."""

    name: str
    state: CheckState
    found: str
    fix: str = ""

    def to_json(self) -> dict[str, str | None]:
        """Return it as a JSON object."""
        return {"name": self.name, "state": self.state.value, "told": self.found, "fix": self.fix or None}


def examine(clients: Clients, *, stack: str, region: str, today: date) -> Iterator[ReadinessCheck]:
    """Yield every check as it is done; those that need AWS only where there are credentials for it.

    Args:
        clients: of the account.
        stack: the name of the stack that is looked at.
        region: the region of the session.
        today: what the support of images is compared with.
    """
    yield runtime()
    try:
        with service_errors.translated():
            identity = clients.sts.get_caller_identity()
    except SealiftError as error:
        fix = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in again"
        if isinstance(error, ServiceUnavailable):
            fix = "look at the network, at AWS_ENDPOINT_URL and at the region (`sealift settings`)"
        yield ReadinessCheck("credentials", CheckState.BROKEN, str(error), fix)
        return
    account, partition = identity["Account"], identity["Arn"].split(":")[1]
    yield ReadinessCheck("credentials", CheckState.OK, f"account {account}, as {identity['Arn']}")
    yield _asked("region", lambda: _region(clients, region))
    yield from _quotas(clients)
    try:
        with service_errors.translated():
            found = stacks.ask(clients.cloudformation, stack)
    except SealiftError as error:
        yield ReadinessCheck("stack", CheckState.UNKNOWN, f"{stack} could not be looked at: {error}")
        found = None
    else:
        if found is None:
            fix = "deploy it, or name another one with --stack"
            seen = f"there is no stack {stack!r} in this account and region"
            yield ReadinessCheck("stack", CheckState.BROKEN, seen, fix)
    if found is None:
        yield _asked("image", lambda: _image(clients, images.DEFAULT.name, "", region, today))
        return
    parameters = {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", ())}
    outputs = stacks.outputs_of(found)
    yield _stack(stack, found)
    yield _asked("workflow", lambda: _workflow(clients, outputs))
    yield from _images(clients, parameters, outputs.get("ImageRepository", ""), region, today)
    yield _asked("role", lambda: _role(clients, outputs))
    yield _budget(parameters)
    endpoints = f"arn:{partition}:sagemaker:{region}:{account}:endpoint/"
    pattern = parameters.get(settings.FUNCTION_PATTERN) or consumer_candidates.ANY
    within = function_names.Reach(pattern, account, region, stack)
    yield from _consumers(clients, within, parameters, endpoints)


def _asked(name: str, check: Callable[[], ReadinessCheck]) -> ReadinessCheck:
    """Return a check; one that AWS does not allow is unknown."""
    try:
        with service_errors.translated():
            return check()
    except SealiftError as error:
        return ReadinessCheck(name, CheckState.UNKNOWN, f"could not be looked at: {error}")


def runtime() -> ReadinessCheck:
    """Return whether the runtime is there that archives carry."""
    try:
        folder = package_files.runtime()
    except InvalidInput as error:
        return ReadinessCheck("runtime", CheckState.BROKEN, error.problems[0].seen, error.problems[0].fix)
    text = (folder / "llama_cpp" / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r"__version__ = \"([^\"]+)\"", text)
    return ReadinessCheck(
        "runtime", CheckState.OK, f"llama-cpp-python {version[1] if version else ''} in {folder}"
    )


def _region(clients: Clients, region: str) -> ReadinessCheck:
    clients.sagemaker.list_endpoints(MaxResults=1)
    return ReadinessCheck("region", CheckState.OK, f"{region}: SageMaker answers")


def _quotas(clients: Clients) -> Iterator[ReadinessCheck]:
    try:
        with service_errors.translated():
            now = endpoint_usage.read_usage(clients, "")
    except SealiftError as error:
        yield ReadinessCheck("quota", CheckState.UNKNOWN, f"could not be looked at: {error}")
    else:
        held = f"{len(now.holders)} endpoints hold {now.used}"
        found = f"{now.quota} {limits.CONCURRENCY_QUOTA.unit} ({now.how}); {held}"
        if now.read and now.quota == 0:
            fix = f"ask AWS, in Service Quotas, to raise {limits.CONCURRENCY_QUOTA_CODE} of SageMaker"
            yield ReadinessCheck("quota", CheckState.BROKEN, found, fix)
        else:
            yield ReadinessCheck("quota", CheckState.OK if now.read else CheckState.UNKNOWN, found)
    for one in (limits.MEMORY_QUOTA_MB, limits.ENDPOINT_QUOTA):
        found = f"{one.value} {one.unit}: assumed, {one.source}; AWS tells it only when it refuses"
        yield ReadinessCheck("quota", CheckState.UNKNOWN, found)


def _stack(stack: str, found: Mapping[str, Any]) -> ReadinessCheck:
    status = found["StackStatus"]
    if status in stacks.READY:
        return ReadinessCheck("stack", CheckState.OK, f"{stack}: {status}")
    why = found.get("StackStatusReason") or ""
    fix = (
        "wait until it is done"
        if status.endswith("_IN_PROGRESS")
        else "read the stack's events and deploy it again"
    )
    return ReadinessCheck("stack", CheckState.BROKEN, f"{stack}: {status} {why}".rstrip(), fix)


def _workflow(clients: Clients, outputs: Mapping[str, str]) -> ReadinessCheck:
    arn = outputs.get("StateMachineArn")
    if arn is None:
        fix = "name Sealift's own stack with --stack"
        return ReadinessCheck("workflow", CheckState.BROKEN, "the stack has no output StateMachineArn", fix)
    deployed = json.loads(clients.stepfunctions.describe_state_machine(stateMachineArn=arn)["definition"])
    if same(json.loads(package_files.definition().read_text(encoding="utf-8")), deployed):
        return ReadinessCheck("workflow", CheckState.OK, "the deployed workflow is this version's")
    fix = "deploy the stack again with this version"
    return ReadinessCheck("workflow", CheckState.BROKEN, "the deployed workflow is another version's", fix)


def same(ours: Any, deployed: Any) -> bool:
    """Return whether a definition is what ours became: equal, but for what was filled in where ours has `${Name}`."""
    if isinstance(ours, dict) and isinstance(deployed, dict):
        return ours.keys() == deployed.keys() and all(same(ours[key], deployed[key]) for key in ours)
    if isinstance(ours, list) and isinstance(deployed, list):
        return len(ours) == len(deployed) and all(map(same, ours, deployed))
    if isinstance(ours, str) and isinstance(deployed, str):
        pattern = ".*".join(re.escape(piece) for piece in re.split(r"\$\{\w+\}", ours))
        return re.fullmatch(pattern, deployed, re.DOTALL) is not None
    return bool(ours == deployed)


def _images(
    clients: Clients, parameters: Mapping[str, str], repository: str, region: str, today: date
) -> Iterator[ReadinessCheck]:
    """Yield whether the images are there that deployments take which name none."""
    container = parameters.get("Container") or images.DEFAULT.name
    named = parameters.get("ImageUri", "")
    if repository and not named and container in {images.AUTO, images.CUSTOM.name}:
        needed = container == images.CUSTOM.name
        yield _asked("own image", lambda: _own_image(clients, repository, needed=needed))
        if needed:
            return
    prebuilt = images.DEFAULT.name if container == images.AUTO else container
    yield _asked("image", lambda: _image(clients, prebuilt, named, region, today))


def _own_image(clients: Clients, repository: str, *, needed: bool) -> ReadinessCheck:
    image = own_image.find(clients.ecr, own_image.wanted(repository))
    where = f"{image.repository}:{image.tag}"
    if image.digest is not None:
        size = f"{image.bytes / limits.MiB:,.1f} MiB"
        return ReadinessCheck("own image", CheckState.OK, f"{where} is there, {size}")
    if needed:
        found = f"{where} is not there, and container {images.CUSTOM.name!r} has no other image"
        fix = f"run `{images.PUSH}`, or set the stack's parameter ImageUri"
        return ReadinessCheck("own image", CheckState.BROKEN, found, fix)
    found = (
        f"{where} is not there, so deployments take {images.DEFAULT.name!r}, which leaves a model less memory"
    )
    return ReadinessCheck("own image", CheckState.UNKNOWN, found, f"run `{images.PUSH}`")


def _image(clients: Clients, container: str, own: str, region: str, today: date) -> ReadinessCheck:
    profile = images.PROFILES[container]
    uri = own or profile.image_uri(region)
    if uri is None:
        fix = "set the stack's parameter ImageUri"
        return ReadinessCheck(
            "image", CheckState.BROKEN, f"the container {container!r} needs an image of your own", fix
        )
    registry, _, rest = uri.partition("/")
    repository, _, tag = rest.partition(":")
    notes = "".join(f"; {note}" for note in images.notes(profile, today)[:1])
    request = {
        "registryId": registry.split(".")[0],
        "repositoryName": repository,
        "imageIds": [{"imageTag": tag or "latest"}],
    }
    try:
        clients.ecr.describe_images(**request)
    except ClientError as error:
        if service_errors.is_no_such_image(error):
            fix = "correct the stack's parameters Container and ImageUri, or take a region that has the image"
            return ReadinessCheck("image", CheckState.BROKEN, f"{uri}: {service_errors.text(error)}", fix)
        if service_errors.is_access_denied(error):
            return ReadinessCheck(
                "image",
                CheckState.UNKNOWN,
                f"{uri}: its registry does not let you look whether it is there{notes}",
            )
        raise
    return ReadinessCheck("image", CheckState.OK, f"{uri} is there{notes}")


def _role(clients: Clients, outputs: Mapping[str, str]) -> ReadinessCheck:
    name = outputs.get("EndpointRoleArn", "").rpartition("/")[2]
    if not name:
        return ReadinessCheck(
            "role", CheckState.BROKEN, "the stack has no output EndpointRoleArn", "deploy the stack again"
        )
    try:
        trust = clients.iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    except ClientError as error:
        if service_errors.code(error) == "NoSuchEntity":
            fix = "deploy the stack again"
            return ReadinessCheck("role", CheckState.BROKEN, f"the endpoints' role {name} is gone", fix)
        raise
    if SAGEMAKER in json.dumps(trust):
        return ReadinessCheck("role", CheckState.OK, f"{name} is there, and SageMaker may assume it")
    fix = f"let {SAGEMAKER} assume it: deploy the stack again"
    return ReadinessCheck("role", CheckState.BROKEN, f"{name} does not trust {SAGEMAKER}", fix)


def _budget(parameters: Mapping[str, str]) -> ReadinessCheck:
    """Return whether somebody is told when a month costs too much; that can be done without."""
    usd = budget.amount(parameters)
    if usd:
        return ReadinessCheck("budget", CheckState.OK, budget.words(usd))
    fix = f"for one: `sealift deploy --parameter {budget.PARAMETER}=100`"
    return ReadinessCheck(
        "budget", CheckState.UNKNOWN, "no budget alarm: nobody is told what a month costs", fix
    )


def _consumers(
    clients: Clients, within: function_names.Reach, parameters: Mapping[str, str], endpoints: str
) -> Iterator[ReadinessCheck]:
    """Yield whether everybody who calls a service, or is to call the next one, exists, may, and can be switched."""
    try:
        with service_errors.translated():
            services = service_status.arrange(service_status.read(clients, stack=within.stack, service=None))
    except SealiftError as error:
        yield ReadinessCheck("consumer", CheckState.UNKNOWN, f"could not be looked at: {error}")
        return
    asked = {
        (call.consumer["function_name"], call.endpoint or f"{service.name}-{'0' * 12}")
        for service in services
        for call in service.calls
    }
    default = parameters.get("ConsumerFunctionName", "")
    if default and default not in {function for function, _ in asked}:
        yield _asked("consumer", lambda: _exists(clients, default))
    for function, endpoint in sorted(asked):
        yield _asked(
            "consumer",
            lambda function=function, endpoint=endpoint: _may_call(clients, function, endpoints + endpoint),  # type: ignore[misc]
        )
    known = [one for one in parameters.get(settings.KMS_KEYS, "").split(",") if one]
    for function in sorted({default, *(function for function, _ in asked)} - {""}):
        yield from _switchable(clients, function, within, known)
    if not asked and not default:
        yield ReadinessCheck("consumer", CheckState.OK, "no service has one, and the stack names none")


def _switchable(
    clients: Clients, function: str, within: function_names.Reach, known: list[str]
) -> Iterator[ReadinessCheck]:
    """Yield why the stack's roles could not switch a function, where they could not."""
    if problem := within.problem(function):
        yield ReadinessCheck("consumer", CheckState.BROKEN, problem.seen, problem.fix)
        return
    try:
        found = service_errors.or_none(clients.lambda_.get_function_configuration, FunctionName=function)
    except ClientError:
        return  # Said by whoever looked before.
    key = (found or {}).get("KMSKeyArn")
    if key and key not in known:
        seen = f"the variables of {function} are encrypted with {key}, which the stack may not use"
        command = function_names.deploy(settings.KMS_KEYS, ",".join([*known, key]), within.stack)
        yield ReadinessCheck("consumer", CheckState.BROKEN, seen, f"run `{command}`")


def _exists(clients: Clients, function: str) -> ReadinessCheck:
    if service_errors.or_none(clients.lambda_.get_function_configuration, FunctionName=function):
        return ReadinessCheck(
            "consumer",
            CheckState.OK,
            f"{function}, the stack's own, is there; it calls nothing of Sealift's yet",
        )
    fix = "make the function, or correct the stack's parameter ConsumerFunctionName"
    return ReadinessCheck("consumer", CheckState.BROKEN, f"there is no function {function!r}", fix)


def _may_call(clients: Clients, function: str, endpoint: str) -> ReadinessCheck:
    found = service_errors.or_none(clients.lambda_.get_function_configuration, FunctionName=function)
    if found is None:
        return ReadinessCheck(
            "consumer", CheckState.BROKEN, f"there is no function {function!r}", "make it again"
        )
    role = found["Role"]
    answer = clients.iam.simulate_principal_policy(
        PolicySourceArn=role, ActionNames=[INVOKE], ResourceArns=[endpoint]
    )
    name = endpoint.rpartition("/")[2]
    if all(one["EvalDecision"] == "allowed" for one in answer["EvaluationResults"]):
        return ReadinessCheck("consumer", CheckState.OK, f"{function} may call {name}")
    service = name.rpartition("-")[0]
    fix = f"allow {role.rpartition('/')[2]} {INVOKE} on endpoint/{service}-*"
    return ReadinessCheck("consumer", CheckState.BROKEN, f"{function} may not call {name}", fix)
