"""Which way a registry is spoken to: ECR by its own API, any other over HTTP.

Owns that choice, and who somebody is to a registry. Refuses to guess a host: `base.parse` wants it written.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pipeline import settings
from pipeline.aws.clients import Clients
from pipeline.errors import Problem, RegistryRefused
from pipeline.image import credentials, ecr
from pipeline.image.distribution import HttpRepository
from pipeline.image.ecr import EcrRepository
from pipeline.image.transport import Http, Patience, is_here

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.aws.clients import ECRClient
    from pipeline.image.base import Reference
    from pipeline.image.unfinished import Unfinished


def connect(
    reference: Reference,
    *,
    sleep: Callable[[float], None] | None = None,
    unfinished: Unfinished | None = None,
    client: ECRClient | None = None,
) -> HttpRepository | EcrRepository:
    """Return the repository that a reference names; nothing is asked of it yet.

    Args:
        reference: host and repository; a tag or digest is not looked at.
        sleep: what waits between two attempts; None where nothing may, as in a task: then the first failure is raised.
        unfinished: remembers uploads, so that the next command goes on with them.
        client: for ECR; of its host's region when None.
    """
    patience = Patience(sleep)
    found = ecr.host(reference.host)
    if found is None:
        path = settings.docker_config()
        http = Http(patience, local=is_here(reference.host))
        return HttpRepository(
            reference, http, cache(lambda: credentials.login_of(reference.host, path)), unfinished
        )
    # Where ECR's own answer says a layer lies may be this machine, on a local cloud.
    return EcrRepository(reference, client or _client(found), Http(patience, local=True), unfinished)


def check_owner(reference: Reference, account: str, region: str) -> None:
    """Refuse a repository of ECR from which no endpoint of this account and region could take the image.

    Args:
        reference: where an image is to be pushed; of another registry than ECR's nothing is known.
        account: who pushes.
        region: where endpoints are made.

    Raises:
        RegistryRefused: it is another account's, or in another region.
    """
    found = ecr.host(reference.host)
    if found is None:
        return
    problems = []
    if found.account != account:
        problems.append(
            Problem(
                "OtherAccount",
                f"a repository of account {found.account}, and credentials of {account}",
                "a repository of the account that makes the endpoints: serverless takes an image from no other",
                "correct the address, or take that account's credentials, with --profile",
            )
        )
    if found.region != region:
        problems.append(
            Problem(
                "OtherRegion",
                f"a repository in {found.region}, and endpoints in {region}",
                "a repository in the region of the endpoints",
                f"correct the address, or say --region {found.region}",
            )
        )
    if problems:
        raise RegistryRefused(str(reference), problems)


def _client(found: ecr.EcrHost) -> ECRClient:
    return Clients(region=found.region).registry
