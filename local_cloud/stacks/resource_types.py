"""The types of CloudFormation's resources that moto has not, or makes by half, as far as a deployment depends on them.

* A bucket of moto's has no versioning and sends no events to EventBridge.
* A state machine's definition is a text in the template, without substitutions. It may be an object, or lie in S3.
* A function has no LoggingConfig.
* There are no bucket policies and no EventInvokeConfig. What they say is in force here while they are in a stack.
* A repository of images has no lifecycle and no policy (`image_repositories`).
* There are no alarms, no policies of queues and topics and no subscriptions. Here a stack has them, and they do
  nothing.
* There are no budgets, which moto's AWS Budgets has: one of a stack is there.

What comes in has been resolved by moto: no reference and no function is left in a property.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from moto.awslambda.models import LambdaFunction
from moto.budgets.models import budgets_backends
from moto.core.common_models import CloudFormationModel
from moto.s3.models import FakeBucket, s3_backends
from moto.stepfunctions.models import StateMachine

from local_cloud.functions.journals import Journal
from local_cloud.stacks import image_repositories

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PARTITION: Final = "aws"
_MADE: Final = {
    kind: (kind.create_from_cloudformation_json.__func__, kind.update_from_cloudformation_json.__func__)
    for kind in (FakeBucket, LambdaFunction, StateMachine)
}
"""How moto makes and changes what it makes by half."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What comes of resources outside of moto."""

    protect: Callable[[str, str], None]
    """Puts a policy in force for a bucket."""
    unprotect: Callable[[str], None]
    """Takes a bucket's policy away."""
    send_events: Callable[[str], None]
    """Lets the events of a bucket go to EventBridge."""
    log: Callable[[str, Journal], None]
    """Says where a function, by its name, writes its log."""
    hand_on: Callable[[str, str | None], None]
    """Names the queue for what a function, by its name, failed on each time; None for none."""


def install(effects: Effects) -> None:
    """Let moto's CloudFormation make all of these types."""
    _Held.effects = effects

    def bucket(made: Any, properties: Mapping[str, Any]) -> None:
        if versioning := properties.get("VersioningConfiguration"):
            made.versioning_status = versioning["Status"]
        if properties.get("NotificationConfiguration", {}).get("EventBridgeConfiguration"):
            effects.send_events(made.name)

    def function(made: Any, properties: Mapping[str, Any]) -> None:
        effects.log(
            made.function_name, Journal.configured(made.function_name, properties.get("LoggingConfig", {}))
        )

    _complete(FakeBucket, then=bucket)
    _complete(LambdaFunction, then=function)
    _complete(StateMachine, first=_define)
    image_repositories.install()


def _complete(
    kind: Any,
    *,
    first: Callable[[dict[str, Any], str], None] = lambda _properties, _account: None,
    then: Callable[[Any, Mapping[str, Any]], None] = lambda _made, _properties: None,
) -> None:
    """Let something be done to a resource's properties before moto makes or changes it, and to the resource after."""
    create, update = _MADE[kind]

    def created(
        cls: Any, /, name: str, resource: dict[str, Any], account: str, region: str, **more: Any
    ) -> Any:
        first(resource["Properties"], account)
        made = create(cls, name, resource, account, region, **more)
        then(made, resource["Properties"])
        return made

    def updated(cls: Any, /, *, cloudformation_json: dict[str, Any], account_id: str, **more: Any) -> Any:
        first(cloudformation_json["Properties"], account_id)
        made = update(cls, cloudformation_json=cloudformation_json, account_id=account_id, **more)
        then(made, cloudformation_json["Properties"])
        return made

    kind.create_from_cloudformation_json = classmethod(created)
    kind.update_from_cloudformation_json = classmethod(updated)


# ----------------------------------------------------------------------------- state machines


def _define(properties: dict[str, Any], account_id: str) -> None:
    def read(bucket: str, key: str, version: str | None) -> str:
        found = s3_backends[account_id][_PARTITION].get_object(bucket, key, version_id=version)
        if found is None:
            raise FileNotFoundError(f"no object s3://{bucket}/{key}, which DefinitionS3Location names")
        text: str = found.value.decode()
        return text

    properties["DefinitionString"] = definition(properties, read)


def definition(properties: Mapping[str, Any], read: Callable[[str, str, str | None], str]) -> str:
    """Return a state machine's definition, wherever it is, with its substitutions.

    Args:
        properties: of an AWS::StepFunctions::StateMachine.
        read: returns the text of an object in S3, by its bucket, key and version.
    """
    if place := properties.get("DefinitionS3Location"):
        text = read(place["Bucket"], place["Key"], place.get("Version"))
    else:
        text = properties.get("DefinitionString") or json.dumps(properties["Definition"])
    values = properties.get("DefinitionSubstitutions", {})
    return re.sub(r"\$\{(\w+)\}", lambda match: str(values.get(match[1], match[0])), text)


