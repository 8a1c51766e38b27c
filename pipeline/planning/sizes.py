"""What of a plan depends on the endpoint's sizes: its configuration's name and its requests.

Owns them, and the same plan with other sizes, after a quota has refused the first ones. Refuses to choose the sizes:
`plan` does at first, and `quotas` on each step of the ladder.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pipeline import instance_pools, limits, naming
from pipeline.hosting import INSTANCE
from pipeline.planning import alarms, network, quotas, scale_to_zero
from pipeline.sizing import instance_types, running_cost
from pipeline.state_data.plan_types import Requests, adapts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.state_data.plan_types import Asked, AskedInstances, Names, Offer, OnInstances, Plan

PROVISION_S: Final = 600
"""Seconds that SageMaker may look for capacity in a pool. Its guide counts them for all types together; others report
that each type has them: three of them then take a deployment's usual deadline, and no more."""

OF_HOST: Final = ("ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation")
"""Of a configuration whose endpoints host a component: what a model of their own would say."""

MOST_STEPS: Final = 10
"""Of a plan: the ladder has fewer rungs."""


def config_name(name: str, asked: Asked, memory_mb: int, concurrency: int) -> str:
    """Return the endpoint configuration's name: the deployment's own, with the sizes when they differ from the request.

    A configuration cannot be changed, so each size has one of its own; and the sizes in use can be read off it. Where
    no concurrency was requested, the name always has the sizes.
    """
    if (memory_mb, concurrency) == (asked.memory_mb, asked.max_concurrency):
        return name
    return naming.sized_name(name, memory_mb, concurrency)


def sizes_of(config: str, name: str, asked: Asked) -> tuple[int, int] | None:
    """Return memory and concurrency of a configuration by its name; None when it is of another deployment."""
    if config == name and asked.max_concurrency is not None:
        return asked.memory_mb, asked.max_concurrency
    return naming.sizes_of(config) if naming.deployment_of(config) == name else None


def instances_config_name(name: str, asked: AskedInstances, types: Sequence[str], count: int) -> str:
    """Return the endpoint configuration's name: the deployment's own, or that of other instances than requested.

    Args:
        name: the deployment's.
        asked: what was requested.
        types: the one type, or those of a pool (`types_of`).
        count: how many instances.
    """
    if (tuple(types), count) == (asked.types, asked.count):
        return name
    return naming.instances_name(name, types, count)


def pool(offers: Sequence[Offer]) -> tuple[Offer, ...]:
    """Return the offers that one endpoint configuration can name together: the first, and those whose disk is alike.

    A configuration has one VolumeSizeInGB, which a type with a disk of its own is refused and any other needs.
    """
    own = instance_types.has_own_disk(offers[0].name)
    alike = (one for one in offers if instance_types.has_own_disk(one.name) == own)
    return tuple(alike)[: instance_pools.MOST_TYPES]


def types_of(offers: Sequence[Offer], *, pooled: bool) -> tuple[str, ...]:
    """Return the types that a configuration names: of a pool all that can be in one, else the first."""
    return tuple(one.name for one in (pool(offers) if pooled else offers[:1]))


def slots(offers: Sequence[Offer], *, pooled: bool) -> int:
    """Return how many requests whichever instance of a configuration answers at once: the fewest of its types'."""
    return min(one.slots or 1 for one in (pool(offers) if pooled else offers[:1]))


def serverless_config(memory_mb: int, concurrency: int | None, provisioned: int | None) -> dict[str, int]:
    """Return a variant's ServerlessConfig; without a concurrency none that can be requested.

    Args:
        memory_mb: of each container.
        concurrency: MaxConcurrency; None where none was requested.
        provisioned: ProvisionedConcurrency, as far as it goes into that; None for none.
    """
    return {
        "MemorySizeInMB": memory_mb,
        **({"MaxConcurrency": concurrency} if concurrency else {}),
        **({"ProvisionedConcurrency": min(provisioned, concurrency)} if provisioned and concurrency else {}),
    }


