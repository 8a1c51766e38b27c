"""What is wrong with a request as a whole, after each field by itself was right.

Owns the rules between fields, and those of the stack. Pure: a request and what its sources say in, problems out.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline import limits, naming, payload
from pipeline.errors import Problem
from pipeline.gguf.header import SHARD_NAME
from pipeline.hosting import AUTO, IN_PLACE, INSTANCE, SERVERLESS
from pipeline.planning import artifact_choice, autoscaling, consumer, network_checks, scale_to_zero
from pipeline.sizing import images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.planning.request_sources import Said
    from pipeline.state_data.request_types import Request, RequestedConsumer, StackDefaults


def problems(request: Request, asked: dict[str, Any], defaults: StackDefaults, said: Said) -> list[Problem]:
    """Return all that is wrong with a request whose fields are right by themselves.

    Args:
        request: merged, with every default.
        asked: the fields that somebody wrote, without the stack's.
        defaults: what the stack gives.
        said: what each source says, by its name.
    """
    found = [*_of_other_hosting(request.hosting, asked, said), *_provisioned(request, said)]
    if request.hosting != SERVERLESS:
        found += [*_bake(request, asked, said), *_scaled(request, said)]
        found += scale_to_zero.problems(request, asked, said)
    found += [*_gate_in_place(request, said), *_whole(request, defaults, said)]
    found += network_checks.problems(request, asked, defaults, said)
    # Last, and by itself: what is wrong otherwise may be what makes it so large.
    return found or [*_too_large(request, said), *_too_many_looks(request, said)]


def _too_large(request: Request, said: Said) -> list[Problem]:
    """Return what is wrong with the size of a request: the execution's data hold it three times."""
    size = payload.size(request)
    if size <= payload.REQUEST:
        return []
    test = request.smoke_test
    fields = {
        "smoke_test.prompts": test.prompts,
        "smoke_test.expect": test.expect,
        "consumer": [replace(one, test_event=None) for one in request.consumers],
        "consumer.test_event": [one.test_event for one in request.consumers],
        "instance_types": request.instance_types,
        "network": request.network,
        "tags": request.tags or {},
    }
    name, most = payload.largest(fields.items())
    return [
        Problem(
            "RequestTooLarge",
            f"a request of {size:,} bytes of JSON, {most:,} of them in {name!r}",
            f"at most {payload.REQUEST:,} with all defaults: Step Functions holds {limits.STATE_PAYLOAD.value:,} "
            "bytes of an execution's data, and the request is in them three times",
            f"shorten {name!r}",
            said.where(*name.split(".")),
        )
    ]


EVENTS_OF_A_LOOK = 9
"""Of WaitForEndpoint (2), PollEndpoint (5) and EndpointReady (2) in the execution's history."""
EVENTS_ASIDE = 6_000
"""Kept for all other states, once each with every retry that they may have, and for the looks' own retries. A test
compares both figures with the definition."""


def _too_many_looks(request: Request, said: Said) -> list[Problem]:
    """Return what is wrong with how often the endpoint is looked at: a history has an end, and so has its execution."""
    deadline_s, interval_s = request.deadline_s, request.poll_interval_s
    looks = (limits.HISTORY_EVENTS.value - EVENTS_ASIDE) // EVENTS_OF_A_LOOK
    if deadline_s <= looks * interval_s:
        return []
    least = math.ceil(deadline_s / looks)
    return [
        Problem(
            "TooManyLooks",
            f"poll_interval_s {interval_s} with deadline_s {deadline_s}",
            f"at most {looks:,} looks: Step Functions ends an execution at {limits.HISTORY_EVENTS.value:,} events, "
            f"and a look takes {EVENTS_OF_A_LOOK}",
            f"set poll_interval_s to {least} or more, or deadline_s to {looks * interval_s} or less",
            said.where("poll_interval_s"),
        )
    ]


_ONLY = {
    SERVERLESS: (
        "instance_type",
        "instance_count",
        "instance_pool",
        "auto_scaling",
        "scale_to_zero",
        "bake_s",
        "prefer",
        "min_tokens_per_s",
        "answer_within_s",
        "volume_kms_key_arn",
    ),
    INSTANCE: ("memory_mb", "max_concurrency", "provisioned_concurrency"),
    AUTO: (),
}
"""What a request may not ask for with a hosting, since nothing would come of it."""


def _bake(request: Request, asked: dict[str, Any], said: Said) -> list[Problem]:
    """Return what is wrong with a `bake_s` that nothing would come of: a new endpoint has the consumer's canary."""
    if asked.get("bake_s") is None or request.strategy == IN_PLACE:
        return []
    return [
        Problem(
            "BakeWithoutUpdate",
            f"'bake_s' with strategy {request.strategy!r}",
            "strategy 'in_place', where SageMaker moves the calls",
            "leave 'bake_s' out; a new endpoint is tried with 'consumer.canary'",
            said.where("bake_s"),
        )
    ]


