"""What scales to none: the very requests, what contradicts it, and what a person is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.validate import ParamValidator

from local_cloud.calls import service_model
from pipeline import inference_component, naming
from pipeline.errors import InvalidInput
from pipeline.planning import alarms, copy_scaling, deployment_request, plan, quotas, scale_to_zero, sizes
from pipeline.state_data import plan_types
from pipeline.state_data.request_types import Scaling
from tests.stack_defaults import DEFAULTS
from tests.unit.planning.test_plan import OURS, STEP, instance_facts, variant_of

if TYPE_CHECKING:
    from tests.unit.conftest import FactsMaker

TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "inference-component/harbour-0a1b",
    "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
}
WANTED = Scaling(0, 2, concurrent_requests_per_instance=3)
TAGS = [{"Key": "sealift:service", "Value": "harbour"}]


def takes(service: str, operation: str, request: dict[str, Any]) -> str:
    """Return what the service model has against a request; empty when it takes it."""
    shape = service_model(service).operation_model(operation).input_shape
    report: str = ParamValidator().validate(request, shape).generate_report()
    return report


def test_the_configuration_names_no_model_and_the_component_does(facts_with: FactsMaker) -> None:
    """The role stands in the configuration, the time-outs in the component, which has the endpoint's name."""
    made = plan.plan(instance_facts(facts_with, scale_to_zero=True, instance_count=2, **OURS))
    name, on = made.names.endpoint, made.instances

    assert on is not None
    config, variant = made.requests.create_endpoint_config, variant_of(made)
    assert variant == {
        "VariantName": "AllTraffic",
        "InstanceType": on.type,
        "InitialInstanceCount": 2,
        "VolumeSizeInGB": on.volume_gb,
        "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 2},
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    }
    assert config["ExecutionRoleArn"] == made.requests.create_model["ExecutionRoleArn"]
    assert made.requests.create_inference_component == {
        "InferenceComponentName": name,
        "EndpointName": name,
        "VariantName": "AllTraffic",
        "Specification": {
            "ModelName": made.names.model,
            "StartupParameters": {
                "ModelDataDownloadTimeoutInSeconds": on.download_s,
                "ContainerStartupHealthCheckTimeoutInSeconds": on.startup_s,
            },
            "ComputeResourceRequirements": {
                "NumberOfCpuCoresRequired": on.offers[0].vcpus / 2 + 0.25,
                "MinMemoryRequiredInMb": 1024,
            },
        },
        "RuntimeConfig": {"CopyCount": 2},
        "Tags": made.requests.create_model["Tags"],
    }
    assert made.smoke_test.component
    assert {"Key": "sealift:auto-scaling", "Value": "0-2"} in made.requests.create_model["Tags"]
    assert not takes("sagemaker", "CreateEndpointConfig", config)
    assert not takes("sagemaker", "CreateInferenceComponent", made.requests.create_inference_component)


def test_a_copy_takes_all_gpus_of_its_instance(facts_with: FactsMaker) -> None:
    """And the machine's own image stays; no other type is asked for in its place."""
    made = plan.plan(instance_facts(facts_with, scale_to_zero=True, instance_type="ml.g5.12xlarge"))
    request = made.requests.create_inference_component

    assert request is not None
    assert request["Specification"]["ComputeResourceRequirements"] == {
        "NumberOfAcceleratorDevicesRequired": 4.0,
        "MinMemoryRequiredInMb": 1024,
    }
    assert "InferenceAmiVersion" in variant_of(made)


def test_without_the_wish_nothing_is_otherwise(facts_with: FactsMaker) -> None:
    """Neither in the requests nor in the name."""
    plain, false = (
        plan.plan(instance_facts(facts_with, **fields)) for fields in ({}, {"scale_to_zero": False})
    )
    zero = plan.plan(instance_facts(facts_with, scale_to_zero=True))

    assert plain.requests == false.requests
    assert plain.requests.create_inference_component is None
    assert "ExecutionRoleArn" not in plain.requests.create_endpoint_config
    assert zero.names.endpoint != plain.names.endpoint
    assert not plain.smoke_test.component


