"""The settings: the one reader of the process environment, and of `sealift.toml`.

Inside Lambda the environment is the configuration from `template.yaml`. On the command line a setting is what
its flag says, else its variables, else the nearest `sealift.toml` in this folder or one above, else the default;
`resolve` decides, flags, environment and file in, settings out. Refuses names and values that are not known, all at
once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pipeline.errors import InvalidInput, Problem
from pipeline.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILE: Final = "sealift.toml"
STACK: Final = "sealift"
"""The stack where one must be named and none is set."""

FUNCTION_PATTERN: Final = "ConsumerFunctionPattern"
KMS_KEYS: Final = "ConsumerKmsKeyArns"
"""The stack's parameters that people are told to set: which functions its roles may switch, and the keys that encrypt
the variables of those."""

RESOURCE_TAGS: Final = "ResourceTags"
"""The stack's parameter for tags of one's own, which the stack itself has as well."""

IMAGE_REPOSITORY: Final = "SEALIFT_IMAGE_REPOSITORY"
"""The variable that names the stack's repository for images to the tasks: its URI, without a tag."""

DEFAULT: Final = "default"


class MissingSetting(RuntimeError):
    """A variable that the template sets is not there."""


@dataclass(frozen=True, slots=True)
class SettingKind:
    """One setting that a person may make."""

    name: str
    meaning: str
    wanted: str
    """What its values are, in words."""
    valid: Callable[[Any], bool]
    variables: tuple[str, ...]
    """Of the environment; the first that is set counts."""
    default: Any = None
    default_description: str = ""
    """What the default means, where it does not speak for itself."""
    number: bool = False
    """Whether a variable's text stands for a number."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a setting is, and where that comes from."""

    kind: SettingKind
    value: Any
    source: str
    """`flag`, `argument`, `environment NAME`, the file's path, or `default`."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "name": self.kind.name,
            "value": self.value,
            "source": self.source,
            "meaning": self.kind.meaning,
        }


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


@dataclass(frozen=True, slots=True)
class _OneOf:
    """Whether a value is one of a few."""

    values: tuple[Any, ...]

    def __call__(self, value: Any) -> bool:
        # A boolean is a number to Python, and true no level of compression.
        return value in self.values and not isinstance(value, bool)


KINDS: Final = (
    SettingKind(
        "stack",
        "the stack that commands look at",
        "the name of a CloudFormation stack; empty for any",
        lambda value: isinstance(value, str),
        ("SEALIFT_STACK",),
        default_description=f"any stack of the account; {STACK!r} where one is needed",
    ),
    SettingKind(
        "region",
        "AWS's region",
        "the name of a region, as us-east-1",
        _is_text,
        ("AWS_REGION", "AWS_DEFAULT_REGION"),
        default="us-east-1",
    ),
    SettingKind(
        "profile",
        "whose credentials are used",
        "the name of a profile of AWS's configuration",
        _is_text,
        ("AWS_PROFILE",),
        default_description="the SDK's own choice of credentials",
    ),
    SettingKind(
        "color",
        "whether output has colors",
        "auto, always or never",
        _OneOf(("auto", "always", "never")),
        ("SEALIFT_COLOR", "SEALIFT_COLOUR"),
        default="auto",
    ),
    SettingKind(
        "container",
        "what serves a model: `sealift plan` plans for it, `sealift push` asks for it",
        "auto, pytorch, llama-cpp or custom",
        _OneOf(("auto", "pytorch", "llama-cpp", "custom")),
        ("SEALIFT_CONTAINER",),
        default_description="as deployment.json or the stack says; `plan` takes auto where neither is there",
    ),
    SettingKind(
        "containers",
        "what the local cloud runs endpoints in",
        "auto, process, runc or crun",
        _OneOf(("auto", "process", "runc", "crun")),
        ("SEALIFT_LOCAL_CONTAINERS",),
        default="auto",
    ),
    SettingKind(
        "compress",
        "the level that `sealift pack` compresses at",
        "a number from 0 to 9",
        _OneOf(tuple(range(10))),
        ("SEALIFT_COMPRESS",),
        default=0,
        number=True,
    ),
)
NAMES: Final = tuple(kind.name for kind in KINDS)
OLDER: Final = {"colour": "color"}
"""Names of settings as they were, which a `sealift.toml` may still have."""

_said: dict[str, Any] = {}
"""What the command line's flags say; put there once, before a command runs."""


