"""What a task may do: the statements of its role's policy, with the stack's resources that they are about.

Owns how policies name those resources: as CloudFormation's `Fn::Sub` has it, since `make template` writes each task's
statements into `template.yaml`; and the statements that several tasks have for the same work. Refuses an action with a
wildcard, and `*` as a resource where no reason is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline import naming
from pipeline.aws.resource_tags import TAG_EXECUTION, TAG_SERVICE

When = tuple[str, str, str]
"""A condition of a statement: operator, key, value."""


def _arn(service: str, resource: str) -> str:
    return f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}"


EVERYTHING: Final = "*"
"""For an action that knows no resource."""

UPLOADS: Final = ("${UploadBucket.Arn}/models/*", "${UploadBucket.Arn}/by-hand/*")
UPLOAD_BUCKET: Final = "${UploadBucket.Arn}"
ARTIFACT_BUCKET: Final = "${ArtifactBucket.Arn}"
ARCHIVES: Final = "${ArtifactBucket.Arn}/archives/*"
RECORDS: Final = "${ArtifactBucket.Arn}/records/*"
PRICES: Final = "${ArtifactBucket.Arn}/prices/*"
REPORTS: Final = "${ArtifactBucket.Arn}/reports/*"

PARAMETERS: Final = _arn("ssm", f"parameter{naming.parameters_of('${AWS::StackName}')}/*")
"""Those that name the endpoints of the stack's services."""
PARAMETERS_PATH: Final = _arn("ssm", f"parameter{naming.parameters_of('${AWS::StackName}')}")
"""The path that they lie below, for the call that lists them."""

IMAGE_REPOSITORY: Final = "${ImageRepository.Arn}"
IMAGE_REPOSITORY_URI: Final = "${ImageRepository.RepositoryUri}"
"""What a task's variable holds, and no resource of a statement."""

MODELS: Final = _arn("sagemaker", "model/*")
ENDPOINT_CONFIGS: Final = _arn("sagemaker", "endpoint-config/*")
ENDPOINTS: Final = _arn("sagemaker", "endpoint/*")
COMPONENTS: Final = _arn("sagemaker", "inference-component/*")
ENDPOINT_LOGS: Final = (
    _arn("logs", "log-group:/aws/sagemaker/Endpoints/*"),
    _arn("logs", "log-group:/aws/sagemaker/InferenceComponents/*"),
)
"""The second where an endpoint hosts an inference component."""
ENDPOINT_ROLE: Final = "${EndpointRole.Arn}"

