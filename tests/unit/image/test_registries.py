"""Which way a registry is spoken to."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import RegistryRefused
from pipeline.image import ecr, registries
from pipeline.image.base import Reference
from pipeline.image.distribution import HttpRepository
from pipeline.image.ecr import EcrRepository


def test_ecr_is_spoken_to_by_its_own_api() -> None:
    """In the region that its host names; every other registry over HTTP, ECR's public one too."""
    host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

    found = registries.connect(Reference(host, "sealift"))

    assert isinstance(found, EcrRepository)
    assert (found.name, found.host) == (f"{host}/sealift", ecr.EcrHost("123456789012", "eu-west-1"))
    for other in ("public.ecr.aws", "registry.example:5000", "127.0.0.1:5000"):
        assert isinstance(registries.connect(Reference(other, "sealift")), HttpRepository)


@pytest.mark.parametrize(
    "name",
    [
        "1234.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com:443",
        "x123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "public.ecr.aws",
    ],
)
def test_a_host_that_looks_like_ecrs_is_none(name: str) -> None:
    """Credentials of an account go to AWS alone."""
    assert ecr.host(name) is None


def test_a_registry_elsewhere_is_never_spoken_to_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it lead anybody to this machine: an upload's address that was remembered is looked at as well."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    found = registries.connect(Reference("registry.example", "sealift"))

    assert isinstance(found, HttpRepository)
    with pytest.raises(RegistryRefused, match="https, or http"):
        found._http.ask("GET", "http://127.0.0.1:9/")
