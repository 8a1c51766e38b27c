"""Where one container is on this machine: its folder and its log.

Owns the names that containers get. Refuses to start any.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_cloud.hosting.containers.container import Log
    from local_cloud.hosting.platform.resources import Deployment


@dataclass(frozen=True, slots=True)
class Place:
    """One container's."""

    identity: str
    folder: Path
    """Named by it; goes with the container."""
    log: Callable[[str], None]
    """Takes a line."""

    @property
    def short(self) -> str:
        """Return what threads are called by."""
        return self.identity[:8]


class Places:
    """Makes places below one folder."""

    def __init__(
        self,
        root: Path,
        *,
        log: Log,
        log_group: Callable[[str, str | None], str],
        clock: Callable[[], float],
    ) -> None:
        self._root = root
        self._log = log
        self._log_group = log_group
        self._clock = clock

    def make(self, endpoint_name: str, deployment: Deployment) -> Place:
        """Return a new place, with its folder.

        Raises:
            FileNotFoundError: when hosting has been closed.
        """
        identity = f"{secrets.token_hex(16)}-{secrets.token_hex(16)}"
        folder = self._root / identity
        # Not its parents: when the root is gone, hosting has been closed.
        folder.mkdir()
        group = self._log_group(endpoint_name, deployment.component)
        stream = f"{deployment.variant_name}/{identity}"

        def log(line: str) -> None:
            self._log(deployment.role_arn, group, stream, int(self._clock() * 1000), line)

        return Place(identity, folder, log)
