"""The network, the key and the tags of a deployment: what is sent, what is told, and what is refused before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import InvalidInput, ModelDoesNotFit, Problem
from pipeline.planning import deployment_request, network, network_checks, plan, quotas, set_apart, sizes
from pipeline.state_data.plan_types import CapacityStep
from pipeline.state_data.request_types import Network
from tests.unit.conftest import ARCHIVE

if TYPE_CHECKING:
    from pipeline.state_data.request_types import Request, StackDefaults
    from tests.unit.conftest import FactsMaker

WHERE = {name: ARCHIVE[name] for name in ("bucket", "key", "version_id")}
A, B, C = "subnet-0aaaaaaa", "subnet-0bbbbbbb", "subnet-0ccccccc"
GROUP, OTHER_GROUP = "sg-0aaaaaaa", "sg-0bbbbbbb"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1"
OTHER_KEY = "arn:aws:kms:us-east-1:123456789012:key/2"
ROLE = "arn:aws:iam::123456789012:role/other"
NVME = {
    "name": "ml.m5d.xlarge",
    "vcpus": 4,
    "memory_gib": 16,
    "usd_per_hour": 0.27,
    "memory_bandwidth_gb_s": 20,
    "local_disk_gb": 150,
}
STACK = {
    "subnets": f"{A},{B}",
    "security_groups": GROUP,
    "volume_kms_key_arns": f"{KEY}, {OTHER_KEY}",
    "resource_tags": "CostCenter=42,Team=harbour=2",
}


def asked(defaults: StackDefaults, stack: dict[str, str], **fields: Any) -> Request:
    """Return the request that a stack and an input make, on an instance."""
    document = {"archive": WHERE, "hosting": "instance", **fields}
    return deployment_request.request(document, None, {**defaults, **stack})  # type: ignore[typeddict-item]


def problems(defaults: StackDefaults, stack: dict[str, str], **fields: Any) -> list[Problem]:
    """Return what is wrong with one."""
    with pytest.raises(InvalidInput) as refusal:
        asked(defaults, stack, **fields)
    return list(refusal.value.problems)


# ----------------------------------------------------------------------- what is asked for


def test_a_stack_that_says_nothing_asks_for_nothing(defaults: StackDefaults) -> None:
    """Also one of an older release, whose definition does not tell."""
    request = asked(defaults, {})

    assert (request.network, request.volume_kms_key_arn, request.tags) == (Network(), None, None)
    assert not request.network
    assert network.planned(request, ["ml.m5.xlarge"]) == ()


def test_what_the_stack_names_holds_where_nobody_says_anything(defaults: StackDefaults) -> None:
    """A tag's key ends at the first sign of equality; of several keys the first is taken."""
    request = asked(defaults, {**STACK, "network_isolation": "true"})

    assert request.network == Network((A, B), (GROUP,), isolated=True)
    assert (request.volume_kms_key_arn, request.default_volume_key) == (KEY, True)
    assert request.tags == {"CostCenter": "42", "Team": "harbour=2"}


def test_a_deployment_narrows_what_the_stack_names(defaults: StackDefaults) -> None:
    """Fewer subnets, another of its keys, isolation; and its tags stand beside the stack's."""
    request = asked(
        defaults,
        STACK,
        network={"subnets": [B], "isolated": True},
        volume_kms_key_arn=OTHER_KEY,
        tags={"Team": "quay", "Owner": ""},
    )

    assert request.network == Network((B,), (GROUP,), isolated=True)
    assert (request.volume_kms_key_arn, request.default_volume_key) == (OTHER_KEY, False)
    assert request.tags == {"CostCenter": "42", "Team": "quay", "Owner": ""}