def test_the_network_stands_in_the_configuration(facts_with: FactsMaker) -> None:
    """A component's model has none; after a step of the ladder it is still there."""
    made = plan.plan(
        instance_facts(facts_with, scale_to_zero=True, network={"isolated": True}, instance_count=2)
    )
    stepped = sizes.step_instances(made, quotas.InstancesDown(variant_of(made)["InstanceType"], 1, STEP))

    for one in (made, stepped):
        assert "EnableNetworkIsolation" not in one.requests.create_model
        assert one.requests.create_endpoint_config["EnableNetworkIsolation"] is True
        assert "ExecutionRoleArn" in one.requests.create_endpoint_config
    assert stepped.instances is not None
    assert stepped.instances.auto_scaling is not None
    assert stepped.instances.auto_scaling.max == 1
    assert variant_of(stepped)["ManagedInstanceScaling"]["MaxInstanceCount"] == 1
    component = stepped.requests.create_inference_component
    assert component is not None
    assert component["RuntimeConfig"] == {"CopyCount": 1}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param({"hosting": "serverless"}, "OtherHosting", id="serverless"),
        pytest.param({"strategy": "in_place"}, "ScaleToZeroInPlace", id="in place"),
        pytest.param({"auto_scaling": {"max": 2}}, "TwoScalings", id="another scaling"),
        pytest.param({"instance_pool": True}, "ScaleToZeroInPool", id="a pool"),
    ],
)
def test_what_contradicts_it_is_refused(fields: dict[str, Any], error: str) -> None:
    """With the field that it is about."""
    asked = {
        "archive": {"bucket": "uploads", "key": "models/harbour/model.tar.gz"},
        "hosting": "instance",
        "scale_to_zero": True,
        **fields,
    }

    with pytest.raises(InvalidInput) as caught:
        deployment_request.request(asked, None, DEFAULTS)

    assert [problem.error for problem in caught.value.problems] == [error]


def test_the_scaling_is_whole() -> None:
    """A target from none, the policy that AWS names for copies, one that wakes, and the alarm that starts it."""
    assert copy_scaling.registration("harbour-0a1b", WANTED) == {
        **TARGET,
        "MinCapacity": 0,
        "MaxCapacity": 2,
    }
    assert copy_scaling.following("harbour-0a1b", WANTED) == {
        **TARGET,
        "PolicyName": "sealift",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 3.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"
            },
        },
    }
    assert copy_scaling.waking("harbour-0a1b") == {
        **TARGET,
        "PolicyName": "sealift-wake",
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Maximum",
            "Cooldown": 60,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        },
    }
    alarm = copy_scaling.alarm("harbour-0a1b", "arn:policy", TAGS)
    assert alarm["AlarmName"] == "sealift-harbour-0a1b-wake"
    assert (alarm["MetricName"], alarm["Threshold"], alarm["ComparisonOperator"]) == (
        "NoCapacityInvocationFailures",
        1.0,
        "GreaterThanOrEqualToThreshold",
    )
    assert alarm["Dimensions"] == [{"Name": "InferenceComponentName", "Value": "harbour-0a1b"}]
    assert (alarm["AlarmActions"], alarm["Tags"]) == (["arn:policy"], TAGS)
    assert alarm["AlarmName"] in alarms.names("harbour-0a1b")
    assert alarms.endpoint_of(alarm["AlarmName"]) == "harbour-0a1b"


@pytest.mark.parametrize(
    ("service", "operation", "request_"),
    [
        ("application-autoscaling", "RegisterScalableTarget", copy_scaling.registration("e", WANTED)),
        ("application-autoscaling", "PutScalingPolicy", copy_scaling.following("e", WANTED)),
        ("application-autoscaling", "PutScalingPolicy", copy_scaling.waking("e")),
        ("application-autoscaling", "DeregisterScalableTarget", copy_scaling.target("e")),
        ("cloudwatch", "PutMetricAlarm", copy_scaling.alarm("e", "arn:policy", TAGS)),
    ],
)
def test_a_request_is_one_that_the_service_model_takes(
    service: str, operation: str, request_: dict[str, Any]
) -> None:
    """Names and types, the closed sets of words too."""
    assert not takes(service, operation, request_)
    model = service_model("application-autoscaling")
    assert TARGET["ScalableDimension"] in model.shape_for("ScalableDimension").metadata["enum"]
    metric = "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"
    assert metric in model.shape_for("MetricType").metadata["enum"]