def instance_variant(on: OnInstances) -> dict[str, Any]:
    """Return what a configuration's variant on instances asks for beside name and model."""
    # A type with a disk of its own is refused together with a volume's size.
    volume = {} if instance_types.has_own_disk(on.type) else {"VolumeSizeInGB": on.volume_gb}
    # Where a component brings the model, it says how long that may take.
    starts = (
        scale_to_zero.of_variant(on.count)
        if on.to_zero
        else {
            "ModelDataDownloadTimeoutInSeconds": on.download_s,
            "ContainerStartupHealthCheckTimeoutInSeconds": on.startup_s,
        }
    )
    return {
        **instance_pools.members(types_of(on.offers, pooled=on.pooled), PROVISION_S, _own_models(on.offers)),
        "InitialInstanceCount": on.count,
        **volume,
        **({"InferenceAmiVersion": on.ami_version} if on.ami_version else {}),
        **starts,
    }


def _own_models(offers: Sequence[Offer]) -> dict[str, str]:
    """Return the models of those types that do not run the first one's, by type."""
    return {one.name: one.model for one in offers if one.model and one.model != offers[0].model}


def costs(on: OnInstances | None, provisioned: int | None = None) -> str:
    """Return in words what an endpoint costs while nobody calls it.

    Args:
        on: the instances; None on serverless.
        provisioned: serverless containers that are kept started, whose price by the hour is not listed.
    """
    serverless = None if provisioned else 0.0
    return running_cost.Cost(on.usd_per_hour if on else serverless, to_zero=on is not None and on.to_zero).now


def requests(
    create_models: Sequence[dict[str, Any]],
    names: Names,
    members: dict[str, Any],
    on: OnInstances | None = None,
    *,
    deadline_s: int = 0,
    hosts: Mapping[str, Any] | None = None,
) -> Requests:
    """Return the requests for an endpoint.

    Args:
        create_models: its models', which no size changes; whose tags the others bear too. The first is the variant's,
            the rest are for types of its pool, or for such as a quota may lead to.
        names: of the configuration and the endpoint.
        members: what the variant asks for beside name and model (`instance_variant`, or its ServerlessConfig).
        on: the instances; None on serverless.
        deadline_s: seconds that an update of instances may take.
        hosts: what the configuration of an endpoint that hosts a component says in its model's place (`OF_HOST`).
    """
    create_model, *others = create_models
    config, endpoint, tags = names.endpoint_config, names.endpoint, create_model["Tags"]
    to_zero = on is not None and on.to_zero
    model = {} if to_zero else {"ModelName": create_model["ModelName"]}
    variant = {"VariantName": naming.VARIANT, **model, **members}
    return Requests(
        create_model=create_model,
        other_models=tuple({name: one[name] for name in ("ModelName", "PrimaryContainer")} for one in others),
        create_endpoint_config={
            "EndpointConfigName": config,
            "ProductionVariants": [variant],
            **(hosts or {}),
            **_metrics(on),
            **(network.config_fields(on.volume_key, types_of(on.offers, pooled=on.pooled)) if on else {}),
            "Tags": tags,
        },
        create_endpoint={"EndpointName": endpoint, "EndpointConfigName": config, "Tags": tags},
        update_endpoint={
            "EndpointName": endpoint,
            "EndpointConfigName": config,
            **({"DeploymentConfig": _guardrails(endpoint, on, deadline_s)} if on else {}),
        },
        create_inference_component=scale_to_zero.component(names, on, tags) if on and to_zero else None,
    )


def _metrics(on: OnInstances | None) -> dict[str, Any]:
    """Return a configuration's MetricsConfig; nothing on serverless, which publishes no more than its own list."""
    if on is None or on.detailed_observability is None:
        return {}
    return {"MetricsConfig": {"EnableDetailedObservability": on.detailed_observability}}


