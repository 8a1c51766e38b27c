"""Pausing a service and bringing it back: its endpoints that cost money go, and what makes them again stays.

A configuration's tags tell that its deployment is paused (`releases.TAG_PAUSED`), and how it scaled; model, archive,
alarms, the service's parameter and its consumers stay as they are. Looked at, decided, carried out; each step may be
repeated, so what was cut short goes on where it ended. Refuses while a deployment of the service runs, and to pause
what costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

from botocore.exceptions import ClientError

from pipeline import naming, time_format
from pipeline.aws import resource_tags, service_errors, waiting
from pipeline.errors import InvalidInput, Problem
from pipeline.operations import removal, service_removal, service_status, teardown
from pipeline.operations.account import Made, MadeKind
from pipeline.planning import kept_component, kept_scaling
from pipeline.rollout import autoscaling_api, component_api, release_store, releases
from pipeline.sizing.running_cost import Cost
from pipeline.state_data.plan_types import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pipeline.aws.clients import Clients
    from pipeline.operations.service_status import DeploymentStatus, PausedDeployment, Service
    from pipeline.planning.kept_component import KeptComponent
    from pipeline.planning.kept_scaling import KeptScaling
    from pipeline.rollout.releases import Release

START_S: Final = 3600
"""Seconds that are waited for an endpoint: an instance, the download, and the container's start."""
LOOK_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class PausePlan:
    """What would go, and what would stay."""

    service: Service
    going: tuple[DeploymentStatus, ...]
    """Whose endpoints go; each has a release."""
    idle: tuple[str, ...]
    """Endpoints that stay, since they cost nothing while nobody calls."""
    left: tuple[str, ...]
    """Endpoints that cost money and are no deployment's that turned out good: not for this to take."""
    callers: tuple[str, ...]
    """Who calls an endpoint that goes, and will fail then, in words."""

    @property
    def saves(self) -> Cost:
        """What is saved an hour."""
        return _sum(one.endpoint.cost for one in self.going)


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """What would be brought back."""

    service: Service
    coming: tuple[PausedDeployment, ...]
    """The newest first."""

    @property
    def costs(self) -> Cost:
        """What it costs an hour from then on."""
        return _sum(one.cost for one in self.coming)


def plan_pause(service: Service) -> PausePlan:
    """Return what pausing a service would do; nothing goes where it is paused already.

    Raises:
        InvalidInput: a deployment of it runs; or there is nothing to pause, since nothing of it costs money.
    """
    service_removal.refuse_while_deployed(service.name, (one.entry for one in service.running))
    going, idle, left = [], [], []
    for one in service.deployments:
        if one.endpoint.cost is not None and one.endpoint.cost.usd_per_hour == 0:
            idle.append(one.endpoint.name)
        elif one.release is not None and one.release.deployed_at and one.release.serves:
            going.append(one)
        else:
            left.append(one.endpoint.name)
    if not going and not service.paused:
        _refuse_nothing(service, idle, left)
    names = {one.endpoint.name for one in going}
    return PausePlan(service, tuple(going), tuple(idle), tuple(left), tuple(_callers(service, names)))


def _refuse_nothing(service: Service, idle: Sequence[str], left: Sequence[str]) -> NoReturn:
    wanted, fix = "an endpoint that costs money now", f"`sealift status {service.name}` tells what there is"
    if idle:
        seen = f"endpoint {idle[0]!r} costs nothing while nobody calls it"
        fix = f"nothing need be done; `sealift delete {service.name}` takes it away"
    elif left:
        seen = f"endpoint {left[0]!r} is of a deployment that never turned out good"
        fix = "`sealift sweep` shows what is left over, and `sealift sweep --delete` deletes it"
    else:
        seen = "nothing of it runs"
    raise InvalidInput(f"service {service.name}", [Problem("NothingToPause", seen, wanted, fix)])


def _callers(service: Service, going: set[str]) -> Iterable[str]:
    for call in service.calls:
        if call.endpoint in going:
            yield f"{call.name} calls {call.endpoint}"
        elif call.unread:
            yield f"{call.name} may call it: {call.unread}"
    for parameter in service.parameters:
        if parameter.endpoint in going:
            yield f"whoever reads parameter {parameter.name} calls {parameter.endpoint}"


