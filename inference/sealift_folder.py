"""What lies in the folder that SageMaker gives a container: its one model, what belongs to it, and its settings.

Owns the look into the folder, and what is said when it holds something else. Refuses to open a model.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sealift_models import (
    COMPANIONS,
    Companions,
    CompanionsWrong,
    companion_kind,
    is_model,
    models,
    parted,
    shard_names,
)
from sealift_settings import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def find_model(model_dir: Path, *, alone: bool = True) -> Path:
    """Return the one GGUF at the root of a folder, or the first shard of the one that is split.

    Args:
        model_dir: the folder.
        alone: whether nothing may lie beside it, since only llama-server loads companions.

    Raises:
        LoadError: when there is none, more than one, or a shard is missing; and when something lies beside it that must
            not.
    """
    names = [path.name for path in model_dir.glob("*") if is_model(path.name) and path.is_file()]
    if not alone:
        names, _ = _parted(names)
    if not names:
        nested = sorted(str(path.relative_to(model_dir)) for path in model_dir.glob("*/**/*.gguf"))
        hidden = sorted(path.name for path in model_dir.glob(".*.gguf"))
        seen = f"only {', '.join(nested[:5])} below it" if nested else "none"
        seen = f"only {', '.join(hidden[:5])}, hidden by the dot" if hidden else seen
        raise LoadError(
            f"no model in {str(model_dir)!r}: {seen}; wanted one .gguf file at its root; put it at the root "
            "of the archive"
        )
    if alone:
        _require_alone(names)
    found, *others = models(names)
    if others:
        raise LoadError(
            f"{len(names)} models in {str(model_dir)!r}: {', '.join(sorted(names)[:5])}; wanted one .gguf file, or "
            "all shards of one model; leave one"
        )
    wanted = shard_names(found[0])
    missing = sorted(set(wanted).difference(found))
    extra = sorted(set(found).difference(wanted))
    if missing or extra:
        raise LoadError(
            f"{len(missing)} of {len(wanted)} shards are missing in {str(model_dir)!r}: "
            f"{', '.join(missing[:5] or extra[:5])}; put all of them into the archive"
        )
    return model_dir / wanted[0]


def find_companions(model_dir: Path) -> Companions:
    """Return what lies beside the model at the root of a folder, by absolute paths.

    Raises:
        LoadError: when llama-server could not be given all of it.
    """
    return _parted(str(path) for path in model_dir.glob("*") if is_model(path.name) and path.is_file())[1]


def _parted(paths: Iterable[str]) -> tuple[list[str], Companions]:
    try:
        return parted(paths)
    except CompanionsWrong as error:
        raise LoadError(str(error)) from error


def _require_alone(names: Sequence[str]) -> None:
    """Refuse what would change a model's answers if it were loaded: to leave it aside would say nothing of it."""
    for name in sorted(names):
        kind = companion_kind(name)
        if kind is not None:
            raise LoadError(
                f"{name!r} is named like {COMPANIONS[kind]}, and nothing here loads one; wanted a model alone; deploy "
                "it in the container 'custom' or 'llama-cpp', leave the file out, or rename it if it is the model"
            )


def read_config(folders: Sequence[Path]) -> Any:
    """Return the content of the first config.json in `folders`, or an empty object when there is none.

    Raises:
        LoadError: when it is not JSON.
    """
    for folder in folders:
        path = folder / "config.json"
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise LoadError(f"{str(path)!r} cannot be read as JSON: {error}") from error
    return {}