def test_a_person_is_told_what_it_costs_and_what_the_first_call_meets(facts_with: FactsMaker) -> None:
    """That the minutes are assumed too; and that nothing costs from creation to deletion any more."""
    made = plan.plan(instance_facts(facts_with, scale_to_zero=True))
    notes = "\n".join(made.notes)

    assert made.costs.endswith("a month while it is up, and nothing at none")

    assert "scales between none and 1 instance: at none it costs nothing, while it is up $" in notes
    assert "15 minutes after the last call" in notes
    assert "the first call at none is refused" in notes
    assert "about 10 minutes (assumed)" in notes
    assert "sends InferenceComponentName" in notes
    assert "it costs money while it is up" in notes
    assert "from its creation to its deletion" not in notes


def test_how_it_is_now_is_told() -> None:
    """At none what the next call meets, else when it goes there."""
    assert "the next call is refused and starts it" in scale_to_zero.now(at_none=True)
    assert scale_to_zero.now(at_none=False) == "goes to none about 15 minutes after the last call"


def test_the_scaling_follows_the_slots() -> None:
    """As that of an endpoint with a model does: three quarters of them, and one at least."""
    assert scale_to_zero.scaling(2, 4) == Scaling(0, 2, concurrent_requests_per_instance=3.0)
    assert scale_to_zero.scaling(1, 1) == Scaling(0, 1, concurrent_requests_per_instance=1.0)


@pytest.mark.parametrize(("memory_gib", "reserved"), [(1, 128), (4, 256), (16, 1024), (64, 1024)])
def test_little_is_reserved_of_the_memory(facts_with: FactsMaker, memory_gib: float, reserved: int) -> None:
    """A sixteenth, within what the service model takes and what was seen to be given."""
    made = plan.plan(instance_facts(facts_with, scale_to_zero=True))
    assert made.instances is not None
    offer = replace(made.instances.offers[0], memory_gib=memory_gib)
    on = replace(made.instances, offers=(offer,))
    names = plan_types.Names("m", "c", "e")

    required = scale_to_zero.component(names, on, [])["Specification"]["ComputeResourceRequirements"]

    assert required["MinMemoryRequiredInMb"] == reserved


def test_a_call_names_the_component_where_there_is_one() -> None:
    """In the SDK's words and in HTTP's; the model of its configuration is the deployment's."""
    assert inference_component.parameters("e", component=True) == {
        "EndpointName": "e",
        "InferenceComponentName": "e",
    }
    assert inference_component.parameters("e", component=False) == {"EndpointName": "e"}
    assert inference_component.headers("e", component=True) == {"X-Amzn-SageMaker-Inference-Component": "e"}
    assert inference_component.headers("e", component=False) == {}
    hosts = {"EndpointConfigName": "a-0b1c2d3e4f5a", "ProductionVariants": [{"VariantName": "v"}]}
    plain = {**hosts, "ProductionVariants": [{"VariantName": "v", "ModelName": "m"}]}
    assert inference_component.is_hosted(hosts)
    assert not inference_component.is_hosted(plain)
    assert inference_component.models(hosts) == {"a-0b1c2d3e4f5a"}
    assert inference_component.models(plain) == {"m"}
    stepped = naming.instances_name("a-0b1c2d3e4f5a", ["ml.m5.large"], 1)
    assert stepped != "a-0b1c2d3e4f5a"
    assert inference_component.models({**hosts, "EndpointConfigName": stepped}) == {"a-0b1c2d3e4f5a"}
    assert inference_component.is_there({"ProductionVariants": [{"ManagedInstanceScaling": {}}]})
    assert not inference_component.is_there({"ProductionVariants": [{}]})
    assert not inference_component.of_plan({})
    assert inference_component.of_plan({"smoke_test": {"component": True}})
