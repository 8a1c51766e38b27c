"""RollBack: undoes what this execution made, in reverse order; what another execution made is never touched.

Ownership is read from the tags that every create carries, not from the execution's memory, so that a create
whose answer was lost is undone too. AWS refuses to delete an endpoint that is Creating: that is told with
EndpointBusy, and the state machine comes back until it is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import aws, consumer, creation, switch
from pipeline.errors import EndpointBusy
from pipeline.plan import tag_value
from pipeline.readiness import UNDELETABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.aws import Clients
    from pipeline.plan import Plan


class _Report:
    """How things are after the rollback: a retry of the task finds the same, whoever deleted them."""

    def __init__(self) -> None:
        self.gone: list[str] = []
        self.restored: list[str] = []
        self.kept: list[str] = []
        self.not_undone: list[str] = []

    def attempt(self, what: str, step: Callable[[], None]) -> bool:
        """Run one step; a step that is denied is noted, any other failure ends the task, to be tried again."""
        try:
            step()
        except ClientError as error:
            if not aws.is_access_denied(error):
                raise
            self.not_undone.append(f"{what}: {aws.text(error)}")
            return False
        return True


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Undo; return what is `gone`, `restored`, `kept` and `not_undone`, and the execution's `error` and final `cause`.

    Raises:
        EndpointBusy: while the endpoint cannot be deleted, or is not gone yet.
        ConsumerBusy: while Lambda applies the consumer's update.
    """
    results = event["results"]
    plan: Plan | None = results.get("plan_deployment")
    report = _Report()
    if plan is not None:
        restored = _restore_consumer(results.get("read_consumer"), plan["names"]["endpoint"], clients, report)
        if restored:
            _delete_all(plan, clients, report)
        else:
            report.kept.append(f"endpoint {plan['names']['endpoint']}: the consumer may still call it")
    diagnosis = results["diagnose"]
    return {
        "gone": report.gone,
        "restored": report.restored,
        "kept": report.kept,
        "not_undone": report.not_undone,
        "error": diagnosis["error"],
        "cause": f"{diagnosis['cause']}\n{_summary(report)}",
    }


def _restore_consumer(
    before: consumer.Before | None, endpoint: str, clients: Clients, report: _Report
) -> bool:
    """Put the consumer back as it was; return False when that was denied."""
    if before is None:
        return True
    name, variable = before["function_name"], before["variable"]

    def alias() -> None:
        if switch.restore_alias(clients.lambda_, before, endpoint):
            report.restored.append(
                f"alias {before['alias']} of {name}: back to version {before['alias_version']}"
            )

    def value() -> None:
        now = clients.lambda_.get_function_configuration(FunctionName=name)
        was = consumer.Configuration.from_response(now).variables.get(variable)
        step = switch.set_variable(clients.lambda_, name, variable, wanted=before["value"], expected=endpoint)
        if step is consumer.Step.FOREIGN:
            report.kept.append(f"{variable} of {name}: set to {was!r} by somebody else meanwhile")
        else:
            report.restored.append(f"{variable} of {name}: {_shown(before['value'])} as before")

    steps = ((f"alias {before['alias']} of {name}", alias), (f"{variable} of {name}", value))
    # Both are tried even when one is denied: a generator in all() would stop at the first.
    outcomes = [report.attempt(what, _or_gone(step, what, report)) for what, step in steps]
    return all(outcomes)


def _delete_all(plan: Plan, clients: Clients, report: _Report) -> None:
    names, execution, sagemaker = plan["names"], plan["execution"], clients.sagemaker

    def endpoint() -> None:
        name = names["endpoint"]
        found = sagemaker.describe_endpoint(EndpointName=name)
        if not _ours(found["EndpointArn"], execution, clients, report):
            return
        status = found["EndpointStatus"]
        if status not in UNDELETABLE and status != "Deleting":
            sagemaker.delete_endpoint(EndpointName=name)
        raise EndpointBusy(f"endpoint {name!r} is {status}; wanted it to be gone")

    def config() -> None:
        name = names["endpoint_config"]
        found = sagemaker.describe_endpoint_config(EndpointConfigName=name)
        if _ours(found["EndpointConfigArn"], execution, clients, report):
            sagemaker.delete_endpoint_config(EndpointConfigName=name)
            report.gone.append(f"endpoint configuration {name}")

    def model() -> None:
        name = names["model"]
        found = sagemaker.describe_model(ModelName=name)
        if _ours(found["ModelArn"], execution, clients, report):
            sagemaker.delete_model(ModelName=name)
            report.gone.append(f"model {name}")

    for what, step in (
        (f"endpoint {names['endpoint']}", endpoint),
        (f"endpoint configuration {names['endpoint_config']}", config),
        (f"model {names['model']}", model),
    ):
        if not report.attempt(what, _or_gone(step, what, report)) and step is endpoint:
            # An endpoint that lives on needs its configuration and its model at every cold start.
            report.kept.append(
                f"endpoint configuration {names['endpoint_config']} and model {names['model']}: in use"
            )
            return


def _or_gone(step: Callable[[], None], what: str, report: _Report) -> Callable[[], None]:
    """Return the step, with "could not find" as success: deleted by an earlier try, or never made."""

    def tolerant() -> None:
        try:
            step()
        except ClientError as error:
            if not aws.is_missing(error):
                raise
            report.gone.append(what)

    return tolerant


def _ours(arn: str, execution: str, clients: Clients, report: _Report) -> bool:
    made_by = creation.owner(clients.sagemaker, arn)
    if made_by == tag_value(execution):
        return True
    report.kept.append(f"{arn}: made by {made_by or 'somebody else'}")
    return False


def _shown(value: str | None) -> str:
    return "not set" if value is None else repr(value)


def _summary(report: _Report) -> str:
    if report.not_undone:
        return f"NOT undone, remove by hand: {'; '.join(report.not_undone)}"
    return "undone: everything that this execution made; what served before still serves"


handler = aws.task(run)
