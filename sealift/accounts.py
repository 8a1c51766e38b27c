"""The account that a call from Python is about: by its arguments, then as the settings say.

Owns no client beyond the call: two threads may look at two accounts.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import settings
from pipeline.aws.clients import Clients


@dataclass(frozen=True, slots=True)
class NamedAccount:
    """Whose deployments are meant."""

    clients: Clients
    region: str
    stack: str | None
    """None for any."""


def named(stack: str | None, region: str | None, profile: str | None) -> NamedAccount:
    """Return the account; what is None is as `sealift settings` shows it, and an empty stack is any.

    Raises:
        InvalidInput: a setting is wrong.
        AccessDenied: there is no such profile.
    """
    given = {"stack": stack, "region": region, "profile": profile}
    found = settings.current({name: value for name, value in given.items() if value is not None})
    where = str(found["region"].value)
    clients = Clients(region=where, profile=settings.named_profile(found))
    return NamedAccount(clients, where, found["stack"].value or None)
