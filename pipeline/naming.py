"""Names and digests: derived from content, so that every retry finds its own work instead of colliding.

Pure functions of their arguments; nothing here is random and nothing looks at a clock.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from pipeline import limits

if TYPE_CHECKING:
    from collections.abc import Iterable

SERVICE_PATTERN = r"(?!.{41})[a-z0-9](-?[a-z0-9])*"
"""At most 40 characters, so that `<service>-<digest>` always fits a SageMaker name; single hyphens only."""

NEAR = 0.75
"""How alike two names must be (`difflib`) for one to be taken for a slip of the other: a letter of four may differ."""

ARCHIVE_SUFFIXES = (".tar.gz", ".zip")
MODEL_SUFFIX = ".gguf"
"""Of a model that is no archive: only an instance takes it."""


VARIANT: Final = "AllTraffic"
"""Of the one production variant that an endpoint has."""

MACHINE_SUFFIX: Final = "-deployment"
"""What the name of a stack's state machine ends with (template.yaml)."""

PARAMETERS: Final = "/sealift"
"""The path that the parameters of all stacks lie below."""
_PARAMETER: Final = re.compile(rf"{PARAMETERS}/(?P<stack>[^/]+)/(?P<service>[^/]+)/endpoint")

_IN_A_NAME: Final = re.compile(r"[a-zA-Z0-9-]{1,63}")
"""SageMaker's NameContains (service model)."""
_IDENTITY: Final = re.compile(r"-[0-9a-f]{12}$")
_OF_SERVICE: Final = re.compile(r"(?P<service>.+)-[0-9a-f]{12}")
"""What `resource_name` puts after a service: at the end of an endpoint's name, within that of a configuration."""
_SIZES: Final = re.compile(r"-(?P<memory_mb>[0-9]{4})-(?P<concurrency>[0-9]{1,3})$")
"""What `sized_name` puts at a name's end."""


def digest(document: Any, length: int = 12) -> str:
    """Return the first `length` hexadecimal characters of the SHA-256 of a JSON document in canonical form."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]


def uploads_of(service: str) -> str:
    """Return what the keys of a service's uploads begin with."""
    return f"models/{service}/"


def service_from_key(key: str) -> str | None:
    """Return the service that an upload key names (`models/<service>/...`), or None when it names none."""
    parts = key.split("/")
    if len(parts) < 3 or parts[0] != "models":
        return None
    service = re.sub(r"[^a-z0-9]+", "-", parts[1].lower()).strip("-")[:40].strip("-")
    return service if re.fullmatch(SERVICE_PATTERN, service) else None


def service_of(document: Any) -> str | None:
    """Return the service that an execution's input names, by its field or by the key; None when it names none.

    The input is whatever a person sent: nobody need have checked it yet.
    """
    try:
        return document.get("service") or service_from_key(document["archive"]["key"])
    except (AttributeError, KeyError, TypeError):
        return None


def stack_of(arn: str) -> str:
    """Return the stack whose state machine an execution's, or the machine's own, ARN names."""
    return arn.split(":")[6].removesuffix(MACHINE_SUFFIX)


def endpoint_parameter(stack: str, service: str) -> str:
    """Return the name of the parameter that names a service's endpoint, whatever deployment it is of."""
    return f"{parameters_of(stack)}/{service}/endpoint"


def parameters_of(stack: str) -> str:
    """Return the path that a stack's parameters lie below."""
    return f"{PARAMETERS}/{stack}"


def named_by(parameter: str) -> tuple[str, str] | None:
    """Return the stack and the service whose endpoint a parameter names; None for one that is none of Sealift's."""
    found = _PARAMETER.fullmatch(parameter)
    return (found["stack"], found["service"]) if found else None


def resource_name(service: str, identity: str) -> str:
    """Return the one name of a deployment's model, endpoint configuration and endpoint."""
    name = f"{service}-{identity}"
    if len(name) > limits.NAME_LENGTH.value:
        raise ValueError(f"{name!r} has {len(name)} characters; wanted at most {limits.NAME_LENGTH.value}")
    return name


