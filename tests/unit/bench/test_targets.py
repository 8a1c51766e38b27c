"""What an endpoint runs on, as AWS describes it."""

from __future__ import annotations

from pipeline.bench import targets
from pipeline.client.endpoint import ServiceEndpoint

ENDPOINT = ServiceEndpoint("demo", "demo-1", streams=False)


def test_a_serverless_endpoint_has_its_sizes() -> None:
    """As they are now."""
    sizes = {"MemorySizeInMB": 3072, "MaxConcurrency": 5}
    described = {"ProductionVariants": [{"VariantName": "a", "CurrentServerlessConfig": sizes}]}
    config = {
        "ProductionVariants": [{"VariantName": "a", "ServerlessConfig": {**sizes, "MaxConcurrency": 9}}]
    }
    found = targets.target(ENDPOINT, described, config)

    assert (found.memory_mb, found.max_concurrency, found.cost.usd_per_hour) == (3072, 5, 0)
    assert found.runs_on == "serverless, 3072 MB, 5 at once"
    assert found.generates


def test_an_endpoint_on_instances_has_their_price() -> None:
    """For as many as run now."""
    described = {"ProductionVariants": [{"VariantName": "a", "CurrentInstanceCount": 2}]}
    config = {
        "ProductionVariants": [{"VariantName": "a", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]
    }
    found = targets.target(ENDPOINT, described, config)

    assert found.memory_mb is None
    assert found.cost.usd_per_hour == 0.23
    assert found.runs_on == "2 x ml.m5.large at $0.115"


def test_vectors_are_no_texts() -> None:
    """A model for embeddings has no tokens to count."""
    assert not targets.LoadTarget(ServiceEndpoint("i", "i-1", streams=False, form="input"), None).generates  # type: ignore[arg-type]
    assert targets.LoadTarget(ServiceEndpoint("i", "i-1", streams=False, form="prompt"), None).generates  # type: ignore[arg-type]
