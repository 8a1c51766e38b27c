"""Endpoints on GPUs and on Graviton, on the local cloud: the real llama-server, and the GPUs' memory by rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import NOTHING, Deployments
from tests.system.rollout.test_instances import on_instances

A10G, L4, GRAVITON, X86 = "ml.g5.xlarge", "ml.g6.xlarge", "ml.c8g.large", "ml.c5.large"


@pytest.fixture
def allowed(deployments: Deployments) -> Iterator[Callable[..., None]]:
    """Return a function that says how many instances of which type the account may have."""
    hosting = deployments.cloud.hosting
    before = hosting.quotas

    def allow(**of_types: int) -> None:
        types = {f"ml.{name}.xlarge": number for name, number in of_types.items()}
        hosting.quotas = replace(before, instances=types)

    yield allow
    hosting.quotas = before


def on_gpus(**more: Any) -> dict[str, Any]:
    """Return the settings of a small deployment on GPUs."""
    return on_instances(**{"container": "llama-cpp", "inference": {"n_ctx": 256}, **more})


def test_a_new_account_has_no_gpus(deployments: Deployments, model: Path) -> None:
    """Its quota of each type is 0, which AWS tells with the name to ask for; nothing is made."""
    ended = deployments.upload(model, "new", on_gpus(instance_type=A10G), name="harbour.gguf")

    assert (ended.status, ended.error) == ("FAILED", "QuotaTooSmall")
    assert f"'{A10G} for endpoint usage'" in str(ended.cause)
    assert deployments.resources() == NOTHING


def test_a_gpu_serves_once_its_quota_was_raised(
    deployments: Deployments, model: Path, allowed: Callable[..., None]
) -> None:
    """With the CUDA image and its driver, all layers on the GPU, no volume; and what nobody named is AWS's image."""
    allowed(g5=1)
    asked = on_gpus(instance_type=A10G)
    del asked["container"]
    ended = deployments.upload(model, "gpu", asked, name="harbour.gguf")

    assert ended.status == "SUCCEEDED", ended.cause
    assert "cargo" in ended.results["smoke_test"]["transcript"][0]["answer"].lower()
    name = ended.results["plan_deployment"]["names"]["endpoint"]
    sagemaker: Any = deployments.cloud.clients.sagemaker
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"]
    assert (variant["InstanceType"], variant["InferenceAmiVersion"]) == (
        A10G,
        "al2023-ami-sagemaker-inference-gpu-4-1",
    )
    assert "VolumeSizeInGB" not in variant
    container = sagemaker.describe_model(ModelName=name)["PrimaryContainer"]
    assert container["Image"].endswith("/llama-cpp:server-sagemaker-cuda-v1")
    told = container["Environment"]
    layers = ended.results["plan_deployment"]["instances"]["offers"][0]["gpu_layers"]
    assert told["SM_LLAMA_CPP_N_GPU_LAYERS"] == str(layers)
    assert told["SM_LLAMA_CPP_MODEL"] == "/opt/ml/model/harbour.gguf"


@pytest.fixture
def small_gpus(deployments: Deployments) -> Iterator[None]:
    """Let GPUs have less than the arithmetic counts on, and a start that fails be given up soon."""
    hosting = deployments.cloud.hosting
    before = hosting.startup_deadline_s
    hosting.gpu_gib, hosting.startup_deadline_s = 0.5, 1.5
    yield
    hosting.gpu_gib, hosting.startup_deadline_s = None, before


@pytest.mark.usefixtures("small_gpus")
def test_a_gpu_that_has_less_than_was_counted_on_fails_the_deployment(
    deployments: Deployments, model: Path, allowed: Callable[..., None]
) -> None:
    """With llama.cpp's own words out of the log, what to do about it, and nothing left."""
    allowed(g5=1)
    ended = deployments.upload(model, "full", on_gpus(instance_type=A10G), name="harbour.gguf")

    assert (ended.status, ended.error) == ("FAILED", "EndpointFailed")
    diagnosed = ended.results["diagnose"]
    assert diagnosed["cause_name"] == "GpuOutOfMemory"
    cause = str(ended.cause)
    assert "MiB on device 0: cudaMalloc failed: out of memory" in cause
    for way_out in ("n_ctx", "n_gpu_layers", "a larger instance_type"):
        assert way_out in diagnosed["fix"]
        assert way_out in cause
    assert deployments.resources() == NOTHING