def _guardrails(endpoint: str, on: OnInstances, deadline_s: int) -> dict[str, Any]:
    """Return how SageMaker is to move the calls to the new instances, and which alarms take that back.

    Of several instances one goes first; a canary may not be more than half of them (CapacitySize). What is not done at
    the deployment's deadline SageMaker takes back by itself, so that the rollback has not to wait for more.
    """
    canary = {"Type": "CANARY", "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1}}
    routing: dict[str, Any] = canary if on.count > 1 else {"Type": "ALL_AT_ONCE"}
    longest = on.download_s + on.startup_s + 2 * on.bake_s + limits.LEAST_START_TIMEOUT_S.value
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {**routing, "WaitIntervalInSeconds": on.bake_s},
            "TerminationWaitInSeconds": 0,
            "MaximumExecutionTimeoutInSeconds": min(
                longest, max(deadline_s, limits.LEAST_DEPLOYMENT_S.value), limits.DEPLOYMENT_S.value
            ),
        },
        "AutoRollbackConfiguration": {
            "Alarms": [{"AlarmName": name} for name in alarms.judging(endpoint, INSTANCE)]
        },
    }


def ask(made: Plan) -> quotas.Ask:
    """Return what a serverless plan asks of the account's quotas."""
    if made.memory_mb is None or made.max_concurrency is None:
        raise AssertionError(f"{made.service}: not serverless")
    return quotas.Ask(
        memory_mb=made.memory_mb,
        concurrency=made.max_concurrency,
        sizes_mb=tuple(made.fit["sizes_mb"]),
        arithmetic=made.arithmetic,
        room=made.room,
        taken=made.rungs,
        adapts=adapts(made.asked),
    )


def lower(made: Plan, down: quotas.Down) -> Plan:
    """Return the plan after a step down: another endpoint configuration, all else as it was."""
    asked = made.asked
    if asked is None:
        raise AssertionError(f"{made.service}: not serverless")
    config = config_name(made.names.model, asked, down.memory_mb, down.concurrency)
    names = replace(made.names, endpoint_config=config)
    variant = {"ServerlessConfig": serverless_config(down.memory_mb, down.concurrency, asked.provisioned)}
    return replace(
        made,
        names=names,
        memory_mb=down.memory_mb,
        max_concurrency=down.concurrency,
        room=down.room,
        rungs=(*made.rungs, down.rung.value),
        steps=(*made.steps, down.step)[-MOST_STEPS:],
        requests=requests([made.requests.create_model], names, variant),
    )


def step_instances(made: Plan, down: quotas.InstancesDown) -> Plan:
    """Return the plan after a step to fewer instances, to another type, or to a pool without one of its types."""
    on = made.instances
    if on is None:
        raise AssertionError(f"{made.service}: not on instances")
    left = on.offers if down.type == on.type else on.offers[1:]
    left = tuple(one for one in left if one.name != down.without)
    stepped = replace(
        on,
        type=down.type,
        count=down.count,
        offers=left,
        usd_per_hour=round(down.count * left[0].usd_per_hour, 6),
        slots=left[0].slots or on.slots,
        busy_cpus=left[0].vcpus if on.busy_cpus == on.offers[0].vcpus else on.busy_cpus,
        auto_scaling=scale_to_zero.scaling(down.count, on.slots) if on.to_zero else on.auto_scaling,
    )
    types = types_of(left, pooled=on.pooled)
    name = instances_config_name(made.names.model, on.asked, types, down.count)
    names = replace(made.names, endpoint_config=name)
    config, models = made.requests.create_endpoint_config, _models_of(left[0], made)
    return replace(
        made,
        names=names,
        instances=stepped,
        image_uri=models[0]["PrimaryContainer"]["Image"],
        costs=costs(stepped),
        steps=(*made.steps, down.step)[-MOST_STEPS:],
        requests=requests(
            models,
            names,
            instance_variant(stepped),
            stepped,
            deadline_s=made.poll.deadline_s,
            hosts={name: config[name] for name in OF_HOST if name in config},
        ),
    )


def _models_of(first: Offer, made: Plan) -> list[dict[str, Any]]:
    """Return the parameters of all models of a plan, the one first that a type runs.

    What no type has any more has been made already: it is the plan's until the deployment has ended.
    """
    own = first.model or made.names.model
    return sorted(made.requests.create_models, key=lambda one: one["ModelName"] != own)
