"""`sealift connect`: code to paste that asks a service, with the true names of its endpoint.

Refuses to install anything and to write a file.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline import settings, spelling
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli.screen import Screen
from pipeline.cli.waiting import WaitingClock
from pipeline.client import service_endpoint, snippets
from pipeline.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from pipeline.cli.options import ConnectOptions
    from pipeline.client.snippets import Snippet


def connect(arguments: ConnectOptions) -> int:
    """Print the code."""
    screen = Screen(sys.stderr, quiet=arguments.quiet)
    region = settings.region()
    clients = Clients(region=region)
    with service_errors.translated(), WaitingClock(screen, f"looking for {arguments.service}"):
        endpoint = service_endpoint.find(clients, arguments.service, arguments.stack)
    runtime, store = (one.meta.endpoint_url for one in (clients.sagemaker_runtime, clients.ssm))
    found = snippets.of(endpoint, region, runtime, store=store)
    shown = found if arguments.only is None else (_one(found, arguments.only),)
    if arguments.json:
        document = {"service": endpoint.service, "endpoint_name": endpoint.name, "region": region}
        print(json.dumps({**document, "snippets": [asdict(one) for one in shown]}, indent=2))
    elif arguments.only is not None:
        print(shown[0].code, end="")
    else:
        print("\n".join(_told(one) for one in shown), end="")
        screen.step(
            "an endpoint has another name after each deployment; `sealift connect` and `sealift ask` find it"
        )
    return 0


def _told(one: Snippet) -> str:
    needs = f"; pip install {one.needs}" if one.needs else ""
    return f"# {one.title}{needs}\n{one.code}"


def _one(found: tuple[Snippet, ...], name: str) -> Snippet:
    known = {one.name: one for one in found}
    if name in known:
        return known[name]
    near = spelling.nearest(name, known)
    raise InvalidInput(
        "--only",
        [
            Problem(
                "UnknownSnippet",
                f"no snippet {name!r} for this endpoint",
                f"one of {', '.join(known)}",
                f"did you mean {near!r}?" if near else "leave it out to see all",
            )
        ],
    )
