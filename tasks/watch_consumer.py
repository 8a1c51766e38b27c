"""WatchConsumer: one look at the alarms while a part of the calls goes to the new version; the waiting is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import alarms, aws, monitoring
from pipeline.errors import ConsumerFailed

if TYPE_CHECKING:
    from pipeline.aws import Clients


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return how many looks are `left`.

    Raises:
        ConsumerFailed: when an alarm of the endpoint or of the consumer is in ALARM.
    """
    asked, endpoint = event["consumer"], event["endpoint_name"]
    watched = [*alarms.judging(endpoint), *asked["canary"]["alarms"]]
    ringing = alarms.ringing(monitoring.found(clients.cloudwatch, watched))
    if ringing:
        raise ConsumerFailed(
            f"with {asked['canary']['weight']:.0%} of the calls of {asked['function_name']}:{asked['alias']} on "
            f"endpoint {endpoint}, in ALARM: {'; '.join(ringing)}; wanted none for {asked['canary']['bake_s']} s"
        )
    return {"left": event["left"] - 1}


handler = aws.task(run)
