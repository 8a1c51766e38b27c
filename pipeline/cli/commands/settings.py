"""`sealift settings`: every setting, its value, and where that comes from. Refuses to set one: that is an editor's."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from pipeline import settings
from pipeline.cli.screen import Screen

if TYPE_CHECKING:
    from pipeline.cli.options import SettingsOptions


def show(arguments: SettingsOptions) -> int:
    """Show the settings."""
    found = settings.current().values()
    if arguments.json:
        print(json.dumps([one.to_json() for one in found], indent=2))
        return 0
    screen = Screen(sys.stdout)
    names = max(len(one.kind.name) for one in found)
    values = {one.kind.name: _value(one) for one in found}
    width = max(map(len, values.values()))
    for one in found:
        screen.say(f"{one.kind.name:<{names}}  {values[one.kind.name]:<{width}}  {one.source}")
        screen.say(f"{'':<{names}}  {one.kind.meaning}: {one.kind.wanted}")
    return 0


def _value(setting: settings.Setting) -> str:
    if setting.value is None:
        return f"({setting.kind.default_description})"
    return str(setting.value)
