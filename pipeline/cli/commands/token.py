"""`sealift token`: the bearer token of SageMaker's OpenAI route, on standard output with nothing else.

It is what the caller's credentials are: whoever has it may call what they may. Refuses to write it anywhere.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipeline import settings
from pipeline.aws import bearer_token, clients

if TYPE_CHECKING:
    from pipeline.cli.options import TokenOptions


def token(arguments: TokenOptions) -> int:
    """Make a token and print it."""
    seconds = max(1, round(arguments.hours * 3600))
    made = datetime.now(UTC)
    text = bearer_token.make(clients.credentials(), settings.region(), expires_s=seconds)
    if arguments.json:
        ends = (made + timedelta(seconds=seconds)).isoformat(timespec="seconds")
        print(json.dumps({"token": text, "region": settings.region(), "expires_at": ends}, indent=2))
    else:
        print(text)
    return 0