def _provisioned(request: Request, said: Said) -> list[Problem]:
    """Return what is wrong with containers that are kept started: there are no more than calls at once."""
    kept, most = request.provisioned_concurrency, request.max_concurrency
    if kept is None or most is None or kept <= most:
        return []
    return [
        Problem(
            "ProvisionedAboveMaximum",
            f"provisioned_concurrency {kept} with max_concurrency {most}",
            "as many or fewer",
            f"set provisioned_concurrency to {most} or less, or max_concurrency to {kept} or more",
            said.where("provisioned_concurrency"),
        )
    ]


def _gate_in_place(request: Request, said: Said) -> list[Problem]:
    """Return what is wrong with a quality gate where there is nothing to hold back: callers have the update already."""
    if request.quality is None or request.strategy != IN_PLACE:
        return []
    return [
        Problem(
            "GateInPlace",
            "'quality' with strategy 'in_place'",
            "strategy 'new_endpoint': in place SageMaker gives callers the new model before it could be asked, and "
            "takes the earlier one away",
            "leave 'quality' or 'strategy' out; `sealift eval` asks the service afterwards",
            said.where("quality"),
        )
    ]


def _scaled(request: Request, said: Said) -> list[Problem]:
    """Return what is wrong with the scaling."""
    wanted = request.auto_scaling
    if wanted is None:
        return []
    if request.strategy == IN_PLACE:
        return [
            Problem(
                "ScalingInPlace",
                "'auto_scaling' with strategy 'in_place'",
                "strategy 'new_endpoint': SageMaker refuses an update to another instance type of what scales",
                "leave 'auto_scaling' or 'strategy' out",
                said.where("auto_scaling"),
            )
        ]
    if wanted.invocations_per_instance and wanted.concurrent_requests_per_instance:
        return [
            Problem(
                "TwoMeasures",
                "auto_scaling with 'invocations_per_instance' and 'concurrent_requests_per_instance'",
                "one of them: each would add and take away instances by itself",
                "leave one out",
                said.where("auto_scaling"),
            )
        ]
    seen = autoscaling.contradiction(wanted, request.instance_count)
    if not seen:
        return []
    return [
        Problem(
            "ScalingBounds",
            seen,
            "min <= instance_count <= max",
            "change one of them; without an 'instance_count' the endpoint begins with min",
            said.where("auto_scaling"),
        )
    ]


def _of_other_hosting(hosting: str, asked: dict[str, Any], said: Said) -> list[Problem]:
    other = INSTANCE if hosting == SERVERLESS else SERVERLESS
    return [
        Problem(
            "OtherHosting",
            f"{name!r} with hosting {hosting!r}",
            f"hosting {other!r} or 'auto', the only ones that have it",
            f"change 'hosting', or leave {name!r} out",
            said.where(name),
        )
        for name in _ONLY[hosting]
        if asked.get(name) is not None
    ]


def _canary(consumers: Sequence[RequestedConsumer]) -> list[Problem]:
    """Return what is wrong with a canary: only an alias can divide the calls."""
    return [
        Problem(
            "CanaryWithoutAlias",
            f"consumer.canary without consumer.alias for {one.function_name!r}",
            "an alias, which alone can send a part of the calls to another version",
            "name the alias that callers use in 'consumer.alias', or leave 'consumer.canary' out",
        )
        for one in consumers
        if one.canary is not None and not one.alias
    ]


def _twice(consumers: Sequence[RequestedConsumer]) -> list[Problem]:
    """Return which consumers are named more than once: they would be put back to what this deployment set."""
    known = [consumer.known_as(one) for one in consumers]
    return [
        Problem(
            "ConsumerTwice",
            f"consumer names {variable} of {function!r} {known.count((function, variable))} times",
            "each function and variable once",
            "leave one entry of each in 'consumer'",
        )
        for function, variable in dict.fromkeys(one for one in known if known.count(one) > 1)
    ]


