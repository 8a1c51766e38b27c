"""`sealift delete` that is cut short."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from pipeline.cli import endings, program
from pipeline.cli.commands import delete
from tests.functional.cli.test_push_command import account

if TYPE_CHECKING:
    import pytest

    from pipeline.aws.clients import Clients
    from pipeline.cli.options import DeleteOptions

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbor-1"


def test_what_was_cut_short_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """With the same stack, and with the uploads where they were to go; a machine gets what was deleted."""
    tags = {"sealift:service": "harbor", "sealift:execution": EXECUTION}
    to = account(
        stepfunctions__list_state_machines={"stateMachines": []},
        sagemaker__list_endpoints={"Endpoints": []},
        sagemaker__list_endpoint_configs={"EndpointConfigs": []},
        sagemaker__list_models={
            "Models": [{"ModelName": "harbor-0123456789ab", "CreationTime": WHEN, "ModelArn": "arn:model"}]
        },
        sagemaker__list_tags={"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]},
        sagemaker__delete_model=KeyboardInterrupt(),
        cloudwatch__describe_alarms={"MetricAlarms": []},
        ssm__get_parameters_by_path={"Parameters": []},
        s3__list_object_versions={},
    )
    for more in ([], ["--json"]):
        line = program.read(["delete", "harbor", "--yes", "--archives", "--stack", "sealift", *more]).options

        assert delete.run(cast("DeleteOptions", line), cast("Clients", to)) == endings.INTERRUPTED

    told = capsys.readouterr().out
    assert (
        "cut short; to delete the rest, run it again: sealift delete harbor --archives --stack sealift"
        in told
    )
    assert '"status": "interrupted"' in told
