"""The good deployments of a service by their tags: which one is newer, which is the rollback target, which may go.

Owns the tags that a deployment gets when it has turned out good, the order of uploads, and who is retired; facts in,
decisions out. Refuses to make a call (`release_store` looks, the tasks act), and to let go whatever is referred to.

A deployment's record is its endpoint configuration: that one cannot be changed, belongs to one deployment alone also
where an endpoint is updated in place, and is deleted last. A deployment that was given another concurrency may have
several, which differ in nothing else: they are one record (`together`), and go together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypedDict

from pipeline.aws import resource_tags
from pipeline.aws.resource_tags import (
    TAG_CONSUMERS,
    TAG_EXECUTION,
    TAG_SCALING,
    TAG_SERVICE,
    TAG_UPLOADED,
    TAG_VERSION,
    consumer_tag,
    consumer_tags,
    tag_value,
)
from pipeline.endpoint_status import ALIVE
from pipeline.naming import deployment_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from pipeline.aws.resource_tags import Caller

TAG_DEPLOYED: Final = "sealift:deployed-at"
"""When it was found good and, where there is a consumer, switched to; ISO 8601."""
TAG_WITHDRAWN: Final = "sealift:withdrawn-at"
"""When it was rolled back."""
TAG_ENDPOINT: Final = "sealift:endpoint"
TAG_KEEP: Final = "sealift:keep-previous"
"""How many good deployments before it stay as ways back."""

TAG_PAUSED: Final = "sealift:paused-at"
"""When its endpoint was taken away to be brought back by `sealift resume`; ISO 8601."""
TAG_RESUMED: Final = "sealift:resumed-at"
TAG_PAUSED_SCALING: Final = "sealift:paused-auto-scaling"
"""How the endpoint scaled when it was paused (`kept_scaling`)."""
TAG_EXPIRES: Final = "sealift:expires-at"
"""When it is taken down by itself; ISO 8601, or `NEVER`, since a tag of an earlier life would stay otherwise."""
NEVER: Final = "never"
TAG_EXPIRY_TOLD: Final = "sealift:expiry-told"
"""Of which end the topic was told beforehand, as `TAG_EXPIRES` had it; with `OVERDUE`, that it did not come about."""
OVERDUE: Final = " overdue"
"""After the end that the tag names."""

TAG_TAKEN: Final = "sealift:taken-from"
"""The endpoint of another service that a consumer was taken from."""

OF_THE_RECORD: Final = frozenset(
    {
        TAG_DEPLOYED,
        TAG_WITHDRAWN,
        TAG_ENDPOINT,
        TAG_KEEP,
        TAG_TAKEN,
        TAG_PAUSED,
        TAG_RESUMED,
        TAG_PAUSED_SCALING,
        TAG_EXPIRES,
        TAG_EXPIRY_TOLD,
    }
)
"""The tags that a configuration has as the deployment's record, and no endpoint."""
MOST_TAGS: Final = 50
"""Tags of one resource."""


class Consumer(TypedDict):
    """Who calls a deployment."""

    function_name: str
    variable: str
    alias: str | None


@dataclass(frozen=True, slots=True)
class Release:
    """One deployment of a service, by its endpoint configuration."""

    config: str
    """The one that its endpoint has, else the newest."""
    config_arn: str
    created: str
    """Of its first configuration; ISO 8601."""
    execution: str
    """The execution that made it, as a tag's value."""
    uploaded_at: str = ""
    """When its archive was uploaded; ISO 8601 in whole seconds, which is all that S3 tells."""
    version: str = ""
    deployed_at: str | None = None
    """None: not finished yet, or failed."""
    withdrawn_at: str | None = None
    endpoint: str | None = None
    """Where it was deployed; None as long as it is not finished."""
    status: str | None = None
    """The endpoint's; None when the endpoint is gone."""
    serves: bool = False
    """Whether the endpoint has this configuration now."""
    consumers: tuple[Consumer, ...] = ()
    scales: bool = False
    """Whether its instances are scaled: its endpoint has a scalable target, or had one."""
    to_zero: bool = False
    """Whether its endpoint hosts an inference component, which scales to none."""
    keep_previous: int | None = None
    """How many good deployments before this one stay; None as long as it is not finished."""
    taken_from: str | None = None
    """The endpoint of another service that its consumer called before."""
    paused_at: str | None = None
    resumed_at: str | None = None
    expires_at: str | None = None
    """When it is taken down by itself; None: it stays."""
    expiry_told: str = ""
    """What the topic was told last of its end before that came."""
    others: tuple[str, ...] = ()
    """Its other configurations, of other sizes."""

    @property
    def configs(self) -> tuple[str, ...]:
        """Return all of its configurations."""
        return (self.config, *self.others)

    @property
    def age(self) -> tuple[str, str, str]:
        """What releases are ordered by: the upload, and only within the same second what came after it."""
        return (self.uploaded_at, self.created, self.config)

    @property
    def good(self) -> bool:
        """Whether it was finished, and not rolled back since."""
        return self.deployed_at is not None and (self.withdrawn_at or "") < self.deployed_at

    @property
    def is_to_resume(self) -> bool:
        """Whether it was paused, and not brought back since: whatever has come of its endpoint."""
        if not self.paused_at or not self.endpoint or not (self.serves or self.status is None):
            return False
        return self.paused_at > max(self.deployed_at or "", self.resumed_at or "")

    @property
    def is_paused(self) -> bool:
        """Whether nothing of it runs, and its configuration is kept to bring it back."""
        return self.is_to_resume and self.status in {None, "Deleting"}

    @property
    def life_s(self) -> float | None:
        """Seconds from when it turned out good, or was brought back, until it goes by itself; None: it stays."""
        begun = max(self.deployed_at or "", self.resumed_at or "")
        if not self.expires_at or not begun:
            return None
        return (datetime.fromisoformat(self.expires_at) - datetime.fromisoformat(begun)).total_seconds()

    @property
    def is_rollback_target(self) -> bool:
        """Whether it can serve again: its endpoint is there, with its configuration or one that came after it."""
        return self.good and self.status in ALIVE

    @property
    def may_serve_again(self) -> bool:
        """Whether it is a good deployment that runs, or one that was paused and can be brought back."""
        return self.is_rollback_target or (self.good and self.is_paused)


