"""HTML, built so that no text can become markup: whatever is not `Markup` is escaped, and there is no other way in.

Names of archives, answers of models and error texts are whatever somebody wrote: each of their lines is plain
(`pipeline.plain`), with escapes for what HTML or UTF-8 cannot hold and for what is not seen.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from pipeline.plain import lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    Child: TypeAlias = "str | int | Iterable[Child] | None"
    """What may stand in an element; `Markup` is a str."""

VOID: Final = frozenset({"meta", "link", "br", "rect", "path", "circle", "line"})
"""Elements that are written without an end tag; SVG's are closed in themselves."""

_SVG: Final = frozenset({"rect", "path", "circle", "line"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Return any text as HTML."""
    return Markup(html.escape("\n".join(lines(str(value))), quote=True))


def el(name: str, /, *children: Child, **attributes: str | int | None) -> Markup:
    """Return an element with its children escaped.

    Args:
        name: of the element.
        children: text, markup, or iterables of them; None is nothing.
        attributes: by name; a trailing underscore is left out and others are hyphens (`class_`, `aria_label`). One that
            is None is left out, one that is "" stands without a value.
    """
    written = "".join(
        f' {_attribute(key)}="{text(value)}"' if value != "" else f" {_attribute(key)}"
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{written}{'/' if name in _SVG else ''}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """Return children one after the other, escaped."""
    return Markup("".join(_child(one) for one in children))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int):
        return text(child)
    return join(child)


def _attribute(key: str) -> str:
    return key if key in _CAMEL else key.removesuffix("_").replace("_", "-")


_CAMEL: Final = frozenset({"viewBox", "preserveAspectRatio"})
