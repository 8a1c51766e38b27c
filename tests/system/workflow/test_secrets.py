"""What nobody may read in an output or a log: the consumer's other variables, and anybody's credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from moto.sns.models import sns_backends
from moto.sts.models import sts_backends

from local_cloud.cloud import CONSUMER, LocalCloud
from tests.system.conftest import BEFORE, Deployments, _idle_consumer
from tests.system.workflow.test_deployment import settings

SECRET = "a-secret-that-nobody-may-read"


def told(cloud: LocalCloud, arn: str) -> Iterator[str]:
    """Yield all that an execution tells: its history, with every input and output, its notifications, and all logs."""
    client = cloud.clients.stepfunctions
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
    yield from (json.dumps(event, default=str) for page in pages for event in page["events"])
    yield json.dumps(client.describe_execution(executionArn=arn), default=str)
    topic = sns_backends[cloud.account_id][cloud.region].topics[cloud.outputs["TopicArn"]]
    yield json.dumps(topic.sent_notifications, default=str)
    for group in cloud.clients.logs.describe_log_groups()["logGroups"]:
        lines = cloud.clients.logs.get_paginator("filter_log_events").paginate(
            logGroupName=group["logGroupName"]
        )
        yield from (event["message"] for page in lines for event in page["events"])


def test_no_secret_is_told(deployments: Deployments, archive: Path) -> None:
    """Neither by a deployment that goes well, nor by one that fails and is undone; the variable itself stays."""
    cloud = deployments.cloud
    _idle_consumer(cloud)
    cloud.clients.lambda_.update_function_configuration(
        FunctionName=CONSUMER, Environment={"Variables": {**BEFORE, "API_KEY": SECRET}}
    )
    _idle_consumer(cloud)
    unhappy = {**settings()["consumer"], "expect": {"contains": "submarine"}}

    ended = [
        deployments.upload(archive, "discreet", settings()),
        deployments.upload(archive, "discreet", settings(consumer=unhappy)),
    ]

    assert [one.error for one in ended] == [None, "ConsumerFailed"]
    assert deployments.consumer_variables()["API_KEY"] == SECRET
    sessions = sts_backends[cloud.account_id]["aws"].assumed_roles
    secrets = {SECRET, *(one.secret_access_key for one in sessions), *(one.session_token for one in sessions)}
    texts = [text for one in ended for text in told(cloud, one.arn)]
    assert len(texts) > 100
    assert [text for text in texts if any(secret in text for secret in secrets)] == []