# ---------------------------------------------------------------------------- what moto has not


class _Held:
    """A resource that is in a stack; what it does beside that, its kind says."""

    effects: ClassVar[Effects]
    kind: ClassVar[str]
    naming: ClassVar[str] = ""
    """The property that names it, where there is one."""

    def __init__(self, name: str, properties: Mapping[str, Any], account_id: str, region: str) -> None:
        self.physical_resource_id = name
        self.properties = properties
        self._where = (region, account_id)
        self.begin()

    def begin(self) -> None:
        """Do what it does as long as it is there."""

    def end(self) -> None:
        """Do it no more."""

    def is_created(self) -> bool:
        """Return that it is there."""
        return True

    def get_cfn_attribute(self, name: str) -> str:
        """Return an attribute: the ARN of an alarm is all that these have."""
        region, account = self._where
        return {"Arn": f"arn:aws:cloudwatch:{region}:{account}:alarm:{self.physical_resource_id}"}[name]

    def delete(self, _account_id: str, _region: str) -> None:
        """Go with the stack."""
        self.end()

    @classmethod
    def cloudformation_type(cls) -> str:
        """Return the name of the type."""
        return cls.kind

    @classmethod
    def cloudformation_name_type(cls) -> str:
        """Return the property that names it."""
        return cls.naming

    @classmethod
    def has_cfn_attr(cls, _name: str) -> bool:
        """Return whether outputs may name an attribute."""
        return True

    @classmethod
    def create_from_cloudformation_json(
        cls, name: str, resource: Mapping[str, Any], account: str, region: str, **_more: Any
    ) -> Any:
        """Return a new one."""
        return cls(name, resource["Properties"], account, region)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        *,
        original_resource: _Held,
        new_resource_name: str,
        cloudformation_json: Mapping[str, Any],
        account_id: str,
        region_name: str,
    ) -> Any:
        """Return what it is from now on, under its old name unless the template names it."""
        original_resource.end()
        named = cls.naming in cloudformation_json["Properties"]
        name = new_resource_name if named else original_resource.physical_resource_id
        return cls(name, cloudformation_json["Properties"], account_id, region_name)


class BucketPolicy(_Held, CloudFormationModel):
    """Who may do what with a bucket."""

    kind = "AWS::S3::BucketPolicy"
    naming = "Bucket"

    def begin(self) -> None:
        """Put it in force."""
        self.effects.protect(self.properties["Bucket"], json.dumps(self.properties["PolicyDocument"]))

    def end(self) -> None:
        """Take it away."""
        self.effects.unprotect(self.properties["Bucket"])


class EventInvokeConfig(_Held, CloudFormationModel):
    """What becomes of an event that a function failed on each time; only queues take them here."""

    kind = "AWS::Lambda::EventInvokeConfig"

    def begin(self) -> None:
        """Hand events on."""
        arn = self.properties.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "")
        self.effects.hand_on(self._function(), arn.rpartition(":")[2] if ":sqs:" in arn else None)

    def end(self) -> None:
        """Hand events on no more."""
        self.effects.hand_on(self._function(), None)

    def _function(self) -> str:
        # A name, or an ARN.
        return str(self.properties["FunctionName"]).rpartition("function:")[2].partition(":")[0]


class AlarmResource(_Held, CloudFormationModel):
    """An alarm of the stack's: nothing here publishes what it looks at."""

    kind = "AWS::CloudWatch::Alarm"
    naming = "AlarmName"


class QueuePolicy(_Held, CloudFormationModel):
    """It refuses plain HTTP, which is all that the local cloud speaks."""

    kind = "AWS::SQS::QueuePolicy"


class Subscription(_Held, CloudFormationModel):
    """No mail is sent from here."""

    kind = "AWS::SNS::Subscription"


class TopicPolicy(_Held, CloudFormationModel):
    """It lets AWS's own services publish, and none of them does here."""

    kind = "AWS::SNS::TopicPolicy"


class BudgetAlarm(_Held, CloudFormationModel):
    """A budget, which is moto's: nothing costs anything here, so nothing is told."""

    kind = "AWS::Budgets::Budget"

    def begin(self) -> None:
        """Let AWS Budgets know it."""
        told = [
            {**one, "Notification": {**one["Notification"], "NotificationState": "OK"}}
            for one in self.properties.get("NotificationsWithSubscribers", ())
        ]
        self.end()
        self._backend().create_budget(self._where[1], dict(self.properties["Budget"]), told)

    def end(self) -> None:
        """Let AWS Budgets forget it."""
        self._backend().budgets[self._where[1]].pop(self.properties["Budget"]["BudgetName"], None)

    def _backend(self) -> Any:
        return budgets_backends[self._where[1]][_PARTITION]
