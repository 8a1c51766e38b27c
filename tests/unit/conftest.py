"""A model, a request and an archive as the states hand them over, for tests to change in one place."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pipeline.planning import deployment_request, plan
from tests.stack_defaults import DEFAULTS as STACK_DEFAULTS

if TYPE_CHECKING:
    from pipeline.state_data.request_types import Request, StackDefaults

DEFAULTS: StackDefaults = {
    **STACK_DEFAULTS,
    "endpoint_role_arns": "arn:aws:iam::123456789012:role/other",
}

# The header of Llama-3.2-1B in Q4_K_M: figures of its model card and configuration.
LLAMA_1B = {
    "path": "llama-3.2-1b-q4_k_m.gguf",
    "size": 807_694_464,
    "gguf_version": 3,
    "architecture": "llama",
    "quantization": "Q4_K_M",
    "tensor_bytes": 799_862_912,
    "context_length": 131_072,
    "block_count": 16,
    "embedding_length": 2048,
    "head_counts": 32,
    "head_counts_kv": 8,
    "key_length": 64,
    "value_length": 64,
    "vocabulary_size": 128_256,
}

ARCHIVE = {
    "bucket": "uploads",
    "key": "models/harbour/model.tar.gz",
    "version_id": "v1",
    "etag": "9b2cf535f27731c974343645a3985328",
    "size": 808_000_000,
    "extracted_bytes": 808_100_000,
    "sha256": "0" * 64,
    "format": "tar.gz",
    "last_modified": "2026-01-02T03:04:05Z",
}

TODAY = date(2024, 1, 2)
"""Before the support of any image ended."""

EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-0123456789abcdef"


class Requests(Protocol):
    """Makes the request of an execution input whose fields beside `archive` are given."""

    def __call__(self, **fields: Any) -> Request:
        """Return it with all defaults."""


class FactsMaker(Protocol):
    """Makes the facts of a plan."""

    def __call__(
        self, *, archive: dict[str, Any] | None = None, model: dict[str, Any] | None = None, **fields: Any
    ) -> plan.PlanFacts:
        """Return them, the given parts changed; `fields` go into the request, which asks for ten on serverless."""


@pytest.fixture(scope="session")
def top() -> Path:
    """The top folder of the checkout."""
    return Path(__file__).parents[2]


@pytest.fixture
def defaults() -> StackDefaults:
    """What an ordinary stack says."""
    return copy.deepcopy(DEFAULTS)


@pytest.fixture
def llama_1b() -> dict[str, Any]:
    """The model part of an archive report."""
    return copy.deepcopy(LLAMA_1B)


@pytest.fixture
def request_with() -> Requests:
    """Makes requests."""

    def make(**fields: Any) -> Request:
        document = {"archive": {name: ARCHIVE[name] for name in ("bucket", "key", "version_id")}, **fields}
        return deployment_request.request(document, None, DEFAULTS)

    return make


@pytest.fixture
def facts_with(request_with: Requests) -> FactsMaker:
    """Makes facts."""

    def make(
        *, archive: dict[str, Any] | None = None, model: dict[str, Any] | None = None, **fields: Any
    ) -> plan.PlanFacts:
        ten = {"max_concurrency": 10} if fields.get("hosting") != "instance" else {}
        return plan.PlanFacts(
            request=request_with(**{**ten, **fields}),
            archive={**ARCHIVE, **(archive or {})},
            model={**LLAMA_1B, **(model or {})},
            assembly={"bucket": "artifacts", "key": "archives/0a1b/model.tar.gz"},
            execution=EXECUTION,
            region="us-east-1",
            today=TODAY,
        )

    return make
