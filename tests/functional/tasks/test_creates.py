"""CreateModel and CreateEndpointConfig: doing it twice is doing it once."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import NameConflict, NotYetVisible, RequestRejected, ResourceLimitExceeded, SealiftError

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import Script, Task

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:123456789012:{}/harbour-0"
CONTAINER = {
    "Image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2",
    "ModelDataUrl": "s3://artifacts/archives/0/model.tar.gz",
    "Environment": {"SEALIFT_N_CTX": "2048"},
}
ASSEMBLED = {"bucket": "artifacts", "key": "archives/0/model.tar.gz", "etag": None}
VARIANTS = [
    {
        "VariantName": "AllTraffic",
        "ModelName": "harbour-0",
        "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 10},
    }
]
MODEL: dict[str, Any] = {
    "ModelName": "harbour-0",
    "PrimaryContainer": CONTAINER,
    "ExecutionRoleArn": "arn:aws:iam::123456789012:role/endpoint",
    "Tags": [{"Key": "sealift:service", "Value": "harbour"}],
}
CONFIG: dict[str, Any] = {
    "EndpointConfigName": "harbour-0",
    "ProductionVariants": VARIANTS,
    "Tags": [{"Key": "sealift:service", "Value": "harbour"}],
}


class Kind:
    """One of the two creates, with what SageMaker knows of its resource."""

    def __init__(self, state: str, resource: str, request: dict[str, Any], arn_field: str) -> None:
        self.state, self.request = state, request
        self.create, self.describe = f"create_{resource}", f"describe_{resource}"
        self.arn = ARN.format(resource.replace("_", "-"))
        self.words = resource.replace("_config", " configuration")
        self.arn_field = arn_field
        more = {"assembled": ASSEMBLED, "others": []} if resource == "model" else {}
        self.event = {"request": request, **more}
        self.made = {"name": "harbour-0", "arn": self.arn, "created": True}
        self.made |= {"others": []} if resource == "model" else {}

    def described(self, **changed: Any) -> dict[str, Any]:
        """Return the describe response, with what SageMaker adds of its own."""
        known = {name: value for name, value in self.request.items() if name != "Tags"}
        if "PrimaryContainer" in known:
            known["PrimaryContainer"] = {**known["PrimaryContainer"], "Mode": "SingleModel"}
        return {**known, self.arn_field: self.arn, "CreationTime": NOW, **changed}


KINDS = [
    pytest.param(Kind("CreateModel", "model", MODEL, "ModelArn"), id="model"),
    pytest.param(
        Kind("CreateEndpointConfig", "endpoint_config", CONFIG, "EndpointConfigArn"), id="configuration"
    ),
]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_created_with_the_very_request_of_the_plan(do: Task, script: Script, kind: Kind) -> None:
    """The plan's request goes out as it is, and the result says that this call made it."""
    script.answers("sagemaker", kind.create, {kind.arn_field: kind.arn}, kind.request)
    script.answers("sagemaker", kind.describe, kind.described())

    result = do(kind.state, script.clients, **kind.event)

    assert result == kind.made