def test_a_quota_of_one_gpu_type_leads_to_the_next(
    deployments: Deployments, model: Path, allowed: Callable[..., None]
) -> None:
    """Of the same platform, with the same model: no CPU stands between them, however cheap."""
    allowed(g6=0, g5=1)
    sized = {"vcpus": 4, "memory_gib": 16, "memory_bandwidth_gb_s": 13, "local_disk_gb": 250}
    types = [
        {"name": L4, "usd_per_hour": 0.01, **sized},
        {"name": A10G, "usd_per_hour": 0.02, **sized},
    ]
    ended = deployments.upload(model, "ladder", on_gpus(instance_types=types), name="harbour.gguf")

    assert ended.status == "SUCCEEDED", ended.cause
    plan = ended.results["plan_deployment"]
    assert plan["instances"]["type"] == A10G
    assert any(f"'{L4} for endpoint usage' is 0" in step["said"] for step in plan["steps"])
    assert {one["platform"] for one in plan["instances"]["offers"]} == {"cuda"}


def test_graviton_takes_the_image_for_arm64(deployments: Deployments, model: Path) -> None:
    """And no other image starts there."""
    own = {
        "name": GRAVITON,
        "vcpus": 2,
        "memory_gib": 4,
        "usd_per_hour": 0.05,
        "memory_bandwidth_gb_s": 11,
    }
    ended = deployments.upload(
        model, "arm", on_gpus(instance_type=GRAVITON, instance_types=[own]), name="harbour.gguf"
    )

    assert ended.status == "SUCCEEDED", ended.cause
    image = ended.results["plan_deployment"]["image_uri"]
    assert image.endswith("/llama-cpp-arm64:server-sagemaker-cpu-v1")
    x86 = image.replace("llama-cpp-arm64", "llama-cpp")
    wrong = on_gpus(instance_type=GRAVITON, instance_types=[own], image_uri=x86)
    refused = deployments.upload(model, "arm", wrong, name="harbour.gguf")
    assert (refused.status, refused.error) == ("FAILED", "ModelDoesNotFit")


def test_a_type_of_another_platform_runs_its_own_model(deployments: Deployments, model: Path) -> None:
    """Where there is no Graviton to be had, x86-64 runs with its own image; a good deployment later both models go."""
    sized = {"vcpus": 2, "memory_gib": 4}
    types = [
        {"name": GRAVITON, "usd_per_hour": 0.01, "memory_bandwidth_gb_s": 11, **sized},
        {"name": X86, "usd_per_hour": 0.02, "memory_bandwidth_gb_s": 12, **sized},
    ]
    hosting = deployments.cloud.hosting
    hosting.short_of = frozenset({GRAVITON})
    try:
        ended = deployments.upload(model, "mixed", on_gpus(instance_types=types), name="harbour.gguf")
    finally:
        hosting.short_of = frozenset()

    assert ended.status == "SUCCEEDED", ended.cause
    assert "cargo" in ended.results["smoke_test"]["transcript"][0]["answer"].lower()
    plan = ended.results["plan_deployment"]
    name = plan["names"]["endpoint"]
    own = plan["instances"]["offers"][1]["model"]
    assert sorted(deployments.resources()["models"]) == sorted([name, own])
    sagemaker: Any = deployments.cloud.clients.sagemaker
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"]
    assert [one.get("ModelNameOverride") for one in variant["InstancePools"]][:2] == [None, own]
    (serving,) = sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert serving["DeployedImages"][0]["SpecifiedImage"].endswith("/llama-cpp:server-sagemaker-cpu-v1")
    assert ended.results["restore_capacity"]["steps"][0].startswith(
        f"runs on 1 x {X86} instead of 1 x {GRAVITON}"
    )
    second = deployments.upload(model, "mixed", on_gpus(instance_type=X86), name="harbour.gguf")

    assert second.status == "SUCCEEDED", second.cause
    new = second.results["plan_deployment"]["names"]["endpoint"]
    assert deployments.resources() == {"endpoints": [new], "configs": [new], "models": [new]}