def _of_key(key: str, request: Request) -> list[Problem]:
    """Return what is wrong with the key of an archive, or of a GGUF that is to be handed over as it is."""
    if key.endswith(naming.ARCHIVE_SUFFIXES):
        return []
    bare = key.endswith(naming.MODEL_SUFFIX)
    if bare and request.hosting == SERVERLESS and not artifact_choice.may_be_image(request):
        return [
            Problem(
                "BareOnServerless",
                f"archive.key is {key!r}, a bare GGUF, and hosting is 'serverless'",
                "a tar.gz, or container 'auto' or 'custom', whose image can hold it: a serverless endpoint takes "
                "nothing else",
                'let `sealift push` pack it, or say "hosting": "instance" in the deployment.json beside it',
            )
        ]
    if bare and request.code == images.ARCHIVE_CODE:
        return [
            Problem(
                "BareWithoutCode",
                f"archive.key is {key!r}, a bare GGUF, and code is 'archive'",
                "an archive that brings code/",
                "leave 'code' out, or pack the model and its code",
            )
        ]
    match = SHARD_NAME.match(key)
    if bare and match and int(match["number"]) != 1:
        return [
            Problem(
                "NotFirstShard",
                f"archive.key is {key!r}",
                "the first shard of a split model, whose name ends in -00001-of-0000N.gguf",
                "name the first one; the others are found beside it",
            )
        ]
    if bare:
        return []
    return [
        Problem(
            "WrongKey",
            f"archive.key is {key!r}",
            "a key that ends in .tar.gz or .zip, or in .gguf for an instance",
            "upload the model as models/<service>/model.tar.gz",
        )
    ]


def _role(asked: str, defaults: StackDefaults, said: Said) -> list[Problem]:
    """Return what is wrong with a role: the tasks may hand on those alone that the stack names."""
    # An execution that began before the stack was updated tells of none.
    named = defaults.get("endpoint_role_arns", "")
    others = [one for text in named.split(",") if (one := text.strip())]
    if asked in {defaults["execution_role_arn"], *others}:
        return []
    return [
        Problem(
            "RoleNotAllowed",
            f"execution_role_arn is {asked!r}",
            "the stack's own role"
            + (f", or one of its EndpointRoleArns: {', '.join(others)}" if others else ""),
            "leave 'execution_role_arn' out, or let the stack hand that role on: "
            f"`sealift deploy --parameter EndpointRoleArns={','.join([*others, asked])}`",
            said.where("execution_role_arn"),
        )
    ]


def _whole(request: Request, defaults: StackDefaults, said: Said) -> list[Problem]:
    """Return what is wrong with the request as a whole, after each field by itself was right."""
    found: list[Problem] = []
    key = request.archive.key
    found.extend(replace(problem, where=said.where("archive", "key")) for problem in _of_key(key, request))
    if not request.service:
        found.append(
            Problem(
                "NoService",
                f"no 'service', and archive.key {key!r} names none",
                "a key of the form models/<service>/model.tar.gz, or the field 'service'",
                "add 'service'",
                said.where("archive", "key"),
            )
        )
    if request.code == images.ARCHIVE_CODE and defaults["allow_archive_code"] != "true":
        found.append(
            Problem(
                "ArchiveCodeNotAllowed",
                "code is 'archive'",
                "'sealift': this stack runs no code that archives bring",
                "leave 'code' out, or run `sealift deploy --parameter AllowArchiveCode=true`",
                said.where("code"),
            )
        )
    found.extend(
        replace(problem, where=said.where("artifact")) for problem in artifact_choice.contradictions(request)
    )
    found.extend(_role(request.execution_role_arn, defaults, said))
    of_consumers = [*_canary(request.consumers), *_twice(request.consumers)]
    found.extend(replace(problem, where=said.where("consumer")) for problem in of_consumers)
    # What `auto` comes to runs it, and has an image: the stack's repository tells which.
    profile = images.PROFILES.get(request.container)
    if profile and request.code == images.ARCHIVE_CODE and not profile.runs_archive_code:
        found.append(
            Problem(
                "CodeNotRun",
                f"code is 'archive', container is {profile.name!r}, which runs no code from an archive",
                "a container that does: "
                + ", ".join(repr(one.name) for one in images.PROFILES.values() if one.runs_archive_code),
                "leave 'code' out, or change 'container'",
                said.where("code"),
            )
        )
    image = request.image_uri
    if profile and request.hosting == SERVERLESS and images.is_for_gpus(profile, image):
        found.append(
            Problem(
                "NoGpuOnServerless",
                f"hosting is 'serverless', image_uri is {image!r}",
                f"hosting 'instance' or 'auto': {images.NO_GPU}",
                "change 'hosting', or name an image for CPUs, whose name has no \"cuda\" in it",
                said.where("image_uri"),
            )
        )
    region = defaults["region"]
    if image and not re.search(rf"\.ecr\.{re.escape(region)}\.", image):
        found.append(
            Problem(
                "WrongRegion",
                f"image_uri is {image!r}",
                f"an image in {region}, the endpoint's region",
                f"push the image to an ECR repository in {region}",
                said.where("image_uri"),
            )
        )
    return found