def choose(found: Iterable[Release], called: AbstractSet[str]) -> Release | None:
    """Return the release that serves; None when none does.

    Args:
        found: the service's releases.
        called: the endpoints that its consumers call. Where they call none of the service's nobody can tell who calls
            it by its name: then the newest good one serves, as it does for `sealift status`.
    """
    there = [one for one in found if one.endpoint and one.serves]
    by_consumers = [one for one in there if one.endpoint in called]
    # A consumer calls what is tried in its canary as well; what is settled comes first.
    settled = [one for one in by_consumers if one.good] or by_consumers
    able = settled or [one for one in there if one.is_rollback_target]
    return max(able, key=lambda one: one.age, default=None)


def read(
    config: str, arn: str, created: str, tags: Mapping[str, str], endpoints: Mapping[str, tuple[str, str]]
) -> Release | None:
    """Return the release that a configuration's tags tell of; None when Sealift did not make it.

    Args:
        config: the configuration's name.
        arn: its ARN.
        created: when it was made.
        tags: its tags.
        endpoints: status and configuration of each endpoint, by name.
    """
    if TAG_EXECUTION not in tags or TAG_SERVICE not in tags:
        return None
    endpoint = tags.get(TAG_ENDPOINT)
    if endpoint is None:
        endpoint = next((name for name, (_, has) in endpoints.items() if has == config), None)
    status, has = endpoints.get(endpoint or "", (None, None))
    return Release(
        config=config,
        config_arn=arn,
        created=created,
        execution=tags[TAG_EXECUTION],
        uploaded_at=tags.get(TAG_UPLOADED, ""),
        version=tags.get(TAG_VERSION, ""),
        deployed_at=tags.get(TAG_DEPLOYED),
        withdrawn_at=tags.get(TAG_WITHDRAWN),
        endpoint=endpoint,
        status=status,
        serves=has == config,
        consumers=_consumers(tags),
        scales=TAG_SCALING in tags,
        to_zero=resource_tags.scales_to_none(tags),
        keep_previous=_number(tags.get(TAG_KEEP)),
        paused_at=tags.get(TAG_PAUSED),
        resumed_at=tags.get(TAG_RESUMED),
        expires_at=None if tags.get(TAG_EXPIRES) == NEVER else tags.get(TAG_EXPIRES),
        expiry_told=tags.get(TAG_EXPIRY_TOLD, ""),
        taken_from=tags.get(TAG_TAKEN),
    )


def together(found: Iterable[Release]) -> tuple[Release, ...]:
    """Return one release for each deployment, whatever number of configurations it has.

    Each of them may have been the one that was marked: what counts is the last thing that was said of any.
    """
    groups: dict[str, list[Release]] = {}
    for one in found:
        groups.setdefault(deployment_of(one.config), []).append(one)
    return tuple(_one_of(group) for group in groups.values())


def _one_of(group: Sequence[Release]) -> Release:
    if len(group) == 1:
        return group[0]
    # What was paused is brought back with the configuration that it had.
    now = max(group, key=lambda one: (one.serves, one.paused_at or "", one.created, one.config))
    marked = max(group, key=lambda one: (one.deployed_at or "", one is now))
    where = now if now.endpoint else next((one for one in group if one.endpoint), now)
    return replace(
        now,
        created=min(one.created for one in group),
        deployed_at=marked.deployed_at,
        withdrawn_at=max((one.withdrawn_at for one in group if one.withdrawn_at), default=None),
        endpoint=where.endpoint,
        status=where.status,
        consumers=marked.consumers,
        keep_previous=marked.keep_previous,
        taken_from=marked.taken_from,
        resumed_at=max((one.resumed_at for one in group if one.resumed_at), default=None),
        expires_at=marked.expires_at,
        expiry_told=marked.expiry_told,
        others=tuple(sorted(one.config for one in group if one is not now)),
    )