@pytest.mark.parametrize(
    ("stack", "fields", "error", "said"),
    [
        pytest.param(
            STACK, {"hosting": "serverless"}, "NetworkOnServerless", f"subnets {A}, {B} and", id="serverless"
        ),
        pytest.param(
            {"network_isolation": "true"},
            {"hosting": "serverless"},
            "NetworkOnServerless",
            "with network isolation",
            id="isolation on serverless",
        ),
        pytest.param(
            {},
            {"network": {"subnets": [A]}, "execution_role_arn": ROLE},
            "NetworkIncomplete",
            "network.subnets without network.security_groups",
            id="subnets alone",
        ),
        pytest.param(
            {"security_groups": GROUP},
            {},
            "NetworkIncomplete",
            "network.security_groups without network.subnets",
            id="groups alone",
        ),
        pytest.param(
            STACK, {"network": {"subnets": [A, C]}}, "NetworkNotAllowed", f"names {C}", id="another subnet"
        ),
        pytest.param(
            STACK,
            {"network": {"security_groups": [OTHER_GROUP]}, "execution_role_arn": ROLE},
            "NetworkNotAllowed",
            f"names {OTHER_GROUP}",
            id="another group, whatever the role",
        ),
        pytest.param(
            {**STACK, "network_isolation": "true"},
            {"network": {"isolated": False}},
            "IsolationRequired",
            "network.isolated is false",
            id="out of isolation",
        ),
        pytest.param({}, {"volume_kms_key_arn": KEY}, "KeyNotAllowed", repr(KEY), id="a key of nobody's"),
        pytest.param(
            {"volume_kms_key_arns": KEY.replace("us-east-1", "eu-west-1")},
            {},
            "WrongRegion",
            "eu-west-1",
            id="a key elsewhere",
        ),
        pytest.param(
            STACK,
            {"volume_kms_key_arn": KEY, "instance_type": "ml.g5.xlarge"},
            "KeyOnOwnDisk",
            "'ml.g5.xlarge'",
            id="a key on NVMe",
        ),
        pytest.param(
            {"volume_kms_key_arns": KEY},
            {"hosting": "serverless", "volume_kms_key_arn": KEY},
            "OtherHosting",
            "'volume_kms_key_arn' with hosting 'serverless'",
            id="a key on serverless",
        ),
    ],
)
def test_what_sagemaker_would_refuse_late_is_refused_at_once(
    defaults: StackDefaults, stack: dict[str, str], fields: dict[str, Any], error: str, said: str
) -> None:
    """One problem each, with what was seen."""
    (problem,) = problems(defaults, stack, **fields)

    assert problem.error == error
    assert said in problem.seen


def test_a_network_that_the_stack_does_not_name_takes_a_role_of_ones_own(defaults: StackDefaults) -> None:
    """The stack's role may make no network interface then; the refusal has the command for each parameter."""
    wanted = {"subnets": [A, B], "security_groups": [GROUP]}

    first, second = problems(defaults, {}, network=wanted)
    assert f"`sealift deploy --parameter Subnets={A},{B}`" in first.fix
    assert f"`sealift deploy --parameter SecurityGroups={GROUP}`" in second.fix
    assert asked(defaults, {}, network=wanted, execution_role_arn=ROLE).network == Network((A, B), (GROUP,))


def test_whose_mistake_it_is(defaults: StackDefaults) -> None:
    """The stack's, where only its parameters say it."""
    (of_stack,) = problems(defaults, STACK, hosting="serverless")
    (of_input,) = problems(defaults, STACK, network={"subnets": [C]})

    assert (of_stack.where, of_input.where) == ("the stack's parameters", "the execution's input")