def pause(
    clients: Clients,
    plan: PausePlan,
    *,
    stack: str,
    now: str,
    on_gone: Callable[[str], None],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> None:
    """Take the endpoints away; the configurations are marked first, so that a second run finds what this one began.

    Args:
        clients: of the account.
        plan: what goes.
        stack: the one whose deployments must not run meanwhile.
        now: ISO 8601.
        on_gone: takes the name of an endpoint that is gone.
        sleep: waits between two looks.
        clock: returns seconds.

    Raises:
        InvalidInput: a deployment of the service has begun meanwhile, or an endpoint does not go.
    """
    service_removal.refuse_while_deployed(plan.service.name, service_removal.running(clients, stack))
    going = []
    for one in plan.going:
        if (
            one.release is None
        ):  # `plan_pause` takes none without; this is for the type checker and the impossible
            raise AssertionError(one.endpoint.name)
        _mark(clients, one.endpoint.name, one.release, now)
        going.append(
            Made(
                kind=MadeKind.ENDPOINT,
                name=one.endpoint.name,
                changed=one.endpoint.created,
                scales=one.release.scales,
                to_zero=one.release.to_zero,
            )
        )
    teardown.clear_endpoints(
        clients,
        going,
        on_gone=lambda gone: on_gone(gone.name),
        sleep=sleep,
        deadline=clock() + teardown.PATIENCE_S,
        clock=clock,
    )


def _mark(clients: Clients, endpoint: str, release: Release, now: str) -> None:
    tags = {releases.TAG_PAUSED: now, releases.TAG_ENDPOINT: endpoint}
    scaling: KeptScaling | KeptComponent | None = None
    if release.to_zero:
        there = component_api.describe(clients, endpoint)
        scaling = kept_component.of(there, *component_api.read_scaling(clients.autoscaling, endpoint))
    elif release.scales:
        scaling = autoscaling_api.read(clients.autoscaling, endpoint)
    # A run that was cut short may have deregistered it: then what it wrote down still holds.
    if scaling or not release.is_to_resume:
        tags[releases.TAG_PAUSED_SCALING] = scaling.tag if scaling else kept_scaling.NONE
    release_store.mark(clients.sagemaker, release.config_arn, tags)


# ----------------------------------------------------------------------------- bringing it back


def plan_resume(service: Service) -> ResumePlan:
    """Return what would be brought back; nothing where the service runs and nothing of it is paused.

    What was rolled back before it was paused is brought back only where nothing else is.

    Raises:
        InvalidInput: a deployment of it runs; or nothing of it is paused, and nothing runs.
    """
    service_removal.refuse_while_deployed(service.name, (one.entry for one in service.running))
    good = tuple(one for one in service.to_resume if one.release.good)
    coming = good or service.to_resume[:1]
    if not coming and not any(one.endpoint.status == "InService" for one in service.deployments):
        seen, wanted = "nothing of it is paused, and nothing of it is in service", "a service that was paused"
        fix = f"`sealift status {service.name}` tells what there is; `sealift push` deploys it anew"
        raise InvalidInput(f"service {service.name}", [Problem("NothingToResume", seen, wanted, fix)])
    return ResumePlan(service, coming)


def create(clients: Clients, one: PausedDeployment) -> bool:
    """Ask for the endpoint of a deployment that was paused; return whether it was not there yet.

    Raises:
        InvalidInput: a quota has no room for it, or its configuration is gone; it is paused as before then.
    """
    there = service_errors.or_none(clients.sagemaker.describe_endpoint, EndpointName=one.endpoint)
    if there is not None and there["EndpointStatus"] != "Deleting":
        return False
    if there is not None:
        removal.wait_until_deleted(clients.sagemaker, one.endpoint, teardown.PATIENCE_S, every_s=LOOK_S)
    tags = resource_tags.read(clients.sagemaker, one.release.config_arn)
    given = [{"Key": key, "Value": value} for key, value in _of_endpoint(tags).items()]
    try:
        clients.sagemaker.create_endpoint(
            EndpointName=one.endpoint,
            EndpointConfigName=one.release.config,
            Tags=given,  # type: ignore[arg-type]
        )
    except ClientError as error:
        if not service_errors.is_over_quota(error):
            raise
        fix = (
            "make room, as `sealift status` shows what runs, or ask for more in the Service Quotas console, then run "
            "this again; it is paused as before"
        )
        seen = service_errors.text(error)
        raise _refused(one, "QuotaUsedUp", seen, "room for it within the account's quotas", fix) from error
    return True


def wait_until_ready(clients: Clients, one: PausedDeployment, *, most_s: float = START_S) -> None:
    """Wait until an endpoint is in service; one that failed is taken away again.

    Raises:
        InvalidInput: it failed, as where there is no such instance to be had: it is paused as before then; or it takes
            longer than `most_s`, and goes on by itself.
    """
    ended = waiting.wait(
        clients.sagemaker, "endpoint_in_service", every_s=LOOK_S, most_s=most_s, EndpointName=one.endpoint
    )
    if ended is None:
        return
    if ended["EndpointStatus"] != "Failed":
        fix = "run this again: it goes on by itself meanwhile"
        raise _refused(
            one, "NotReady", f"it is {ended['EndpointStatus']} after {most_s:.0f} s", "InService", fix
        )
    clients.sagemaker.delete_endpoint(EndpointName=one.endpoint)
    removal.wait_until_deleted(clients.sagemaker, one.endpoint, teardown.PATIENCE_S, every_s=LOOK_S)
    seen = f"it failed: {ended.get('FailureReason') or 'no reason told'}"
    fix = (
        "it is paused as before: run this again later, or deploy on another instance type with `sealift push`"
    )
    raise _refused(one, "ResumeFailed", seen, "an endpoint in service", fix)


def bring_component(
    clients: Clients,
    one: PausedDeployment,
    *,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    most_s: float = START_S,
) -> None:
    """Make the inference component of an endpoint that is in service, where it had one, and wait until it answers.

    Args:
        clients: of the account.
        one: the deployment.
        sleep: waits between two looks.
        clock: returns seconds.
        most_s: that are waited for.

    Raises:
        InvalidInput: it is not known what the component was, it failed, or it takes longer: then it goes on by itself.
    """
    if not one.release.to_zero:
        return
    again = "run this again, or deploy anew with `sealift push`"
    tags = resource_tags.read(clients.sagemaker, one.release.config_arn)
    kept = kept_component.read(tags.get(releases.TAG_PAUSED_SCALING))
    if kept is None:
        raise _refused(
            one, "ComponentUnknown", "no tag tells of its inference component", "one that does", again
        )
    given = [{"Key": key, "Value": value} for key, value in _of_endpoint(tags).items()]
    names = Names(naming.model_of(one.release.config), one.release.config, one.endpoint)
    component_api.create(clients, kept.request(names, given))
    deadline = clock() + most_s
    while True:
        found = component_api.describe(clients, one.endpoint) or {}
        status = found.get("InferenceComponentStatus", "gone")
        if status == "InService":
            component_api.scale(clients, one.endpoint, kept.scaling, given)
            return
        if status in {"Failed", "gone"}:
            seen = f"its inference component is {status}: {found.get('FailureReason') or 'no reason told'}"
            raise _refused(one, "ResumeFailed", seen, "one in service", again)
        if clock() > deadline:
            seen = f"its inference component is {status} after {most_s:.0f} s"
            raise _refused(
                one, "NotReady", seen, "InService", "run this again: it goes on by itself meanwhile"
            )
        sleep(LOOK_S)


def _of_endpoint(tags: Mapping[str, str]) -> dict[str, str]:
    """Return which tags of a configuration its endpoint has too."""
    return {
        key: value
        for key, value in tags.items()
        if key not in releases.OF_THE_RECORD and not key.startswith("aws:")
    }


def settle(clients: Clients, one: PausedDeployment, now: str) -> Mapping[str, Any]:
    """Let an endpoint that is in service scale as it did, and mark its deployment as resumed; return what was done.

    Its life, where it has one, begins anew.
    """
    client = clients.sagemaker
    tags = resource_tags.read(client, one.release.config_arn)
    # Of a component `bring_component` has set it up.
    scaling = None if one.release.to_zero else kept_scaling.read(tags.get(releases.TAG_PAUSED_SCALING))
    if scaling is not None:
        autoscaling_api.restore(clients.autoscaling, one.endpoint, scaling)
    expires_at = life_anew(one.release, now)
    marked = {releases.TAG_RESUMED: now} | ({releases.TAG_EXPIRES: expires_at} if expires_at else {})
    for config in one.release.configs:
        arn = client.describe_endpoint_config(EndpointConfigName=config)["EndpointConfigArn"]
        release_store.mark(client, arn, marked)
    return {"auto_scaling": scaling.tag if scaling else None, "expires_at": expires_at}


def life_anew(release: Release, now: str) -> str | None:
    """Return when a deployment that is resumed now is taken down by itself: after as long as it had at first."""
    life_s = release.life_s
    return None if life_s is None else time_format.later(datetime.fromisoformat(now), life_s)


def standing(clients: Clients, endpoints: Iterable[str]) -> dict[str, str | None]:
    """Return the status of each endpoint as it is now, by name; None for one that is gone."""
    ask = clients.sagemaker.describe_endpoint
    found = {name: service_errors.or_none(ask, EndpointName=name) for name in endpoints}
    return {name: one["EndpointStatus"] if one else None for name, one in found.items()}


def find(
    clients: Clients, service: str, stack: str, prices: Mapping[str, Any]
) -> tuple[Service | None, tuple[str, ...]]:
    """Return a service as it stands, and what of it could not be looked at; None where there is nothing of it."""
    found = service_status.overview(clients, stack=stack, service=service, prices=prices)
    return next((one for one in found if one.name == service), None), found.unseen


def _refused(one: PausedDeployment, error: str, seen: str, wanted: str, fix: str) -> InvalidInput:
    return InvalidInput(f"endpoint {one.endpoint}", [Problem(error, seen, wanted, fix)])


def _sum(costs: Iterable[Cost | None]) -> Cost:
    known = [one or Cost(None, "its configuration could not be read") for one in costs]
    usd = [one.usd_per_hour for one in known if one.usd_per_hour is not None]
    total = round(sum(usd), 6) if len(usd) == len(known) else None
    return Cost(total, "; ".join(dict.fromkeys(one.how for one in known)))