ALARMS: Final = _arn("cloudwatch", "alarm:*")
"""All of the account's: an answer that is a list is about any alarm."""
OWN_ALARMS: Final = _arn("cloudwatch", "alarm:sealift-*")
COPY_SCALING_ALARMS: Final = _arn("cloudwatch", "alarm:TargetTracking-inference-component/*")
"""Those of an inference component's copies, among the next."""
SCALING_ALARMS: Final = (_arn("cloudwatch", "alarm:TargetTracking-endpoint/*"), COPY_SCALING_ALARMS)
"""Which Application Auto Scaling makes and deletes in the caller's name."""
SCALABLE_TARGETS: Final = _arn("application-autoscaling", "scalable-target/*")
"""A target's ARN has a number that AWS gives it, so only the kind can be named."""
SCALING_ROLE: Final = (
    "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/aws-service-role/"
    "sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)

CONSUMERS: Final = _arn("lambda", "function:${ConsumerFunctionPattern}")
CONSUMER_VERSIONS: Final = _arn("lambda", "function:${ConsumerFunctionPattern}:*")
"""Versions and aliases of the consumers, which have ARNs of their own; the functions themselves do not match."""

EXECUTIONS: Final = _arn("states", "execution:${AWS::StackName}-deployment:*")
STATE_MACHINE: Final = _arn("states", "stateMachine:${AWS::StackName}-deployment")
DEPLOYMENT: Final = "${Deployment}"
"""The state machine, for what the template makes after it."""
TOPIC: Final = "${Notifications}"

MADE_BY_SEALIFT: Final[When] = ("Null", f"aws:ResourceTag/{TAG_SERVICE}", "false")
MADE_BY_THIS_STACK: Final[When] = (
    "StringLike",
    f"aws:ResourceTag/{TAG_EXECUTION}",
    "*:execution:${AWS::StackName}-deployment:*",
)
PASSED_TO_SAGEMAKER: Final[When] = ("StringEquals", "iam:PassedToService", "sagemaker.amazonaws.com")
SCALES_SAGEMAKER: Final[When] = (
    "StringEquals",
    "application-autoscaling:service-namespace",
    "sagemaker",
)


@dataclass(frozen=True, slots=True)
class Allow:
    """One statement of a task's policy. All statements allow: what none allows is denied."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    when: When | None
    why: str
    """What no reader of the statement would guess; empty for nothing."""

    def __post_init__(self) -> None:
        if wild := [action for action in self.actions if "*" in action]:
            raise ValueError(
                f"a task may {', '.join(wild)}; wanted each action by its name; list those it calls"
            )
        if EVERYTHING in self.resources and not self.why:
            raise ValueError(
                f"a task may {', '.join(self.actions)} on everything, and nothing says why; wanted the reason in "
                "`why`, or a resource; give one of the two"
            )


def allow(*actions: str, on: str | tuple[str, ...], when: When | None = None, why: str = "") -> Allow:
    """Return a statement of a task's policy.

    Args:
        actions: as IAM names them, `sagemaker:CreateModel`.
        on: a resource, or several, of those above.
        when: a condition.
        why: what the template says above the statement.
    """
    return Allow(actions, (on,) if isinstance(on, str) else on, when, why)


# What several tasks do by the same functions of the rooms below, so that one change of a function's calls is one here.

COUNTS_USAGE: Final = allow(
    "sagemaker:ListEndpoints",
    "servicequotas:GetServiceQuota",
    on=EVERYTHING,
    why="Who holds how much of the account's concurrency; the actions know no resource.",
)
"""By `rollout.endpoint_usage`."""
FINDS_IMAGE: Final = allow("ecr:DescribeImages", on=IMAGE_REPOSITORY)
"""By `rollout.own_image`."""
SETS_CONCURRENCY: Final = allow(
    "sagemaker:UpdateEndpointWeightsAndCapacities",
    on=ENDPOINTS,
    when=MADE_BY_SEALIFT,
    why="Only endpoints that Sealift made; the task itself looks that they are the service's own.",
)
"""By `rollout.endpoint_concurrency`."""
SWITCHES_CONSUMER: Final = allow(
    "lambda:GetFunctionConfiguration",
    "lambda:UpdateFunctionConfiguration",
    "lambda:PublishVersion",
    "lambda:GetAlias",
    "lambda:UpdateAlias",
    "lambda:InvokeFunction",
    on=(CONSUMERS, CONSUMER_VERSIONS),
    why="Versions and aliases have ARNs of their own.",
)
"""By `rollout.consumer_switch`, and `rollout.consumer_test` asks it."""
MOVES_PARAMETER: Final = allow(
    "ssm:GetParameter",
    "ssm:PutParameter",
    "ssm:AddTagsToResource",
    on=PARAMETERS,
    why="The name that stays: its value and its tags change with each switch.",
)
"""By `rollout.endpoint_parameter`."""
READS_CONSUMERS_ALARMS: Final = allow(
    "cloudwatch:DescribeAlarms",
    on=EVERYTHING,
    why="The consumer's own alarms may be composite ones, which nobody may look at who may not look at all.",
)
"""By `rollout.alarms_api`, composite ones too."""
DELETES_CONSUMER_VERSIONS: Final = allow(
    "lambda:DeleteFunction",
    on=CONSUMER_VERSIONS,
    why="Only versions: an ARN without a qualifier, which is the function itself, does "
    "not match. No condition key tells a version's deletion from the function's, so "
    "where AWS would ask for the function's ARN they stay.",
)
"""Those that a deployment has published, and that nobody is to call any more."""
DELETES_METRIC_FILTERS: Final = allow(
    "logs:DescribeMetricFilters",
    "logs:DeleteMetricFilter",
    on=ENDPOINT_LOGS,
    why="The log of an endpoint stays when the endpoint goes; what makes metrics of it does not.",
)
"""By `rollout.metric_filters_api`."""
READS_WHAT_WAS_MADE: Final = allow(
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:DescribeModel",
    "sagemaker:ListTags",
    on=(ENDPOINTS, ENDPOINT_CONFIGS, MODELS),
)
"""Before it is deleted: whether Sealift made it, and for whom."""
STOPS_SCALING: Final = allow(
    "application-autoscaling:DeregisterScalableTarget",
    on=SCALABLE_TARGETS,
    when=SCALES_SAGEMAKER,
    why="The auto scaling of an endpoint that goes; its target's ARN has a number, so the "
    "service alone can be named.",
)
"""By `rollout.autoscaling_api`; needs `DELETES_SCALING_ALARMS`."""
DELETES_SCALING_ALARMS: Final = allow(
    "cloudwatch:DeleteAlarms",
    on=SCALING_ALARMS,
    why="Application Auto Scaling deletes the alarms of the target's policy in the caller's name.",
)
"""What `STOPS_SCALING` does in the caller's name."""
LOOKS_AT_COMPONENTS: Final = allow("sagemaker:DescribeInferenceComponent", on=COMPONENTS)
"""By `rollout.component_api`."""
DELETES_COMPONENTS: Final = allow(
    "sagemaker:DeleteInferenceComponent",
    on=COMPONENTS,
    when=MADE_BY_SEALIFT,
    why="The inference component of an endpoint that goes, and goes first.",
)
"""The same; needs `LOOKS_AT_COMPONENTS`, `STOPS_SCALING` and `DELETES_SCALING_ALARMS`."""
