"""One execution, one release of the stack: what a state decided and another carries out, compared before it is done.

Each state runs the code that its function has at that moment. A stack that is updated between two of them, or before a
redrive, lets the second one decide otherwise than the first, and then a model would point at an archive that nobody
wrote. So a decision is made once and handed on, and whoever carries it out looks here whether it would be its own.
Pure: facts of both sides in, `StackChanged` or nothing out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import Problem, StackChanged
from pipeline.model_source import url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.state_data.checked_types import DecidedFacts, PlacedFacts

_SHOWN = 12
"""Characters of a digest that people need to tell two apart."""


def require_same_assembly(archive: Mapping[str, Any], planned: DecidedFacts, own: PlacedFacts) -> None:
    """Refuse to assemble what the check would not have decided.

    Args:
        archive: bucket and key of the upload.
        planned: what CheckArchive decided.
        own: what this function's code decides for the same bucket.

    Raises:
        StackChanged: when the two differ.
    """
    if planned["code_digest"] != own["code_digest"]:
        raise changed(
            archive,
            f"this execution was planned with inference code {planned['code_digest'][:_SHOWN]}, and the stack has "
            f"{own['code_digest'][:_SHOWN]} by now",
        )
    if (planned["key"], planned["content"]) != (own["key"], own["content"]):
        raise changed(
            archive,
            f"this execution was planned for {url(planned)}, and the stack's code would write {url(own)} by now",
        )


def require_same_record(archive: Mapping[str, Any], version: Any, own: int) -> None:
    """Refuse a record of the check that another release wrote.

    Raises:
        StackChanged: when its version is not the one that this code reads.
    """
    if version != own:
        raise changed(
            archive,
            f"the record of this execution's check is of version {version!r}, and the stack reads version {own} by now",
        )


def require_same_name(archive: Mapping[str, Any], earlier: str, own: str) -> None:
    """Refuse to plan an execution anew under another name: what it has made under the first one would be left behind.

    Args:
        archive: bucket and key of the upload.
        earlier: the model's name in the plan that is replaced.
        own: the name that this function's code gives it.

    Raises:
        StackChanged: when the two differ: all that a name is made of was settled before the first plan.
    """
    if earlier != own:
        raise changed(
            archive,
            f"this execution was planned as {earlier!r}, and the stack would plan it as {own!r} by now",
        )


def changed(archive: Mapping[str, Any], seen: str) -> StackChanged:
    """Return the refusal."""
    upload = f"s3://{archive['bucket']}/{archive['key']}"
    return StackChanged(
        upload,
        [
            Problem(
                "StackChanged",
                seen,
                "one release of the stack for a whole execution",
                f"start the deployment again: `sealift start --archive {upload}`, or `--input FILE` with the input "
                "that it had",
            )
        ],
    )
