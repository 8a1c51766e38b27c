"""What an OCI runtime is told of a container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local_cloud.hosting.containers.oci_bundle import (
    NOBODY,
    Accounts,
    Allotment,
    Placement,
    UnusableImageError,
    bundle_config,
    environment_of,
    tmp_bytes,
    user_of,
)

MIB = 1024 * 1024
ACCOUNTS = Accounts(
    passwd="root:x:0:0:root:/root:/bin/sh\nserver:x:1000:1001::/home:/bin/sh\nbroken\n",
    group="root:x:0:\nmodels:x:1002:server\n",
)
IMAGE = {
    "config": {
        "Entrypoint": ["python", "/opt/sealift/adapter"],
        "Cmd": ["never"],
        "Env": ["PATH=/usr/bin", "SM_MODEL_DIR=/opt/ml/model", "EMPTY=", "SIGN=a=b"],
        "User": "server",
        "WorkingDir": "/tmp",  # noqa: S108 the image's
    }
}


def placement(**changed: Any) -> Placement:
    """Return where a container is."""
    usual: dict[str, Any] = {
        "root": Path("/roots/one"),
        "folder": Path("/hosting/one"),
        "model": Path("/hosting/one/model"),
        "cgroup": "/sealift-one",
        "limits_swap": True,
        "unified": False,
    }
    return Placement(**{**usual, **changed})


def config(
    image: dict[str, Any] | None = None, *, memory: int = 2048 * MIB, serverless: bool = True, **changed: Any
) -> dict[str, Any]:
    """Return the configuration of a container."""
    return bundle_config(
        IMAGE if image is None else image,
        {"SEALIFT_N_CTX": "2048"},
        accounts=ACCOUNTS,
        placement=placement(**changed),
        allotment=Allotment(memory, serverless=serverless),
    )


def test_the_entry_point_gets_the_argument_serve_in_place_of_the_images_cmd() -> None:
    """As `docker run IMAGE serve` has it, in the image's working directory."""
    process = config()["process"]

    assert process["args"] == ["python", "/opt/sealift/adapter", "serve"]
    assert process["cwd"] == "/tmp"  # noqa: S108 the image's
    assert config({"config": {"Entrypoint": ["x"]}})["process"]["cwd"] == "/"


def test_a_serverless_container_is_nobody_whatever_the_image_says() -> None:
    """Arbitrary and unprivileged: no capability is left, and none can be had."""
    process = config()["process"]

    assert process["user"] == {"uid": NOBODY, "gid": NOBODY}
    assert process["capabilities"] == {
        kind: [] for kind in ("bounding", "effective", "permitted", "inheritable")
    }
    assert process["noNewPrivileges"] is True


def test_on_an_instance_the_user_is_the_images() -> None:
    """Root has Docker's capabilities, which mount nothing; another user none."""
    named = config(serverless=False)["process"]
    root = config({"config": {"Entrypoint": ["x"]}}, serverless=False)["process"]

    assert named["user"] == {"uid": 1000, "gid": 1001}
    assert named["capabilities"]["effective"] == []
    assert root["user"] == {"uid": 0, "gid": 0}
    assert "CAP_CHOWN" in root["capabilities"]["effective"]
    assert "CAP_SYS_ADMIN" not in root["capabilities"]["bounding"]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("", (0, 0)),
        ("root", (0, 0)),
        ("server", (1000, 1001)),
        ("1000", (1000, 1001)),
        ("65534", (65534, 0)),
        ("65534:65534", (65534, 65534)),
        ("server:models", (1000, 1002)),
        ("server:1", (1000, 1)),
        (":models", (0, 1002)),
    ],
)
def test_users_are_numbers_or_names_of_the_image(spec: str, found: tuple[int, int]) -> None:
    """A number that the image does not know has group 0, as with Docker."""
    assert user_of(spec, ACCOUNTS) == found


@pytest.mark.parametrize("spec", ["nobody", "server:nobodies", "-1", "٣"])
def test_a_name_that_the_image_does_not_know_is_refused(spec: str) -> None:
    """Docker refuses to start it; guessing would run it as root."""
    with pytest.raises(UnusableImageError, match="is not in its /etc/"):
        user_of(spec, ACCOUNTS)


@pytest.mark.parametrize("image", [{}, {"config": None}, {"config": {"Entrypoint": None, "Cmd": ["python"]}}])
def test_an_image_without_an_entry_point_is_refused(image: dict[str, Any]) -> None:
    """SageMaker would run `serve` as a program."""
    with pytest.raises(UnusableImageError, match="no Entrypoint"):
        config(image)


def test_the_models_environment_wins_over_the_images() -> None:
    """And the image's over Docker's PATH; values may be empty and have signs in them."""
    given = {"SM_MODEL_DIR": "/opt/sealift/model", "NEW": "1"}

    found = environment_of(IMAGE["config"], given)

    assert found == {
        "PATH": "/usr/bin",
        "HOSTNAME": "container",
        "SM_MODEL_DIR": "/opt/sealift/model",
        "EMPTY": "",
        "SIGN": "a=b",
        "NEW": "1",
    }
    assert environment_of({}, {})["PATH"].startswith("/usr/local/sbin:")


def test_the_root_is_read_only_and_only_tmp_can_be_written() -> None:
    """Each mount but the kernel's own devices is read-only, is no disk, or is /tmp."""
    document = config()
    mounts = {one["destination"]: one for one in document["mounts"]}
    writable = {name for name, one in mounts.items() if "ro" not in one["options"]}

    assert document["root"] == {"path": "/roots/one", "readonly": True}
    assert writable == {"/proc", "/dev", "/dev/pts", "/dev/shm", "/tmp"}  # noqa: S108 the container's
    assert f"size={1024 * MIB}" in mounts["/tmp"]["options"]  # noqa: S108 the container's
    assert mounts["/opt/ml/model"]["source"] == "/hosting/one/model"
    assert mounts["/etc/hosts"]["source"] == "/hosting/one/etc/hosts"


def test_a_model_without_data_mounts_nothing_at_its_place() -> None:
    """What the image itself has there is to be seen."""
    assert "/opt/ml/model" not in {one["destination"] for one in config(model=None)["mounts"]}


def test_memory_is_the_endpoints_and_swap_none() -> None:
    """The runtime's `swap` counts both, so it is the same number; left out where the kernel cannot."""
    assert config()["linux"]["resources"]["memory"] == {"limit": 2048 * MIB, "swap": 2048 * MIB}
    assert config(limits_swap=False)["linux"]["resources"]["memory"] == {"limit": 2048 * MIB}
    assert config()["linux"]["cgroupsPath"] == "/sealift-one"


def test_the_network_is_a_namespace_of_its_own() -> None:
    """Without a path, so a new one, in which there is the loopback alone."""
    kinds = config()["linux"]["namespaces"]

    assert {"type": "network"} in kinds
    assert {"type": "pid"} in kinds
    assert {"type": "cgroup"} not in kinds
    assert {"type": "cgroup"} in config(unified=True)["linux"]["namespaces"]


def test_nothing_is_asked_of_the_kernel_that_some_machines_refuse() -> None:
    """Neither limits of resources by process nor seccomp."""
    assert "rlimits" not in config()["process"]
    assert "seccomp" not in config()["linux"]


@pytest.mark.parametrize(
    ("memory", "size"), [(1024 * MIB, 512 * MIB), (128 * MIB, 64 * MIB), (64 * MIB, 64 * MIB)]
)
def test_tmp_has_half_the_memory_and_a_least_size(memory: int, size: int) -> None:
    """It lies in memory: all of it would be the container's end."""
    assert tmp_bytes(memory) == size
