"""The one reader of the process environment.

Inside Lambda that is the function's configuration from `template.yaml`; on the command line it is where
flags that were not given come from.
"""

from __future__ import annotations

import os


class MissingSetting(RuntimeError):
    """A variable that the template sets is not there."""


def state_machine_arn() -> str:
    """Return the ARN of the deployment state machine (STATE_MACHINE_ARN, set by the template)."""
    return _required("STATE_MACHINE_ARN")


def region() -> str:
    """Return the region of the session: AWS_REGION, then AWS_DEFAULT_REGION, then us-east-1."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def no_color() -> bool:
    """Return whether NO_COLOR is set (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


def dumb_terminal() -> bool:
    """Return whether the terminal cannot move its cursor (TERM=dumb)."""
    return os.environ.get("TERM") == "dumb"


def process_environment() -> dict[str, str]:
    """Return a copy of the whole environment, for child processes."""
    return dict(os.environ)


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise MissingSetting(
            f"the environment variable {name} is not set; template.yaml sets it in every function"
        )
    return value
