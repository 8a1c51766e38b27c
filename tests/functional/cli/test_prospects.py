"""What `push` and `start` say of consumers and of a new service before anything is sent."""

from __future__ import annotations

import json
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.cli import preflight, prospects
from pipeline.errors import ConsumerNotAllowed, ConsumerNotFound, ConsumerTaken
from pipeline.planning import request_sources
from pipeline.stack import change_sets
from tests.paginated import Paginated

KEY = "arn:aws:kms:us-east-1:123456789012:key/1"
PLACE = ("uploads", "models/beta/model.tar.gz")


def refusal(code: str, operation: str) -> ClientError:
    """Return an error of AWS."""
    return ClientError({"Error": {"Code": code, "Message": "because"}}, operation)


class Account(Paginated):
    """The calls that are made: one stack, one consumer, one endpoint of the service `alpha`, and what lies in S3."""

    def __init__(self, *, default: str = "assistant", sidecar: Any = None, failure: str = "") -> None:
        self.endpoint = "alpha-0123456789ab"
        self._default, self._sidecar, self._failure = default, sidecar, failure
        self.configuration: dict[str, Any] = {
            "FunctionName": "assistant",
            "Environment": {"Variables": {"ENDPOINT_NAME": self.endpoint}},
        }

    @property
    def clients(self) -> Any:
        """All of them."""
        names = ("cloudformation", "lambda_", "s3", "sagemaker", "sts")
        return SimpleNamespace(**dict.fromkeys(names, self))

    meta = SimpleNamespace(region_name="us-east-1")

    def get_caller_identity(self) -> dict[str, Any]:
        """Return the account."""
        return {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/a"}

    def describe_stacks(self, **_request: Any) -> dict[str, Any]:
        """Return the stack."""
        values = {"ConsumerFunctionName": self._default, "ConsumerFunctionPattern": "assist*"}
        return {
            "Stacks": [
                {
                    "StackStatus": "CREATE_COMPLETE",
                    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/two/1",
                    "Outputs": [
                        {"OutputKey": name, "OutputValue": "arn:aws:iam::123456789012:role/a"}
                        for name in change_sets.OUTPUTS
                    ],
                    "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
                }
            ]
        }

    def get_function_configuration(self, **request: Any) -> dict[str, Any]:
        """Return the consumer."""
        if self._failure:
            raise refusal(self._failure, "GetFunctionConfiguration")
        if request["FunctionName"] != "assistant":
            raise refusal("ResourceNotFoundException", "GetFunctionConfiguration")
        return self.configuration

    def get_object(self, **request: Any) -> dict[str, Any]:
        """Return the settings beside the archive."""
        assert request["Key"] == "models/beta/deployment.json"
        if self._sidecar is None:
            raise refusal("NoSuchKey", "GetObject")
        return {"Body": BytesIO(json.dumps(self._sidecar).encode())}

    def list_endpoints(self, **_request: Any) -> dict[str, Any]:
        """Return the one."""
        return {"Endpoints": [{"EndpointName": self.endpoint}]}

    def describe_endpoint(self, **_request: Any) -> dict[str, Any]:
        """Return it."""
        return {"EndpointArn": "arn:endpoint"}

    def list_tags(self, **_request: Any) -> dict[str, Any]:
        """Return its tags."""
        tags = {"sealift:service": "alpha", "sealift:execution": "arn:e"}
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def said(account: Account, service: str = "beta", **document: Any) -> list[str]:
    """Return what a person is told."""
    bucket, key = PLACE
    found = preflight.find_stack(account.clients, "two")
    archive = {"bucket": bucket, "key": key}
    beside = preflight.beside(account.clients, archive, pytest.fail)
    asked = {"archive": archive, "service": service, **document}
    if beside and "service" in beside:
        del asked["service"]
    wanted = preflight.request(asked, beside, found, request_sources.PlannedNames())
    return list(prospects.notes(account.clients, wanted, found.reach))


def test_a_new_service_hears_that_the_stacks_consumer_stays_where_it_is() -> None:
    """Both are known before a byte is sent."""
    new, stays = said(Account())

    assert new == "service 'beta' is new: it has no endpoint yet"
    assert stays.startswith("ENDPOINT_NAME of assistant stays with service 'alpha'")


def test_a_slip_is_noticed() -> None:
    """One letter more than a service that there is."""
    assert said(Account(default=""), "alphaa") == [
        "service 'alphaa' is new: it has no endpoint yet; did you mean 'alpha'?"
    ]


def test_a_service_that_keeps_its_consumer_hears_nothing() -> None:
    """It is its own."""
    assert said(Account(), "alpha") == []


def test_a_named_consumer_of_another_service_is_refused() -> None:
    """By the settings that are given, and by those that lie beside the archive."""
    consumer = {"function_name": "assistant"}

    with pytest.raises(ConsumerTaken):
        said(Account(), consumer=consumer)
    with pytest.raises(ConsumerTaken):
        said(Account(sidecar={"consumer": consumer}))
    assert len(said(Account(sidecar={"consumer": consumer}), consumer={"take_over": True})) == 1
    assert len(said(Account(sidecar={"consumer": consumer}), consumer=None)) == 1


def test_the_settings_say_which_service_it_is() -> None:
    """As the workflow has it: the field before the key."""
    assert said(Account(sidecar={"service": "alpha", "consumer": {"function_name": "assistant"}})) == []


def test_a_consumer_outside_the_pattern_is_refused_with_the_stack_in_the_command() -> None:
    """Before any call about it."""
    with pytest.raises(ConsumerNotAllowed, match="--stack two"):
        said(Account(), consumer={"function_name": "billing"})


def test_a_consumer_that_does_not_exist_is_refused() -> None:
    """As the workflow would."""
    with pytest.raises(ConsumerNotFound, match="the execution's input: consumer: no function 'assistant-2'"):
        said(Account(), consumer={"function_name": "assistant-2"})


def test_the_stacks_own_consumer_is_told_of_as_the_stacks() -> None:
    """Nobody who pushes has named it."""
    with pytest.raises(ConsumerNotFound, match="the stack's parameters: consumer: no function 'assistant-2'"):
        said(Account(default="assistant-2"))


def test_what_the_person_may_not_look_at_is_left_to_the_workflow() -> None:
    """Its roles may do what the person may not."""
    denied = said(Account(failure="AccessDeniedException"))
    locked = Account()
    error = {"ErrorCode": "AccessDeniedException", "Message": "KMS denied"}
    locked.configuration = {"FunctionName": "assistant", "KMSKeyArn": KEY, "Environment": {"Error": error}}

    assert denied[1].startswith("the consumer could not be looked at from here, and the workflow will")
    assert "KMS denied" in said(locked)[1]