def marks(
    endpoint: str,
    consumers: Sequence[Caller],
    now: str,
    keep: int,
    *,
    taken_from: str | None = None,
    expires_at: str | None = None,
) -> dict[str, str]:
    """Return the tags of a deployment that has turned out good."""
    return {
        **({TAG_TAKEN: tag_value(taken_from)} if taken_from else {}),
        TAG_DEPLOYED: tag_value(now),
        TAG_ENDPOINT: endpoint,
        TAG_KEEP: str(keep),
        TAG_EXPIRES: expires_at or NEVER,
        **consumer_tags(consumers),
    }


def _number(tag: str | None) -> int | None:
    return int(tag) if tag is not None and tag.isdecimal() else None


def _consumers(tags: Mapping[str, str]) -> tuple[Consumer, ...]:
    number = _number(tags.get(TAG_CONSUMERS))
    count = 1 if number is None else number
    found = (_consumer(tags.get(consumer_tag(number))) for number in range(1, min(count, MOST_TAGS) + 1))
    return tuple(one for one in found if one is not None)


def _consumer(tag: str | None) -> Consumer | None:
    words = (tag or "").split(" ")
    if len(words) not in {2, 3}:
        return None
    return Consumer(function_name=words[0], variable=words[1], alias=words[2] if len(words) == 3 else None)


# -- the order of uploads


class Precedence(StrEnum):
    """What a deployment does that finds another one in its place."""

    GO = "go"
    WAIT = "wait"
    """The other one is being tried, and may yet be undone."""
    SUPERSEDED = "superseded"
    """The other one is of a newer upload."""


def precedence(
    uploaded_at: str, execution: str, there: Release | None, *, running: bool, holding: bool = False
) -> Precedence:
    """Return whether a deployment may take the place of the one that serves.

    What is being tried is not judged before it is settled: so what a switch is undone to is always a deployment that
    has turned out good, and of two at the same moment the newer good one serves in the end, whoever came first. Two
    that each hold a consumer of the other would wait for ever: there the older one lets go at once.

    Args:
        uploaded_at: when the archive of the deployment was uploaded.
        execution: its execution.
        there: what serves now; None when that is nothing of the service's.
        running: whether the execution that made `there` is running.
        holding: whether the deployment has switched another consumer already.
    """
    if there is None or there.execution == tag_value(execution):
        return Precedence.GO
    if there.deployed_at is None and running:
        older = (uploaded_at, tag_value(execution)) < (there.uploaded_at, there.execution)
        return Precedence.SUPERSEDED if holding and older else Precedence.WAIT
    newer = there.uploaded_at > uploaded_at and there.status in ALIVE
    return Precedence.SUPERSEDED if newer else Precedence.GO


# -- retiring


@dataclass(frozen=True, slots=True)
class Retirement:
    """Who stays and who goes, newest first."""

    kept: tuple[Release, ...] = ()
    """The ways back."""
    going: tuple[Release, ...] = ()
    spared: tuple[tuple[Release, str], ...] = ()
    """Who would go if it were not for this reason."""


def retire(
    releases: Iterable[Release],
    *,
    own: str,
    keep: int,
    referred: Mapping[str, str] | None = None,
    needed: Mapping[str, str] | None = None,
) -> Retirement:
    """Return who goes once a deployment has turned out good.

    Only what was finished once can go: what never was belongs to an execution that runs, or to the undoing of one.

    Args:
        releases: of the service.
        own: the configuration of the new deployment.
        keep: how many earlier good deployments stay as ways back.
        referred: who refers to an endpoint, by its name.
        needed: why a configuration is needed, by its name.
    """
    referred, needed = referred or {}, needed or {}
    ordered = sorted(releases, key=lambda one: one.age, reverse=True)
    mine = next((one for one in ordered if own in one.configs), None)
    if mine is None:
        return Retirement()
    earlier = [one for one in ordered if one.deployed_at and one is not mine and one.age < mine.age]
    kept = tuple([one for one in earlier if one.may_serve_again][:keep])
    going, spared = [], []
    for one in earlier:
        if one in kept:
            continue
        # An endpoint that has another configuration by now is called for that one's sake.
        why = (_endpoint_is_needed(one, referred) if one.serves else None) or next(
            (needed[config] for config in one.configs if config in needed), None
        )
        if why:
            spared.append((one, why))
        else:
            going.append(one)
    return Retirement(kept, tuple(going), tuple(spared))


def _endpoint_is_needed(one: Release, referred: Mapping[str, str]) -> str | None:
    if one.status == "Creating":
        return f"somebody is making endpoint {one.endpoint} anew"
    return referred.get(one.endpoint or "")


# -- the rollback target


def serving(releases: Iterable[Release], endpoint: str) -> Release | None:
    """Return the release that an endpoint serves."""
    return next((one for one in releases if one.endpoint == endpoint and one.serves), None)


def previous(releases: Iterable[Release], now: Release) -> Release | None:
    """Return the newest good release before `now` that has an endpoint of its own in service; None if there is none."""
    able = (one for one in releases if one.is_rollback_target and one.serves and one.status == "InService")
    return max((one for one in able if one.age < now.age), key=lambda one: one.age, default=None)
