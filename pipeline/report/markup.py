"""HTML, built so that no text can become markup: whatever is not `Markup` is escaped, and there is no other way in.

Names of archives, answers of models and error texts are whatever somebody wrote. Control characters, which HTML
cannot hold, and halves of surrogate pairs, which UTF-8 cannot, become U+FFFD; so do characters that turn the
direction of what follows them.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    Child: TypeAlias = "str | int | Iterable[Child] | None"
    """What may stand in an element; `Markup` is a str."""

VOID: Final = frozenset({"meta", "link", "br", "rect", "path", "circle", "line"})
"""Elements that are written without an end tag; SVG's are closed in themselves."""

_UNFIT: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)
_SVG: Final = frozenset({"rect", "path", "circle", "line"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Return any text as HTML."""
    plain = _UNFIT.sub("\ufffd", str(value).replace("\r\n", "\n").replace("\r", "\n"))
    return Markup(html.escape(plain, quote=True))


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
