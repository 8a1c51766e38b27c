"""Which files of a folder are its model: the one rule, for the endpoint that looks and for the check that comes before.

Owns the names: of a model, of a split one's shards, of what llama-server loads beside it, and which of them belong
together; and by which options llama-server is given the latter. Refuses to open a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = "/opt/ml/model"
"""Where SageMaker puts what it unpacks, or copies."""
SUFFIX = ".gguf"
SHARD_NAME = re.compile(r"(?P<prefix>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf\Z", re.DOTALL)
"""How llama.cpp names the files of a split model (llama_split_path)."""


def is_model(path: str) -> bool:
    """Tell whether a file is a model, or a shard of one, by the last part of its path.

    A hidden one is not: names that begin with a dot are those of desktops, editors and downloads.
    """
    name = path.rpartition("/")[2]
    return name.endswith(SUFFIX) and not name.startswith(".")


def shard_names(path: str) -> tuple[str, ...]:
    """Return the paths of all files of a model, in their order, by the path of one of them."""
    match = SHARD_NAME.match(path)
    if match is None:
        return (path,)
    prefix, count = match["prefix"], match["count"]
    return tuple(f"{prefix}-{number:05}-of-{count}{SUFFIX}" for number in range(1, int(count) + 1))


def models(paths: Iterable[str]) -> list[list[str]]:
    """Return the files of each model among `paths`, in their order."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(paths):
        match = SHARD_NAME.match(path)
        found.setdefault((match["prefix"], match["count"]) if match else (path, ""), []).append(path)
    return list(found.values())


# What lies beside a model ------------------------------------------------------------------------------------

PROJECTOR = "mmproj"
LORA = "lora"
DRAFT = "draft"
COMPANIONS = {
    PROJECTOR: "a projector, by which a model sees or hears",
    LORA: "a LoRA adapter, which changes a model's answers",
    DRAFT: "a draft model, whose guesses a larger one only checks",
}
"""What llama-server loads beside a model, by how its file's name begins."""
COMPANION_NAMES = ", ".join(f"{kind}*{SUFFIX}" for kind in COMPANIONS)
_COMPANION = re.compile(rf"(?P<kind>{'|'.join(COMPANIONS)})(?![A-Za-z])[^/]*\{SUFFIX}\Z", re.DOTALL)


class CompanionsWrong(ValueError):
    """Files that llama-server could not be given together."""

    def __init__(self, seen: str, fix: str) -> None:
        self.seen = seen
        self.fix = fix
        super().__init__(f"{seen}; wanted at most one, since llama-server takes one; {fix}")


@dataclass(frozen=True)
class Companions:
    """The paths of what lies beside a model."""

    projector: str | None = None
    loras: tuple[str, ...] = ()
    draft: str | None = None

    def __bool__(self) -> bool:
        return bool(self.files)

    @property
    def files(self) -> tuple[str, ...]:
        """Return all of them."""
        return tuple(path for path in (self.projector, *self.loras, self.draft) if path)

    def options(self) -> dict[str, str]:
        """Return llama-server's options for them, without their dashes (common/arg.cpp).

        Of the same option twice only the last counts: several adapters are one value, with commas. A draft model is
        loaded and left idle as long as no kind of speculation is named.
        """
        options = {}
        if self.projector:
            options["mmproj"] = self.projector
        if self.loras:
            options["lora"] = ",".join(_csv(path) for path in self.loras)
        if self.draft:
            options |= {"model-draft": self.draft, "spec-type": "draft-simple"}
        return options


def companion_kind(path: str) -> str | None:
    """Return which of `COMPANIONS` a file is, by the last part of its path; None when it is none.

    A letter behind it makes another word of the beginning: `drafter-7b.gguf` is a model.
    """
    match = _COMPANION.match(path.rpartition("/")[2])
    return match["kind"] if match else None


def companion_name(kind: str, path: str) -> str:
    """Return the name of a file in a model's folder that is to be one of `COMPANIONS`: its own, where that says so."""
    name = path.rpartition("/")[2]
    return name if companion_kind(name) == kind else f"{kind}-{name}"


def stated_kind(general_type: str, architecture: str) -> str | None:
    """Return which of `COMPANIONS` a header says that it is; None for a model, which a draft model is as well.

    Args:
        general_type: `general.type`; empty where it is not set.
        architecture: `general.architecture`.
    """
    kind = general_type.lower()
    if kind in {"mmproj", "clip-vision"} or architecture.lower() == "clip":
        return PROJECTOR
    return LORA if kind == "adapter" else None


def parted(paths: Iterable[str]) -> tuple[list[str], Companions]:
    """Return the paths of a model's files, and what lies beside them.

    Raises:
        CompanionsWrong: two projectors, or two draft models.
    """
    model: list[str] = []
    by_kind: dict[str, list[str]] = {kind: [] for kind in COMPANIONS}
    for path in sorted(paths):
        kind = companion_kind(path)
        (by_kind[kind] if kind else model).append(path)
    for kind in (PROJECTOR, DRAFT):
        if len(by_kind[kind]) > 1:
            raise CompanionsWrong(
                f"{len(by_kind[kind])} files {kind}*{SUFFIX}: {', '.join(by_kind[kind][:5])}",
                "leave the others out, or rename the one that is the model",
            )
    return model, Companions(
        next(iter(by_kind[PROJECTOR]), None), tuple(by_kind[LORA]), next(iter(by_kind[DRAFT]), None)
    )


def _csv(path: str) -> str:
    """Return a path as one field of a list with commas (common/arg.cpp, parse_csv_row)."""
    return '"' + path.replace('"', '""') + '"' if "," in path or '"' in path else path
