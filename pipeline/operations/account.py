"""What there is of Sealift's in the account, as data: `account_scan` reads it, and status, sweep and teardown decide.

Owns the shape of it. Refuses to make a call and to decide anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.rollout.releases import Release


class MadeKind(StrEnum):
    """What Sealift makes, in the order in which it is deleted."""

    ENDPOINT = "endpoint"
    CONFIG = "endpoint configuration"
    MODEL = "model"
    ALARM = "alarm"
    PARAMETER = "parameter"
    VERSION = "version"
    ARCHIVE = "archive"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class ExecutionEnd:
    """What is known of an execution that made something."""

    running: bool = False
    ended: datetime | None = None
    """None when it is running, or not known any more."""
    unreadable: str = ""
    """Why it could not be looked at."""


@dataclass(frozen=True, slots=True)
class Made:
    """One thing that Sealift made, or may have made."""

    kind: MadeKind
    name: str
    changed: datetime
    """When it was made, or changed since; an image also when a deployment claimed it last."""
    service: str = ""
    execution: str = ""
    """The one that made it, as a tag's value; empty where nothing tells."""
    archive: str = ""
    """The upload that it was made of, as a tag's value."""
    arn: str = ""
    uses: tuple[str, ...] = ()
    """An endpoint's configuration, a configuration's models, the endpoint of an alarm, a parameter or a version, the
    URLs of an archive, the URIs of an image."""
    status: str = ""
    """An endpoint's."""
    function: str = ""
    """A version's."""
    version: str = ""
    """A version's number; which one of an archive's object; an image's digest."""
    bucket: str = ""
    """Of an image's record, by which deployments claim it."""
    aliased: bool = False
    """Whether an alias sends calls to a version."""
    marked: datetime | None = None
    """When an archive was marked."""
    scales: bool = False
    """Whether an endpoint's instances are scaled, as its tags say."""
    to_zero: bool = False
    """Whether it hosts an inference component, which scales to none."""
    unreadable: str = ""
    """Why nobody can tell whose it is."""
    own_tags: Mapping[str, str] = field(default_factory=dict)
    """Of an endpoint: the tags that are somebody's own."""

    @property
    def key(self) -> str:
        """Its kind and its name: an endpoint, its configuration and its model may share a name."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Account:
    """What was read of the account, as far as its `Scope` goes."""

    made: tuple[Made, ...]
    releases: Mapping[str, tuple[Release, ...]] = field(default_factory=dict)
    """The deployments of each service."""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Every endpoint of the account, and the configuration that it has; empty for one that was not described."""
    configs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Every configuration of the account, and the models that it names."""
    models: frozenset[str] = frozenset()
    """Every model of the account."""
    archives: Mapping[str, str] = field(default_factory=dict)
    """Which model reads an archive, by the archive's URL."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Which model has an image, by the image's URI."""
    named: Mapping[str, str] = field(default_factory=dict)
    """Who names what, by the value of a consumer's variable."""
    executions: Mapping[str, ExecutionEnd] = field(default_factory=dict)
    """Those that made something."""
    running: Mapping[str, str] = field(default_factory=dict)
    """The archive, as a tag's value, that each running execution is at work on."""
    unclear: Mapping[str, str] = field(default_factory=dict)
    """Why it is not known who calls a service, by the service."""
    descriptions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The endpoints that Sealift made as DescribeEndpoint has them, by their names."""
    unseen: Mapping[MadeKind, str] = field(default_factory=dict)
    """Why not everything of a kind could be looked at; ENDPOINT stands for running executions too."""


def moment(text: str) -> datetime:
    """Return the time that a tag tells, which is the earliest there is when it tells none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
