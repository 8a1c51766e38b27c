"""What a task may do: the statements of its role's policy, with the stack's resources that they are about.

Owns how policies name those resources: as CloudFormation's `Fn::Sub` has it, since `make template` writes each task's
statements into `template.yaml`. Refuses an action with a wildcard, and `*` as a resource where no reason is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
REPORTS: Final = "${ArtifactBucket.Arn}/reports/*"

MODELS: Final = _arn("sagemaker", "model/*")
ENDPOINT_CONFIGS: Final = _arn("sagemaker", "endpoint-config/*")
ENDPOINTS: Final = _arn("sagemaker", "endpoint/*")
ENDPOINT_LOGS: Final = _arn("logs", "log-group:/aws/sagemaker/Endpoints/*")
ENDPOINT_ROLE: Final = "${EndpointRole.Arn}"

ALARMS: Final = _arn("cloudwatch", "alarm:*")
"""All of the account's: an answer that is a list is about any alarm."""
OWN_ALARMS: Final = _arn("cloudwatch", "alarm:sealift-*")
SCALING_ALARMS: Final = _arn("cloudwatch", "alarm:TargetTracking-endpoint/*")
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
