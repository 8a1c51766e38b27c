"""The field that a deployment's model is asked with: what suits it, or what the request says.

By itself, so that whoever checks what is to be asked ships none of the arithmetic of sizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.gguf import questions
from pipeline.sizing import images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.state_data.request_types import Request


def of(request: Request, model: Mapping[str, Any]) -> str:
    """Return the field that the smoke test, and the quality gate, ask with."""
    # What an archive's own code takes is for it to say; messages are what every one was asked with so far.
    own = request.code == images.ARCHIVE_CODE
    offered = () if own else images.PROFILES[request.container].requests
    return request.smoke_test.ask_with or questions.form(str(model.get("purpose")), offered)
