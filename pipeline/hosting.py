"""Where an endpoint runs, how it is brought into service, in what it gets its model, how consumers are switched: words.

Owns the words that a request, a plan and the tasks share. Refuses to choose between them: `pipeline.planning` does.
"""

from __future__ import annotations

from typing import Final

SERVERLESS: Final = "serverless"
INSTANCE: Final = "instance"
AUTO: Final = "auto"
"""AUTO is a request's; a plan has come to one of the other two."""
HOSTINGS: Final = (SERVERLESS, INSTANCE, AUTO)

ARCHIVE_ARTIFACT: Final = "archive"
IMAGE_ARTIFACT: Final = "image"
ARTIFACTS: Final = (ARCHIVE_ARTIFACT, IMAGE_ARTIFACT, AUTO)
"""In what a model reaches its endpoint: an archive, or a layer of its image. AUTO is a request's here as well."""

KEPT: Final = {SERVERLESS: 1, INSTANCE: 0}
"""Earlier good deployments that stay unless a request says otherwise: an instance that nobody calls costs money."""

NEW_ENDPOINT: Final = "new_endpoint"
IN_PLACE: Final = "in_place"
STRATEGIES: Final = (NEW_ENDPOINT, IN_PLACE)
"""A deployment makes an endpoint of its own, or updates the service's."""

NOBODY: Final = "no consumer"
"""Who calls a deployment that switches none."""

NO_SWITCH: Final = "none"
AT_ONCE: Final = "at_once"
IN_STEPS: Final = "in_steps"
"""How the consumers are switched."""


def kept(hosting: str, requested: int | None, *, provisioned: int | None) -> int:
    """Return how many earlier deployments are kept; unasked, none of what costs money while nobody calls it.

    Args:
        hosting: where the endpoints run.
        requested: keep_previous; None where nobody said.
        provisioned: provisioned_concurrency, which makes of serverless what costs as an instance does.
    """
    return KEPT[INSTANCE if provisioned else hosting] if requested is None else requested
