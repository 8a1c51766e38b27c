"""A plan, a consumer and a smoke test as states hand them over: JSON, with what a test does not speak of filled in."""

from __future__ import annotations

from typing import Any, Final

from pipeline import json_codec
from pipeline.planning import deployment_request
from tests.stack_defaults import DEFAULTS

_NAME: Final = "harbour-0"
EXECUTION: Final = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:mine"
"""The one that a plan is of."""
PARAMETER: Final = "/sealift/sealift/harbour/endpoint"
"""The one that names the endpoint of its service."""
SERVING: Final = {"service": "harbour", "execution": EXECUTION, "since": "2026-01-02T04:05:06Z"}
"""What UpdateConsumer is handed of the plan for the parameter's tags."""


def a_consumer(**changed: Any) -> dict[str, Any]:
    """Return a consumer as a request has it: a function without an alias."""
    return {
        "function_name": "assistant",
        "variable": "ENDPOINT_NAME",
        "alias": None,
        "canary": None,
        "test_event": None,
        "expect": {"min_completion_tokens": 1},
        "take_over": False,
        **changed,
    }


def a_smoke_test(**changed: Any) -> dict[str, Any]:
    """Return a smoke test as a plan has it."""
    return {
        "prompts": ["Hello."],
        "ask_with": "messages",
        "expect": {"min_completion_tokens": 1},
        "max_tokens": 32,
        "timeout_s": 60,
        **changed,
    }


def a_plan(*, names: dict[str, str] | None = None, **changed: Any) -> dict[str, Any]:
    """Return a plan: one endpoint on serverless, no consumer, all names alike but those that are given."""
    named = (names or {}).get("model", _NAME)
    model = {"ModelName": named, "PrimaryContainer": {}, "ExecutionRoleArn": "arn:role", "Tags": []}
    return {
        "version": 1,
        "service": "harbour",
        "execution": EXECUTION,
        "hosting": "serverless",
        "names": {"model": _NAME, "endpoint_config": _NAME, "endpoint": _NAME, **(names or {})},
        "strategy": "new_endpoint",
        "memory_mb": 1024,
        "max_concurrency": 10,
        "asked": {"memory_mb": 1024, "max_concurrency": 10},
        "instances": None,
        "room": [],
        "updates": None,
        "serving": None,
        "rungs": [],
        "steps": [],
        "image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/image:1",
        "fit": {"sizes_mb": [1024, 2048, 3072]},
        "arithmetic": "weights 1 MiB = 1 MiB",
        "requests": {
            "create_model": model,
            "create_endpoint_config": {"ProductionVariants": [{"ModelName": named}]},
            "create_endpoint": {},
            "update_endpoint": {},
        },
        "poll": {"interval_s": 15, "deadline_s": 1800},
        "smoke_test": a_smoke_test(),
        "consumers": [],
        "switch": "none",
        "callers": "no consumer",
        "taken_from": None,
        "keep_previous": 2,
        "notes": [],
        **changed,
    }


def on_instances(**changed: Any) -> dict[str, Any]:
    """Return what a plan's endpoint runs on when it is not on serverless: two of a type, with one to step to."""

    def offer(name: str, usd_per_hour: float, vcpus: int) -> dict[str, Any]:
        told = dict.fromkeys(("memory", "speed", "disk", "price"), "as told")
        figures = {"vcpus": vcpus, "memory_gib": 32.0, "usd_per_hour": usd_per_hour, "tokens_per_s": 3.0}
        return {"name": name, **figures, **told}

    return {
        "type": "ml.r5.xlarge",
        "count": 2,
        "asked": {"type": "ml.r5.xlarge", "count": 2},
        "offers": [offer("ml.r5.xlarge", 0.302, 4), offer("ml.r5.2xlarge", 0.605, 8)],
        "usd_per_hour": 0.604,
        "busy_cpus": 4,
        "volume_gb": 8,
        "download_s": 60,
        "startup_s": 60,
        "bake_s": 300,
        "auto_scaling": None,
        **changed,
    }


def a_checked_upload(**fields: Any) -> dict[str, Any]:
    """Return CheckArchive's result of an ordinary archive; `fields` go into the request beside `archive`."""
    archive = {"bucket": "uploads", "key": "models/harbour/model.tar.gz", "version_id": "v1"}
    request = deployment_request.request({"archive": archive, **fields}, None, DEFAULTS)
    return {
        "request": json_codec.encode(request),
        "archive": {
            **archive,
            "etag": "9b2cf535f27731c974343645a3985328",
            "size": 808_000_000,
            "extracted_bytes": 808_100_000,
            "sha256": "0" * 64,
            "format": "tar.gz",
            "last_modified": "2026-01-02T03:04:05Z",
        },
        "model": {},
        "evidence": {"method": "read", "bytes_read": 0, "members": 1, "notes": []},
        "assembly": {
            "way": "copy",
            "reason": "it holds this code already",
            "bucket": "artifacts",
            "key": "archives/0a1b/model.tar.gz",
            "content": "0a1b",
            "code_digest": "0a1b",
            "form": "archive",
            "code": "sealift",
            "relocate_model": False,
            "record": "records/0.json",
        },
    }
