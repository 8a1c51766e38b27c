"""Whether an image brings its model with it, and where in it.

Owns the two marks of such an image: the label `sealift.model`, and SM_MODEL_DIR in its environment. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL: Final = "sealift.model"
_VARIABLE: Final = "SM_MODEL_DIR"


def model_folder(config: Mapping[str, Any]) -> str | None:
    """Return the folder of an image that its model lies in, without the first slash; None where it has none."""
    own = config.get("config") or {}
    if not (own.get("Labels") or {}).get(LABEL):
        return None
    variables = dict(entry.partition("=")[::2] for entry in own.get("Env") or ())
    return variables.get(_VARIABLE, "").strip("/") or None
