"""What the AWS SDK at hand knows of an operation: Lambda brings its own, which may be older than a parameter.

Owns the look into the SDK's service model. Refuses to decide what is left out: whoever asks does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from botocore.client import BaseClient


ANY: Final = "*"
"""In the place of a name: whatever is in a list."""


def takes(client: BaseClient, operation: str, *path: str) -> bool:
    """Return whether the SDK knows a parameter of an operation; without it, it refuses the whole call.

    Args:
        client: the service's.
        operation: as the service calls it.
        path: names from the parameter down to a member of it, `ANY` for those of a list.
    """
    shape: Any = client.meta.service_model.operation_model(operation).input_shape
    for name in path:
        if name == ANY:
            shape = shape.member
            continue
        members = getattr(shape, "members", {})
        if name not in members:
            return False
        shape = members[name]
    return True
