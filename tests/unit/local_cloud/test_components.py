"""Inference components as a client sees them: made, called, scaled to none and back, deleted."""

from __future__ import annotations

from typing import Any

import pytest

from local_cloud.hosting.components import CopyScaling, goes_to_none, wakes
from local_cloud.hosting.platform import texts
from tests.unit.local_cloud.test_hosting_instances import on_instances
from tests.unit.local_cloud.test_hosting_service import ARN, ROLE, World

BOTH = CopyScaling(least=0, most=1, follows=True, wakes=True)
MANAGED = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 1}


class ComponentWorld(World):
    """An account with an endpoint that hosts components, whose time passes in pauses alone."""

    def __init__(self) -> None:
        super().__init__(scaling_of=lambda _name: self.scaling)
        self.scaling: CopyScaling | None = None

    def host(self, **variant: Any) -> None:
        """Bring an endpoint without a model into service."""
        self.model()
        self.ask("CreateEndpointConfig", **host_request(**variant))
        self.endpoint()
        self.run("launch of e")

    def run(self, *begins: str) -> None:
        """Run the jobs whose names begin so, in their order, and leave the others waiting."""
        for begin in begins:
            found = next(one for one in self.jobs.waiting if one[0].startswith(begin))
            self.jobs.waiting.remove(found)
            found[1]()

    def component(self, **changes: Any) -> dict[str, Any]:
        """Create the endpoint's component."""
        return self.ask("CreateInferenceComponent", **component_request(**changes))

    def described(self) -> dict[str, Any]:
        """Return the component."""
        return self.ask("DescribeInferenceComponent", InferenceComponentName="e")

    def serve_component(self) -> None:
        """Bring an endpoint with its component into service."""
        self.host()
        self.component()
        self.run("launch of component")


def host_request(**variant: Any) -> dict[str, Any]:
    """Return a CreateEndpointConfig request without a model."""
    whole = {
        "VariantName": "AllTraffic",
        "InstanceType": "ml.m5.xlarge",
        "InitialInstanceCount": 1,
        "ManagedInstanceScaling": MANAGED,
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
        **variant,
    }
    return {"EndpointConfigName": "c", "ExecutionRoleArn": ROLE, "ProductionVariants": [whole]}


def component_request(**changes: Any) -> dict[str, Any]:
    """Return a CreateInferenceComponent request."""
    required = {"NumberOfCpuCoresRequired": 2.25, "MinMemoryRequiredInMb": 1024}
    return {
        "InferenceComponentName": "e",
        "EndpointName": "e",
        "VariantName": "AllTraffic",
        "Specification": {"ModelName": "m", "ComputeResourceRequirements": required},
        "RuntimeConfig": {"CopyCount": 1},
        **changes,
    }


@pytest.fixture
def here() -> ComponentWorld:
    """Return a fresh account."""
    return ComponentWorld()


