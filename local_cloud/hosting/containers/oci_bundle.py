"""What an OCI runtime is told of one container: the config.json of its bundle, from the image's own configuration.

Owns how SageMaker runs an image, as far as it is known: `ENTRYPOINT serve`, the image's environment under the model's,
a user who may write to /tmp alone, the model read-only, the memory as a limit, no network but the loopback. Pure: it
returns data. Refuses to look at a file and to start anything: `runc_container` does.

ASSUMED, since only an account can tell: that a serverless container's user is nobody in particular (here 65534), that
nothing but /tmp can be written to, that no capability is left to it, and that an instance's container, whose user is
the image's, has Docker's capabilities. On instances AWS's root file system can be written to; here it can nowhere,
which is stricter. /tmp lies in memory here and on a disk there: what is written to it counts as memory.

Source: github.com/opencontainers/runtime-spec, github.com/opencontainers/image-spec (config.md, conversion.md);
the developer guide, your-algorithms-inference-code (how a container is run).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PORT: Final = 8080
"""Where every image listens (developer guide, your-algorithms-inference-code)."""
NOBODY: Final = 65534
MODEL: Final = "/opt/ml/model"
"""Where the platform puts what ModelDataUrl or ModelDataSource names."""
ARGUMENT: Final = "serve"
"""What takes the place of the image's CMD."""
POINTS: Final = ("dev", "proc", "sys", "tmp", MODEL.lstrip("/"))
"""Folders that a root file system needs, since what is mounted there finds no other place."""
FILES: Final = ("etc/hosts", "etc/hostname", "etc/resolv.conf")
"""The same for files: an engine writes them for each container."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ROOTS_CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
"""Docker's (moby, oci/caps/defaults.go)."""
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_LEAST_TMP = 64 * MiB


class UnusableImageError(Exception):
    """No container can be made of the image's configuration; the message says why."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The texts by which an image names its users; empty where it has none."""

    passwd: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where on this machine a container's parts are, and what the machine's control groups can."""

    root: Path
    """The image's root file system, which containers share."""
    folder: Path
    """The container's own, with the files of `FILES` below `etc`."""
    model: Path | None
    """What lies at /opt/ml/model; None where the model has no data of its own."""
    cgroup: str
    """Its path, from the top of each hierarchy."""
    limits_swap: bool
    """Whether swap can be limited."""
    unified: bool
    """Whether the control groups are those of version 2."""


@dataclass(frozen=True, slots=True)
class Allotment:
    """What one container gets."""

    memory_bytes: int
    serverless: bool


def bundle_config(
    image: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    accounts: Accounts,
    placement: Placement,
    allotment: Allotment,
) -> dict[str, Any]:
    """Return the config.json of a container.

    Args:
        image: the image's configuration, whole.
        environment: what CreateModel sets.
        accounts: of the image.
        placement: where its parts are.
        allotment: its memory, in bytes, and whether it is a serverless endpoint's.

    Raises:
        UnusableImageError: the image has no ENTRYPOINT, or a user that it does not know itself.
    """
    own = image.get("config") or {}
    arguments = own.get("Entrypoint") or []
    if not arguments:
        raise UnusableImageError("the image's configuration has no Entrypoint; wanted one that takes 'serve'")
    uid, gid = (NOBODY, NOBODY) if allotment.serverless else user_of(own.get("User") or "", accounts)
    capabilities = _ROOTS_CAPABILITIES if uid == 0 else ()
    return {
        "ociVersion": "1.0.2",
        "hostname": "container",
        "process": {
            "terminal": False,
            "user": {"uid": uid, "gid": gid},
            "args": [*arguments, ARGUMENT],
            "env": [f"{name}={value}" for name, value in environment_of(own, environment).items()],
            "cwd": own.get("WorkingDir") or "/",
            "capabilities": {
                kind: list(capabilities) for kind in ("bounding", "effective", "permitted", "inheritable")
            },
            "noNewPrivileges": True,
            # No rlimits, and no seccomp below: there are machines that refuse to set them, and none needs them.
        },
        "root": {"path": str(placement.root), "readonly": True},
        "mounts": _mounts(placement, allotment.memory_bytes),
        "linux": {
            "cgroupsPath": placement.cgroup,
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}],
                "memory": _memory(allotment.memory_bytes, limits_swap=placement.limits_swap),
            },
            "namespaces": _namespaces(unified=placement.unified),
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
        },
    }


def environment_of(own: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Return a container's environment: Docker's PATH, then the image's, then the model's."""
    image = (entry.partition("=") for entry in own.get("Env") or ())
    return {"PATH": _PATH, "HOSTNAME": "container", **{name: value for name, _, value in image}, **given}


def user_of(spec: str, accounts: Accounts) -> tuple[int, int]:
    """Return the user's and the group's number of an image's `User`: `user`, `user:group`, numbers or names.

    Raises:
        UnusableImageError: a name that the image does not know.
    """
    user, _, group = spec.partition(":")
    known = [line.split(":") for line in accounts.passwd.splitlines()]
    entry = next((row for row in known if len(row) > 3 and user in (row[0], row[2])), None)
    uid = _number(user or "0") if entry is None else _number(entry[2])
    if uid is None:
        raise UnusableImageError(f"the image's user {user!r} is not in its /etc/passwd")
    if not group:
        return uid, 0 if entry is None else _number(entry[3]) or 0
    groups = [line.split(":") for line in accounts.group.splitlines()]
    named = next((row[2] for row in groups if len(row) > 2 and row[0] == group), group)
    gid = _number(named)
    if gid is None:
        raise UnusableImageError(f"the image's group {group!r} is not in its /etc/group")
    return uid, gid


def tmp_bytes(memory_bytes: int) -> int:
    """Return how large /tmp may become: half the memory, since it lies there."""
    return max(memory_bytes // 2, _LEAST_TMP)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _memory(memory_bytes: int, *, limits_swap: bool) -> dict[str, int]:
    # The runtime's `swap` is memory and swap together: as much as the memory, so none.
    return {"limit": memory_bytes, **({"swap": memory_bytes} if limits_swap else {})}


def _namespaces(*, unified: bool) -> list[dict[str, str]]:
    # With version 2 a container would see every other one's group; Docker hides them in the same way.
    kinds = ("pid", "network", "ipc", "uts", "mount", *(("cgroup",) if unified else ()))
    return [{"type": kind} for kind in kinds]


def _mounts(placement: Placement, memory_bytes: int) -> list[dict[str, Any]]:
    mounts = [
        _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),  # noqa: S108
        _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
        _mount("/tmp", "tmpfs", "nosuid", "nodev", "mode=1777", f"size={tmp_bytes(memory_bytes)}"),  # noqa: S108
    ]
    mounts += [_bind(placement.folder / name, f"/{name}") for name in FILES]
    if placement.model is not None:
        mounts.append(_bind(placement.model, MODEL))
    return mounts


def _mount(destination: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": kind, "options": list(options)}


def _bind(source: Path, destination: str) -> dict[str, Any]:
    options = ["rbind", "ro", "nosuid", "nodev"]
    return {"destination": destination, "type": "bind", "source": str(source), "options": options}