def is_named_after(name: str, service: str) -> bool:
    """Return whether an endpoint's name is one that Sealift gives to this service's; its tags must say so too."""
    return name == service or name.startswith(f"{service}-")


def may_be_in_a_name(text: str) -> bool:
    """Return whether a name of SageMaker's may have a text in it: whoever looks for another one is refused."""
    return _IN_A_NAME.fullmatch(text) is not None


def sized_name(deployment: str, memory_mb: int, concurrency: int) -> str:
    """Return the name of a deployment's endpoint configuration of other sizes than requested."""
    return f"{deployment}-{memory_mb}-{concurrency}"


def instances_name(deployment: str, types: Iterable[str], count: int) -> str:
    """Return the name of a deployment's endpoint configuration of other instances than requested.

    Args:
        deployment: its name.
        types: the one type, or those of a pool in their order.
        count: how many instances.
    """
    return f"{deployment}-{digest([*types, count], 6)}"


def model_name(deployment: str, container: Any) -> str:
    """Return the name of a further model of a deployment, for the instance types that its own is not for.

    Args:
        deployment: its name, which its own model has.
        container: what the model consists of.
    """
    return f"{deployment}-{digest(container, 6)}"


def sizes_of(config: str) -> tuple[int, int] | None:
    """Return the memory in MB and the concurrency that a configuration's name tells; None where it tells none."""
    found = _SIZES.search(config)
    return (int(found["memory_mb"]), int(found["concurrency"])) if found else None


def deployment_of(config: str) -> str:
    """Return the name of the deployment that an endpoint configuration is of: its own, or that before the sizes."""
    return _SIZES.sub("", config)


def model_of(config: str) -> str:
    """Return the name of the model that a configuration is for, whatever its sizes and its instances are."""
    # The last identity in it: a service's own name may have what looks like one.
    found = re.match(rf"{_OF_SERVICE.pattern}(?=-|$)", config)
    return found[0] if found else config


def may_be_ours(name: str) -> bool:
    """Return whether a model or a configuration may be one of Sealift's, by its name; only its tags tell for sure."""
    return _OF_SERVICE.match(name) is not None


def service_within(config: str) -> str:
    """Return the service that a configuration may be of, by its name; empty where none of Sealift's has such a name."""
    found = _OF_SERVICE.match(config)
    return found["service"] if found else ""


def image_tag(version: str, architecture: str) -> str:
    """Return the tag of Sealift's own image of a version, for CPUs of an architecture (`x86_64` or `arm64`)."""
    return f"sealift-{version.replace('+', '-')}-{architecture}"


def introduction(service: str, endpoints: Iterable[str]) -> str:
    """Return what is said of a service that has no endpoint yet, with the names that it may be a slip of.

    Args:
        service: the one that is deployed.
        endpoints: the names of the endpoints that there are; what is one of Sealift's is taken for a service's.

    Returns:
        A sentence; empty for a service that has one.
    """
    known = {_IDENTITY.sub("", name) for name in endpoints}
    if service in known:
        return ""
    return f"service {service!r} is new: it has no endpoint yet{slip(service, known)}"


def slip(service: str, known: Iterable[str]) -> str:
    """Return the question whether a name is a slip of known ones, to follow a sentence; empty where none is near.

    A deployment's own name is a slip of its service's; letter case counts for nothing.
    """
    others = sorted({*known} - {service})
    meant = _IDENTITY.sub("", service.lower())
    near = [meant] if meant in others else difflib.get_close_matches(meant, others, n=3, cutoff=NEAR)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def execution_name(bucket: str, key: str, version_id: str, sequencer: str) -> str:
    """Return the execution's name for one upload; the same event gives the same name.

    Step Functions refuses a second execution of the same name, which is what makes an event that arrives
    twice harmless.
    """
    service = service_from_key(key) or "upload"
    return f"{service}-{digest([bucket, key, version_id, sequencer], 16)}"