def test_a_component_answers_for_its_endpoint(here: ComponentWorld) -> None:
    """The endpoint comes up empty, the component brings the model, and a call names it."""
    here.host()
    assert here.status() == "InService"
    assert not here.containers

    here.component()
    assert here.described()["InferenceComponentStatus"] == "Creating"
    here.run("launch of component")

    found = here.described()
    assert found["InferenceComponentStatus"] == "InService"
    assert found["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}
    assert here.invoke(Inference_Component="e") == b"echo hello"
    variant = here.ask("DescribeEndpoint", EndpointName="e")["ProductionVariants"][0]
    assert variant["ManagedInstanceScaling"] == MANAGED
    listed = here.ask("ListInferenceComponents", EndpointNameEquals="e")["InferenceComponents"]
    assert [one["InferenceComponentName"] for one in listed] == ["e"]
    assert not here.ask("ListInferenceComponents", EndpointNameEquals="f")["InferenceComponents"]


def test_a_call_that_names_no_component_is_refused(here: ComponentWorld) -> None:
    """In AWS's words, whose code clients look for."""
    here.serve_component()

    error = here.fails()

    assert (error.code, error.message) == ("ValidationError", texts.COMPONENT_NOT_NAMED)
    assert error.fields == {"ErrorCode": "INFERENCE_COMPONENT_NAME_MISSING"}
    assert "not found" in str(here.fails(Inference_Component="other").message)


def test_an_endpoint_with_a_model_takes_no_name_of_a_component(here: ComponentWorld) -> None:
    """So a client has to know which one it asks."""
    here.model()
    here.ask("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[on_instances()])
    here.endpoint()
    here.run("launch of e")

    assert here.fails(Inference_Component="e").message == texts.COMPONENT_NOT_ALLOWED
    assert here.refused("CreateInferenceComponent", **component_request()).message == texts.not_hosting(
        f"{ARN}endpoint/e"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"EndpointName": "f"}, "Could not find endpoint", id="no such endpoint"),
        pytest.param(
            {
                "Specification": {
                    "ModelName": "n",
                    "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024},
                }
            },
            "Could not find model",
            id="no such model",
        ),
        pytest.param({"RuntimeConfig": {"CopyCount": 0}}, texts.copies_at_first(), id="no copy"),
        pytest.param({"VariantName": "Other"}, 'Variant "Other" does not exist', id="no such variant"),
        pytest.param({"Specification": None}, "Member must not be null", id="no specification"),
    ],
)
def test_what_aws_refuses_of_a_component(here: ComponentWorld, changes: dict[str, Any], said: str) -> None:
    """Before anything is made."""
    here.host()

    error = here.refused("CreateInferenceComponent", **component_request(**changes))

    assert error.code == "ValidationException"
    assert said in str(error.message)
    assert here.refused("DescribeInferenceComponent", InferenceComponentName="e").message == (
        f'Could not find inference component "{ARN}inference-component/e".'
    )


def test_an_endpoint_that_is_not_in_service_takes_no_component(here: ComponentWorld) -> None:
    """The workflow waits for the endpoint first."""
    here.model()
    here.ask("CreateEndpointConfig", **host_request())
    here.endpoint()

    error = here.refused("CreateInferenceComponent", **component_request())

    assert error.message == texts.endpoint_not_in_service(f"{ARN}endpoint/e", "Creating")


@pytest.mark.parametrize(
    ("required", "taken"),
    [
        pytest.param({"NumberOfCpuCoresRequired": 4.0, "MinMemoryRequiredInMb": 4095}, True, id="all of it"),
        pytest.param({"NumberOfCpuCoresRequired": 4.25, "MinMemoryRequiredInMb": 1024}, False, id="CPUs"),
        pytest.param({"MinMemoryRequiredInMb": 4096}, False, id="memory"),
        pytest.param(
            {"NumberOfAcceleratorDevicesRequired": 1.0, "MinMemoryRequiredInMb": 128}, False, id="GPUs"
        ),
    ],
)
def test_a_copy_that_reserves_too_much_fails(
    here: ComponentWorld, required: dict[str, float], taken: bool
) -> None:
    """With the reason that AWS gives; of 16 GiB it did not give 4096 MB."""
    here.host()
    here.component(Specification={"ModelName": "m", "ComputeResourceRequirements": required})
    here.run("launch of component")

    found = here.described()

    assert found["InferenceComponentStatus"] == ("InService" if taken else "Failed")
    assert found.get("FailureReason") == (None if taken else texts.NOT_ENOUGH_HARDWARE)


def test_a_component_that_changes_is_not_deleted(here: ComponentWorld) -> None:
    """Whoever takes it away comes again."""
    here.host()
    here.component()

    error = here.refused("DeleteInferenceComponent", InferenceComponentName="e")
    assert error.message == texts.component_busy(
        "delete", f"{ARN}inference-component/e", "CREATE_IN_PROGRESS"
    )

    here.run("launch of component")
    here.ask("DeleteInferenceComponent", InferenceComponentName="e")
    assert here.described()["InferenceComponentStatus"] == "Deleting"
    assert "DELETE_IN_PROGRESS" in str(
        here.refused("DeleteInferenceComponent", InferenceComponentName="e").message
    )
    here.run("deletion of e")
    assert "Could not find" in str(
        here.refused("DescribeInferenceComponent", InferenceComponentName="e").message
    )
    assert here.containers[-1].ended == ["stop"]