def say(flags: Mapping[str, Any]) -> None:
    """Take over what flags of the command line say: of those names that are settings, the values that are not None."""
    _said.clear()
    _said.update({name: flags[name] for name in NAMES if flags.get(name) is not None})


def resolve(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: tuple[str, Mapping[str, Any]] | None,
    configured_region: str | None = None,
    *,
    said_by: str = "flag",
) -> dict[str, Setting]:
    """Return every setting with its source.

    Args:
        flags: by the names of settings; those that were given.
        environment: the process's.
        file: the path of the `sealift.toml` and what it says; None when there is none.
        configured_region: of AWS's own configuration file.
        said_by: what a flag is: `flag`, or `argument` of a Python function.

    Raises:
        InvalidInput: with every name and value that is wrong, wherever it stands.
    """
    path, written = file or (FILE, {})
    said = {OLDER.get(name, name): value for name, value in written.items()}
    problems = [_unknown(name, path) for name in said if name not in NAMES]
    found: dict[str, Setting] = {}
    for kind in KINDS:
        value, source = _first(kind, environment, path, said)
        if kind.name in flags:
            value, source = flags[kind.name], said_by
        if source == DEFAULT and kind.name == "region" and configured_region:
            value, source = configured_region, "AWS's configuration"
        if source != DEFAULT and not kind.valid(value):
            problems.append(_wrong(kind, value, source))
        found[kind.name] = Setting(kind, value, source)
    if problems:
        raise InvalidInput("settings", problems)
    return found


def _first(
    kind: SettingKind,
    environment: Mapping[str, str],
    path: str,
    said: Mapping[str, Any],
) -> tuple[Any, str]:
    if kind.name == "color" and environment.get("NO_COLOR"):
        return "never", "environment NO_COLOR"  # https://no-color.org
    for variable in kind.variables:
        text = environment.get(variable)
        if text:
            value: Any = int(text) if kind.number and text.isdecimal() else text
            return value, f"environment {variable}"
    if kind.name == "color" and environment.get("FORCE_COLOR"):
        return "always", "environment FORCE_COLOR"  # https://force-color.org
    if kind.name in said:
        return said[kind.name], path
    return kind.default, DEFAULT


def _unknown(name: str, path: str) -> Problem:
    fix = did_you_mean(name, NAMES, "correct the name or remove it")
    return Problem("UnknownSetting", f"unknown setting {name!r}", f"one of {', '.join(NAMES)}", fix, path)


def _wrong(kind: SettingKind, value: Any, source: str) -> Problem:
    where = {"flag": f"--{kind.name}", "argument": kind.name}.get(source, source)
    known = [str(one) for one in kind.valid.values] if isinstance(kind.valid, _OneOf) else []
    fix = did_you_mean(str(value), known, "correct it or remove it")
    return Problem("WrongValue", f"{kind.name} = {value!r}", kind.wanted, fix, where)


def current(given: Mapping[str, Any] | None = None) -> dict[str, Setting]:
    """Return every setting of this process with its source.

    Args:
        given: a Python function's arguments, which stand in the place of the command line's flags.

    Raises:
        InvalidInput: with every name and value that is wrong.
    """
    said, by = (_said, "flag") if given is None else (given, "argument")
    return resolve(said, os.environ, _file(_here()), _configured_region(said.get("profile")), said_by=by)


def region() -> str:
    """Return the region."""
    return str(current()["region"].value)


def stack() -> str | None:
    """Return the stack; None for any."""
    return current()["stack"].value or None


def profile() -> str | None:
    """Return the profile that somebody names to Sealift; None where the SDK finds its own."""
    return named_profile(current())


def named_profile(found: Mapping[str, Setting]) -> str | None:
    """Return the profile that settings name; None where the SDK finds its own."""
    setting = found["profile"]
    return None if setting.source.startswith("environment") else setting.value


def color() -> str:
    """Return whether output has colors: auto, always or never."""
    return str(current()["color"].value)


def containers() -> Literal["auto", "process", "runc", "crun"]:
    """Return what the local cloud runs endpoints in."""
    found: Literal["auto", "process", "runc", "crun"] = current()["containers"].value
    return found