def test_each_model_of_the_plans_types_is_created(do: Task, script: Script) -> None:
    """In all but image and environment they are alike; each bears the tags, and may be there already."""
    other = {**CONTAINER, "Image": "arm64", "Environment": {"SEALIFT_N_CTX": "1024"}}
    arn = ARN.format("model") + "-1a2b3c"
    asked = {**MODEL, "ModelName": "harbour-0-1a2b3c", "PrimaryContainer": other}
    kind = KINDS[0].values[0]
    assert isinstance(kind, Kind)
    script.answers("sagemaker", "create_model", {"ModelArn": kind.arn}, MODEL)
    script.answers("sagemaker", "describe_model", kind.described())
    script.refuses(
        "sagemaker", "create_model", "ValidationException", f'Cannot create already existing model "{arn}".'
    )
    known = {"ModelName": asked["ModelName"], "ModelArn": arn, "PrimaryContainer": other}
    script.answers("sagemaker", "describe_model", kind.described(**known))

    result = do(
        "CreateModel",
        script.clients,
        request=MODEL,
        others=[{"ModelName": asked["ModelName"], "PrimaryContainer": other}],
        assembled=ASSEMBLED,
    )

    assert result == {
        **kind.made,
        "others": [{"name": "harbour-0-1a2b3c", "arn": arn, "created": False}],
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_run_finds_what_the_first_made(do: Task, script: Script, kind: Kind) -> None:
    """The answer of the first may have been lost; the end state is the same."""
    script.answers("sagemaker", kind.create, {kind.arn_field: kind.arn})
    script.answers("sagemaker", kind.describe, kind.described())
    first = do(kind.state, script.clients, **kind.event)
    script.refuses(
        "sagemaker",
        kind.create,
        "ValidationException",
        f'Cannot create already existing {kind.words} "{kind.arn}".',
    )
    script.answers("sagemaker", kind.describe, kind.described())

    second = do(kind.state, script.clients, **kind.event)

    assert second == {**first, "created": False}


@pytest.mark.parametrize(
    ("kind", "changed", "field"),
    [
        pytest.param(
            KINDS[0].values[0],
            {"PrimaryContainer": {**CONTAINER, "ModelDataUrl": "s3://uploads/models/harbour/other.tar.gz"}},
            "PrimaryContainer",
            id="model of another archive",
        ),
        pytest.param(
            KINDS[0].values[0],
            {"PrimaryContainer": {**CONTAINER, "Environment": {}}},
            "PrimaryContainer",
            id="model with another environment",
        ),
        pytest.param(
            KINDS[0].values[0],
            {"ExecutionRoleArn": "arn:aws:iam::123456789012:role/other"},
            "ExecutionRoleArn",
            id="model with another role",
        ),
        pytest.param(
            KINDS[1].values[0],
            {
                "ProductionVariants": [
                    {**VARIANTS[0], "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 10}}
                ]
            },
            "ProductionVariants",
            id="configuration of another size",
        ),
        pytest.param(
            KINDS[1].values[0],
            {"ProductionVariants": [*VARIANTS, {**VARIANTS[0], "VariantName": "Second"}]},
            "ProductionVariants",
            id="configuration with a second variant",
        ),
    ],
)
def test_a_name_that_something_else_has_is_a_conflict(
    do: Task, script: Script, kind: Kind, changed: dict[str, Any], field: str
) -> None:
    """What exists is compared with what was requested, and the field that differs is named."""
    script.refuses(
        "sagemaker", kind.create, "ValidationException", f'Cannot create already existing {kind.words} "x".'
    )
    script.answers("sagemaker", kind.describe, kind.described(**changed))

    with pytest.raises(NameConflict) as conflict:
        do(kind.state, script.clients, **kind.event)

    (problem,) = conflict.value.problems
    assert problem.seen.startswith(f"{field} of the existing 'harbour-0' is ")
    assert problem.wanted == repr(kind.request[field])


def test_all_fields_that_differ_are_named(do: Task, script: Script) -> None:
    """One message tells all of them."""
    kind: Kind = KINDS[0].values[0]  # type: ignore[assignment]
    script.refuses(
        "sagemaker", kind.create, "ValidationException", 'Cannot create already existing model "x".'
    )
    script.answers(
        "sagemaker",
        kind.describe,
        kind.described(
            PrimaryContainer={"Image": "other"}, ExecutionRoleArn="arn:aws:iam::123456789012:role/other"
        ),
    )

    with pytest.raises(NameConflict) as conflict:
        do(kind.state, script.clients, **kind.event)

    assert len(conflict.value.problems) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_described_yet_is_tried_again(do: Task, script: Script, kind: Kind) -> None:
    """Just created, not seen everywhere: the next try finds it."""
    script.answers("sagemaker", kind.create, {kind.arn_field: kind.arn})
    script.missing(kind.describe, kind.words)

    with pytest.raises(NotYetVisible, match="harbour-0"):
        do(kind.state, script.clients, **kind.event)


def test_a_model_that_is_not_visible_to_its_configuration_is_tried_again(do: Task, script: Script) -> None:
    """The model was created moments ago, so its absence is a matter of time."""
    script.missing("create_endpoint_config", "model")

    with pytest.raises(NotYetVisible, match="CreateEndpointConfig: Could not find model"):
        do("CreateEndpointConfig", script.clients, request=CONFIG)


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        pytest.param(
            "ResourceLimitExceeded", "The account-level service limit", ResourceLimitExceeded, id="quota"
        ),
        pytest.param(
            "ValidationException",
            "Could not find model data at s3://b/k.",
            RequestRejected,
            id="no model data",
        ),
        pytest.param(
            "ValidationException", "1 validation error detected", RequestRejected, id="wrong request"
        ),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_create_keeps_its_reason(
    *, do: Task, script: Script, kind: Kind, code: str, message: str, error: type[SealiftError]
) -> None:
    """A quota may be used up by the resource itself; after any other refusal nothing is described."""
    script.refuses("sagemaker", kind.create, code, message)
    if error is ResourceLimitExceeded:
        script.missing(kind.describe)

    with pytest.raises(error, match=message):
        do(kind.state, script.clients, **kind.event)


# ---------------------------------------------------------------- an SDK that is older

OBSERVED: dict[str, Any] = {**CONFIG, "MetricsConfig": {"EnableDetailedObservability": True}}


class OlderSageMaker:
    """A client whose SDK knows a MetricsConfig with these members alone, none when there are none.

    And pools with the members that are named, of which it knows none when there are none; all of today's for None.
    """

    def __init__(self, newest: Any, *members: str, pools: str | None = None) -> None:
        known = newest.meta.service_model.operation_model("CreateEndpointConfig").input_shape.members
        metrics = {name: known["MetricsConfig"].members[name] for name in members}
        own = {name: shape for name, shape in known.items() if name != "MetricsConfig"}
        if pools is not None:
            variant = known["ProductionVariants"].member.members
            older = {name: shape for name, shape in variant.items() if name != "InstancePools"}
            if pools:
                pool = variant["InstancePools"].member.members
                these = SimpleNamespace(members={name: pool[name] for name in pools.split()})
                older["InstancePools"] = SimpleNamespace(member=these)
            own["ProductionVariants"] = SimpleNamespace(member=SimpleNamespace(members=older))
        if metrics:
            own["MetricsConfig"] = SimpleNamespace(members=metrics)
        operation = SimpleNamespace(input_shape=SimpleNamespace(members=own))
        self.meta = SimpleNamespace(service_model=SimpleNamespace(operation_model=lambda _name: operation))
        self.created: list[dict[str, Any]] = []

    def create_endpoint_config(self, **request: Any) -> dict[str, Any]:
        """Keep the request."""
        self.created.append(request)
        return {}

    def describe_endpoint_config(self, **_request: Any) -> dict[str, Any]:
        """Return what was created."""
        return {**self.created[-1], "EndpointConfigArn": ARN.format("endpoint-config")}


@pytest.mark.parametrize(
    ("members", "sent"),
    [
        pytest.param((), CONFIG, id="knows of no MetricsConfig"),
        pytest.param(("EnableEnhancedMetrics",), CONFIG, id="knows another part of it"),
        pytest.param(("EnableEnhancedMetrics", "EnableDetailedObservability"), OBSERVED, id="knows it"),
    ],
)
def test_a_metrics_config_is_sent_where_the_sdk_knows_it(
    do: Task, script: Script, caplog: pytest.LogCaptureFixture, members: tuple[str, ...], sent: dict[str, Any]
) -> None:
    """Lambda brings an SDK of its own: the deployment goes on without, and the log says so."""
    # The Step Functions SDK, where another test imports it, sets the root logger to ERROR.
    caplog.set_level("WARNING")
    older = OlderSageMaker(script.clients.sagemaker, *members)
    clients: Any = SimpleNamespace(sagemaker=older)

    result = do("CreateEndpointConfig", clients, request=OBSERVED)

    assert older.created == [sent]
    assert result["created"] is True
    assert ("MetricsConfig" in caplog.text) is (sent is CONFIG)


POOLED: dict[str, Any] = {
    **CONFIG,
    "ProductionVariants": [
        {
            "VariantName": "AllTraffic",
            "ModelName": "harbour-0",
            "InstancePools": [
                {"InstanceType": "ml.c5.large", "Priority": 1},
                {"InstanceType": "ml.m5.large", "Priority": 2},
            ],
            "VariantInstanceProvisionTimeoutInSeconds": 600,
            "InitialInstanceCount": 2,
        }
    ],
}
SINGLE: dict[str, Any] = {
    **CONFIG,
    "ProductionVariants": [
        {
            "VariantName": "AllTraffic",
            "ModelName": "harbour-0",
            "InitialInstanceCount": 2,
            "InstanceType": "ml.c5.large",
        }
    ],
}


@pytest.mark.parametrize(
    ("pools", "asked", "sent"),
    [
        pytest.param(None, POOLED, POOLED, id="knows pools"),
        pytest.param("", POOLED, SINGLE, id="knows none"),
        pytest.param("InstanceType Priority", POOLED, SINGLE, id="knows no models of their own"),
        pytest.param("", SINGLE, SINGLE, id="is asked for none"),
    ],
)
def test_a_pool_is_sent_where_the_sdk_knows_it(
    do: Task, script: Script, pools: str | None, asked: dict[str, Any], sent: dict[str, Any]
) -> None:
    """Else its first type alone, as before there were pools."""
    older: Any = OlderSageMaker(script.clients.sagemaker, pools=pools)
    clients: Any = SimpleNamespace(sagemaker=older)

    do("CreateEndpointConfig", clients, request=asked)

    assert older.created == [sent]