@pytest.mark.parametrize(
    ("tags", "right"),
    [
        pytest.param({"Kostenstelle ü": "a b_.:/=+-@"}, True, id="letters and signs"),
        pytest.param({"k" * 128: "v" * 256}, True, id="the longest"),
        pytest.param({"k" * 129: "v"}, False, id="a longer key"),
        pytest.param({"k": "v" * 257}, False, id="a longer value"),
        pytest.param({"": "v"}, False, id="no key"),
        pytest.param({"aws:x": "v"}, False, id="AWS's"),
        pytest.param({"AWS:x": "v"}, False, id="AWS's in capitals"),
        pytest.param({"sealift:x": "v"}, False, id="ours"),
        pytest.param({"awsome": "v", "sealifted": "v"}, True, id="no prefix"),
        pytest.param({"k": "a,b"}, False, id="a comma"),
        pytest.param({"k": 1}, False, id="a number"),
        pytest.param({f"k{n}": "" for n in range(20)}, True, id="the most"),
        pytest.param({f"k{n}": "" for n in range(21)}, False, id="one more"),
        pytest.param({f"{n}": "v" * 200 for n in range(10)}, False, id="more than the plan holds"),
        pytest.param({f"{n}": "v" * 190 for n in range(10)}, True, id="as much as it holds"),
        pytest.param(["k"], False, id="a list"),
    ],
)
def test_tags_are_what_aws_takes(defaults: StackDefaults, tags: Any, *, right: bool) -> None:
    """By its rules for keys and values; and no more of them than are left beside Sealift's."""
    if right:
        assert asked(defaults, {}, tags=tags).tags == tags
        return

    (problem,) = problems(defaults, {}, tags=tags)

    assert problem.error in {"WrongValue", "TagsTooLarge"}
    assert network_checks.MOST_TAG_BYTES == 2048


# ------------------------------------------------------------------------------ what is sent


def planned(facts_with: FactsMaker, defaults: StackDefaults, stack: dict[str, str], **fields: Any) -> Any:
    """Return the plan of one on instances."""
    made = facts_with(hosting="instance")
    return plan.plan(replace(made, request=asked(defaults, stack, **fields)))


def test_each_call_gets_its_part(facts_with: FactsMaker, defaults: StackDefaults) -> None:
    """The network belongs to the model, the key to the configuration, the tags to all three; ours come first."""
    made = planned(facts_with, defaults, STACK, network={"isolated": True})
    model, config = made.requests.create_model, made.requests.create_endpoint_config

    assert model["VpcConfig"] == {"SecurityGroupIds": [GROUP], "Subnets": [A, B]}
    assert model["EnableNetworkIsolation"] is True
    assert config["KmsKeyId"] == KEY
    assert not {"VpcConfig", "EnableNetworkIsolation"} & set(config)
    for request in (model, config, made.requests.create_endpoint):
        keys = [one["Key"] for one in request["Tags"]]
        assert keys[-2:] == ["CostCenter", "Team"]
        assert keys[0] == "sealift:service"


def test_without_any_of_it_the_calls_are_what_they_were(
    facts_with: FactsMaker, defaults: StackDefaults
) -> None:
    """No empty field, and the name that the deployment had before there was any choice."""
    plain, tagged = planned(facts_with, defaults, {}), planned(facts_with, defaults, {}, tags={"a": "b"})

    assert not {"VpcConfig", "EnableNetworkIsolation"} & set(plain.requests.create_model)
    assert "KmsKeyId" not in plain.requests.create_endpoint_config
    assert plain.names.model == plan.plan(facts_with(hosting="instance")).names.model != tagged.names.model


def test_serverless_has_tags_and_nothing_else_of_it(facts_with: FactsMaker, defaults: StackDefaults) -> None:
    """The stack's key is for volumes, and serverless has none."""
    stack = {"volume_kms_key_arns": KEY, "resource_tags": "CostCenter=42"}
    request = asked(defaults, stack, hosting="serverless", max_concurrency=10)
    made = plan.plan(replace(facts_with(), request=request))
    other = asked(defaults, {"resource_tags": "CostCenter=42"}, hosting="serverless", max_concurrency=10)

    assert "KmsKeyId" not in made.requests.create_endpoint_config
    assert {"Key": "CostCenter", "Value": "42"} in made.requests.create_endpoint["Tags"]
    # A key that nothing is encrypted with makes no other deployment.
    assert plan.plan(replace(facts_with(), request=other)).names == made.names


def test_auto_comes_to_no_serverless_with_a_network(facts_with: FactsMaker, defaults: StackDefaults) -> None:
    """Though the model fits: an instance is taken where it is allowed, and asked for where it is not."""
    made = planned(facts_with, defaults, STACK, hosting="auto", allow_instances=True)

    assert made.hosting == "instance"
    with pytest.raises(ModelDoesNotFit, match="a serverless endpoint is in no VPC of yours"):
        planned(facts_with, defaults, STACK, hosting="auto")