def test_a_component_outlives_its_endpoint(here: ComponentWorld) -> None:
    """AWS takes DeleteEndpoint: what is left behind keeps its name."""
    here.serve_component()

    here.ask("DeleteEndpoint", EndpointName="e")
    here.run("deletion of e")

    assert here.described()["InferenceComponentStatus"] == "InService"
    assert "already existing" in str(here.refused("CreateInferenceComponent", **component_request()).message)


def test_nobody_calls_and_the_copies_go_and_a_call_brings_one_back(here: ComponentWorld) -> None:
    """After the time that Application Auto Scaling's own alarm takes; the call itself is refused."""
    here.serve_component()
    here.scaling = BOTH
    begun = here.time.now

    here.run("scaling of e")
    assert 900 <= here.time.now - begun < 910
    here.run("recounting of e")

    assert here.described()["RuntimeConfig"] == {"DesiredCopyCount": 0, "CurrentCopyCount": 0}
    variant = here.ask("DescribeEndpoint", EndpointName="e")["ProductionVariants"][0]
    assert variant["CurrentInstanceCount"] == 0
    assert here.fails(Inference_Component="e").message == texts.NO_COPY
    assert here.fails(Inference_Component="e").message == texts.NO_COPY
    begun = here.time.now
    here.run("waking of e")
    assert here.time.now - begun == 60
    assert not here.jobs.waiting[1:], "a second call starts nothing more"
    assert here.fails(Inference_Component="e").message == texts.NO_COPY
    here.run("launch of component")

    assert here.invoke(Inference_Component="e") == b"echo hello"
    variant = here.ask("DescribeEndpoint", EndpointName="e")["ProductionVariants"][0]
    assert variant["CurrentInstanceCount"] == 1


def test_without_its_policy_a_component_stays_at_none(here: ComponentWorld) -> None:
    """Target tracking cannot leave zero: whoever forgets the alarm never gets an answer again."""
    here.serve_component()
    here.scaling = CopyScaling(least=0, most=1, follows=True, wakes=False)
    here.run("scaling of e", "recounting of e")

    assert here.fails(Inference_Component="e").message == texts.NO_COPY
    assert not here.jobs.waiting
    here.ask(
        "UpdateInferenceComponentRuntimeConfig",
        InferenceComponentName="e",
        DesiredRuntimeConfig={"CopyCount": 1},
    )
    here.run("launch of component")
    assert here.invoke(Inference_Component="e") == b"echo hello"


@pytest.mark.parametrize(
    ("scaling", "quiet_s", "goes"),
    [
        (BOTH, 900, True),
        (BOTH, 899, False),
        (None, 10_000, False),
        (CopyScaling(1, 2, follows=True, wakes=True), 10_000, False),
        (CopyScaling(0, 2, follows=False, wakes=True), 10_000, False),
    ],
)
def test_what_lets_copies_go(scaling: CopyScaling | None, quiet_s: float, goes: bool) -> None:
    """A policy, a least of none, and time without a call."""
    assert goes_to_none(scaling, quiet_s=quiet_s, after_s=900) is goes


@pytest.mark.parametrize(
    ("scaling", "comes"),
    [
        (BOTH, True),
        (None, False),
        (CopyScaling(0, 1, follows=True, wakes=False), False),
        (CopyScaling(0, 0, follows=True, wakes=True), False),
    ],
)
def test_what_brings_a_copy_back(scaling: CopyScaling | None, comes: bool) -> None:
    """The alarm's policy, and room for one."""
    assert wakes(scaling) is comes


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        pytest.param(
            {**host_request(), "ExecutionRoleArn": None}, texts.hosts_need("ExecutionRoleArn"), id="no role"
        ),
        pytest.param(host_request(ModelName="m"), "ExecutionRoleArn is valid in AWS", id="role and model"),
        pytest.param(
            {**host_request(ModelName="m"), "ExecutionRoleArn": None},
            texts.no_model(),
            id="managed, and a model",
        ),
    ],
)
def test_what_a_configuration_without_a_model_needs(
    here: ComponentWorld, request_: dict[str, Any], said: str
) -> None:
    """The role that a model would name, and no model."""
    here.model()

    assert said in str(here.refused("CreateEndpointConfig", **request_).message)
