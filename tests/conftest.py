"""What holds for all tests: no environment of the machine's, no account, no colour setting reaches them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# The modules of inference/ lie flat in an archive's code/ and import each other so. Behind everything else, since the
# folder holds an inference.py and is the package of that name.
sys.path.append(str(Path(__file__).resolve().parents[1] / "inference"))

# How fast an example is tells of the machine, not of the code: no test may fail for it.
hypothesis.settings.register_profile(
    "sealift", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("sealift")

FAKES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent/aws/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/aws/credentials",
}


@pytest.fixture(scope="session", autouse=True)
def hermetic_environment() -> Iterator[None]:
    """Replace every AWS_* variable by a fake, before any other fixture, for the whole session."""
    with pytest.MonkeyPatch.context() as patch:
        # AWS_PROFILE, AWS_ENDPOINT_URL and its per-service forms, AWS_SESSION_TOKEN: none may stay.
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in FAKES.items():
            patch.setenv(name, value)
        for name in ("NO_COLOR", "FORCE_COLOR"):
            patch.delenv(name, raising=False)
        yield
