"""The platform's figures, as far as botocore's service models tell them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import botocore.session
import pytest

from pipeline import limits

SESSION = botocore.session.get_session()
SAGEMAKER = SESSION.get_service_model("sagemaker")


def test_the_memory_sizes_span_what_serverless_takes() -> None:
    """Smallest and largest are the model's; the steps are 1 GB (ProductionVariantServerlessConfig)."""
    bounds = SAGEMAKER.shape_for("ProductionVariantServerlessConfig").members["MemorySizeInMB"].metadata

    assert tuple(range(bounds["min"], bounds["max"] + 1, 1024)) == limits.MEMORY_SIZES_MB


def test_the_concurrency_is_the_models() -> None:
    """MaxConcurrency of ProductionVariantServerlessConfig."""
    bounds = SAGEMAKER.shape_for("ProductionVariantServerlessConfig").members["MaxConcurrency"].metadata

    assert (bounds["min"], limits.MAX_CONCURRENCY.value) == (1, bounds["max"])


@pytest.mark.parametrize(
    ("service", "shape", "figure"),
    [
        pytest.param("sagemaker", "EndpointName", limits.NAME_LENGTH, id="endpoint"),
        pytest.param("sagemaker", "EndpointConfigName", limits.NAME_LENGTH, id="endpoint configuration"),
        pytest.param("sagemaker", "ModelName", limits.NAME_LENGTH, id="model"),
        pytest.param("sagemaker", "EnvironmentMap", limits.ENVIRONMENT_ENTRIES, id="environment"),
    ],
)
def test_a_length_is_the_models(service: str, shape: str, figure: limits.Limit) -> None:
    """The `max` of the shape in the service model."""
    assert SESSION.get_service_model(service).shape_for(shape).metadata["max"] == figure.value


def test_the_quotas_lie_within_what_the_platform_takes() -> None:
    """An account's quota can only be narrower than the API."""
    assert limits.MEMORY_QUOTA_MB.value in limits.MEMORY_SIZES_MB
    assert limits.CONCURRENCY_QUOTA.value <= limits.MAX_CONCURRENCY.value


def test_a_figure_cannot_be_changed() -> None:
    """Limits are facts; whoever needs another one says so in the request."""
    with pytest.raises(FrozenInstanceError):
        limits.DISK.value = 10  # type: ignore[misc]