def test_a_key_that_is_asked_for_keeps_to_types_that_it_encrypts(
    facts_with: FactsMaker, defaults: StackDefaults
) -> None:
    """The stack's own key does not: it is left out of a type with a disk of its own, and a note says so."""
    cheap = {"instance_types": [{**NVME, "usd_per_hour": 0.001}]}
    by_stack = planned(facts_with, defaults, STACK, **cheap)
    by_name = planned(facts_with, defaults, STACK, volume_kms_key_arn=KEY, **cheap)

    assert by_stack.instances.type == NVME["name"]
    assert "KmsKeyId" not in by_stack.requests.create_endpoint_config
    assert any("encrypts nothing there and is not sent" in note for note in by_stack.notes)
    assert NVME["name"] not in {one.name for one in by_name.instances.offers}
    assert by_name.requests.create_endpoint_config["KmsKeyId"] == KEY


def test_a_key_is_sent_where_it_encrypts_all_that_may_run() -> None:
    """One type with a disk of its own among several is enough for SageMaker to refuse it."""
    assert network.config_fields(KEY, ["ml.m5.large", "ml.c5.large"]) == {"KmsKeyId": KEY}
    assert network.config_fields(KEY, ["ml.m5.large", "ml.g5.xlarge"]) == {}
    assert network.config_fields(None, ["ml.m5.large"]) == {}


def test_a_step_to_another_type_keeps_or_leaves_the_key(
    facts_with: FactsMaker, defaults: StackDefaults
) -> None:
    """As that type has it; the tags stay, whatever step is taken."""
    made = planned(facts_with, defaults, STACK)
    assert made.instances is not None
    first, second = made.instances.offers[:2]
    nvme = replace(second, name="ml.m5d.2xlarge")
    on = replace(made.instances, offers=(first, nvme))
    down = quotas.InstancesDown(nvme.name, 1, CapacityStep("one", "none left", "another type"))
    step = sizes.step_instances(replace(made, instances=on), down)

    assert "KmsKeyId" not in step.requests.create_endpoint_config
    assert step.requests.create_endpoint["Tags"] == made.requests.create_endpoint["Tags"]


@pytest.mark.parametrize(
    ("fields", "archive_code", "said"),
    [
        pytest.param({}, False, ["need a way to S3"], id="two subnets"),
        pytest.param(
            {"network": {"subnets": [A]}}, False, ["need a way to S3", "one subnet was named"], id="one"
        ),
        pytest.param({"network": {"isolated": True}}, False, ["need a way to S3"], id="code of ours"),
        pytest.param(
            {"network": {"isolated": True}},
            True,
            ["need a way to S3", "the container is isolated"],
            id="code of the archive's",
        ),
    ],
)
def test_a_person_is_told_what_a_network_takes(
    defaults: StackDefaults, fields: dict[str, Any], said: list[str], *, archive_code: bool
) -> None:
    """No more than concerns the deployment."""
    request = replace(asked(defaults, STACK, **fields), volume_kms_key_arn=None)
    told = list(network.notes(request, "ml.m5.large", archive_code=archive_code))

    assert len(told) == len(said)
    assert all(text in line for text, line in zip(said, told, strict=True))


def test_a_line_for_each_that_is_set() -> None:
    """Sealift's own tags and AWS's are left out."""
    model = {"VpcConfig": {"Subnets": [A, B], "SecurityGroupIds": [GROUP]}, "EnableNetworkIsolation": True}
    tags = {"sealift:service": "x", "aws:cloudformation": "y", "a": "1", "b": ""}

    assert set_apart.describe(model, {"KmsKeyId": KEY}, tags) == (
        ("network", f"{A}, {B} with {GROUP}; isolated: the container has no network"),
        ("key", f"{KEY} encrypts the volume"),
        ("tags", "a=1, b="),
    )
    assert set_apart.describe({"EnableNetworkIsolation": False}, {}, {"sealift:a": "b"}) == ()