def state_machine_arn() -> str:
    """Return the ARN of the deployment state machine (STATE_MACHINE_ARN, set by the template)."""
    return _required("STATE_MACHINE_ARN")


def image_repository() -> str:
    """Return the URI of the stack's repository for images, without a tag (IMAGE_REPOSITORY, set by the template)."""
    return _required(IMAGE_REPOSITORY)


def cache() -> Path:
    """Return the folder of what can be fetched again: sealift in XDG_CACHE_HOME, which is ~/.cache unless set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sealift"


def docker_config() -> Path:
    """Return the file in which `docker login` keeps whom it knows: config.json in DOCKER_CONFIG, or in ~/.docker."""
    # Unlike Path's own, it leaves the ~ where nobody has a home.
    return Path(os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")) / "config.json"  # noqa: PTH111


def certificates() -> str | None:
    """Return the file of certificates that are trusted (AWS_CA_BUNDLE); None for the system's own."""
    return os.environ.get("AWS_CA_BUNDLE") or None


def proxy_key() -> str | None:
    """Return the key that clients of `sealift proxy` must have (SEALIFT_PROXY_KEY); None for none."""
    return os.environ.get("SEALIFT_PROXY_KEY") or None


def proxy(url: str) -> str | None:
    """Return the proxy that a URL is asked through (HTTPS_PROXY, HTTP_PROXY, but NO_PROXY), None for none."""
    from urllib import request
    from urllib.parse import urlsplit

    found = urlsplit(url)
    proxies = request.getproxies_environment()
    chosen = proxies.get(found.scheme)
    # What the stubs leave out.
    passes: Callable[[str, Any], bool] = request.proxy_bypass_environment  # type: ignore[attr-defined]
    if not chosen or passes(found.netloc, proxies) or found.hostname in {"127.0.0.1", "localhost"}:
        return None
    return chosen if "://" in chosen else f"http://{chosen}"


def debug() -> bool:
    """Return whether the traceback of an error is shown (SEALIFT_DEBUG); no setting that could itself be wrong."""
    return bool(os.environ.get("SEALIFT_DEBUG"))


def completing(variable: str) -> str:
    """Return what a shell asks for that completes a command line; empty where none does."""
    return os.environ.get(variable, "")


def dumb_terminal() -> bool:
    """Return whether the terminal cannot move its cursor (TERM=dumb)."""
    return os.environ.get("TERM") == "dumb"


def process_environment() -> dict[str, str]:
    """Return a copy of the whole environment, for child processes."""
    return dict(os.environ)


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        # Somebody has deleted this folder; what is above it cannot be told.
        return Path("/")


def _file(folder: Path) -> tuple[str, Mapping[str, Any]] | None:
    """Return the nearest `sealift.toml`, its path and what it says."""
    for place in (folder, *folder.parents):
        path = place / FILE
        if path.is_file():
            return str(path), _parsed(path, path.stat().st_mtime_ns)
    return None


@lru_cache(maxsize=4)
def _parsed(path: Path, _changed: int) -> Mapping[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        problem = Problem("NotToml", str(error), "a TOML file of settings", "see `sealift settings --help`")
        raise InvalidInput(str(path), [problem]) from error


def _configured_region(profile: str | None) -> str | None:
    """Return the region of AWS's configuration file, which `aws configure` writes, for the profile in use.

    Args:
        profile: the one that somebody names to Sealift.
    """
    if os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        return None
    # Unlike Path's own, it leaves the ~ where nobody has a home.
    path = Path(os.path.expanduser(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"))  # noqa: PTH111
    whose = profile or os.environ.get("AWS_PROFILE") or "default"
    section = "default" if whose == "default" else f"profile {whose}"
    return _configured(path, path.stat().st_mtime_ns, section) if path.is_file() else None


@lru_cache(maxsize=4)
def _configured(path: Path, _changed: int, section: str) -> str | None:
    import configparser

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (OSError, ValueError, configparser.Error):
        return None  # The SDK will complain of it, and better.
    return parser.get(section, "region", fallback=None) or None


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise MissingSetting(
            f"the environment variable {name} is not set; template.yaml sets it in every function"
        )
    return value
