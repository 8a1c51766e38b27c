"""ShiftConsumer: the first of two steps. The new version is tried by itself, then gets a part of the calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import aws, consumer, monitoring, switch, trial
from pipeline.errors import ConsumerFailed, ConsumerMoved

if TYPE_CHECKING:
    from pipeline.aws import Clients, CloudWatchClient


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return the `version`, its `weight`, and how it is to be watched (`pipeline.documents.Shifted`).

    Raises:
        ConsumerBusy: while Lambda applies the update.
        ConsumerMoved: when the variable was changed by somebody since ReadConsumer.
        ConsumerFailed: when the new version does not work, or one of the alarms that are to watch it does not exist.
    """
    asked, before, endpoint = event["consumer"], event["before"], event["endpoint_name"]
    name, variable, alias, canary = asked["function_name"], asked["variable"], asked["alias"], asked["canary"]
    _see_alarms(clients.cloudwatch, canary["alarms"])
    step = switch.set_variable(clients.lambda_, name, variable, wanted=endpoint, expected=before["value"])
    if step is consumer.Step.FOREIGN:
        raise ConsumerMoved(
            f"{variable} of {name} is neither {before['value']!r}, as it was read, nor {endpoint!r}; "
            "wanted nobody else to change it during the switch; it is read again"
        )
    version = switch.publish(clients.lambda_, name, endpoint)
    # Before anybody's call goes there.
    trial.ask(clients.lambda_, asked, endpoint, event["prompt"], qualifier=version)
    switch.shift(clients.lambda_, name, alias, version, canary["weight"])
    looks, interval_s = consumer.bake(canary["bake_s"])
    return {"version": version, "weight": canary["weight"], "looks": looks, "interval_s": interval_s}


def _see_alarms(client: CloudWatchClient, names: list[str]) -> None:
    """Refuse a name that no alarm has: it would never ring."""
    if not names:
        return
    there = {str(alarm["AlarmName"]) for alarm in monitoring.found(client, names)}
    missing = [name for name in names if name not in there]
    if missing:
        raise ConsumerFailed(
            f"no alarm {', '.join(map(repr, missing))}; wanted every one of consumer.canary.alarms to exist; "
            "correct the names, or leave them out"
        )


handler = aws.task(run)
