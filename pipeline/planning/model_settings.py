"""What a request means for the model that was found: the server's settings, what it needs, how it is asked.

Owns what depends on the model's header. Refuses to choose a size: `fit` and `plan` do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.errors import InvalidInput, Problem
from pipeline.gguf import questions
from pipeline.hosting import SERVERLESS
from pipeline.planning import question_form
from pipeline.sizing import fit, images
from pipeline.sizing.cache_types import F16
from pipeline.sizing.companion_memory import Beside
from pipeline.sizing.llama_memory import Shape
from pipeline.state_data.plan_types import PlannedSmokeTest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.state_data.request_types import Inference, Request, RequestedConsumer

THREADS = 4
"""Of a serverless endpoint unless a request says otherwise; on instances, all that there are."""
LEAST_BATCH = 32
"""What llama-server evaluates at a time at least, and a token for each slot: with less it aborts, at its start or under
an answer for which a draft model guesses ahead. The adapter's own `command.LEAST_BATCH` is the same."""


def needs(
    request: Request, archive: Mapping[str, Any], model: dict[str, Any], below: int | None = None
) -> fit.Fit:
    """Return what the model needs with the request's settings and one slot.

    Args:
        request: the deployment's.
        archive: its size and extracted_bytes.
        model: the model part of the archive report.
        below: bytes of the image below it, where the image holds the model.
    """
    own = inference(request, model, SERVERLESS)
    return fit.fit(
        Shape.from_json(model),
        archive_bytes=archive["size"],
        extracted_bytes=archive["extracted_bytes"],
        n_ctx=own.n_ctx,
        n_batch=own.n_batch,
        serving=images.PROFILES[request.container].serving,
        prefix_cache_mb=own.prefix_cache_mb,
        n_parallel=1,
        bare=bool(archive.get("parts")),
        beside=Beside.from_json(model.get("companions", ())),
        below=below,
        cache_type=own.cache_type,
        n_gpu_layers=own.n_gpu_layers,
    )


def require_settings(request: Request) -> None:
    """Refuse settings that the container has no variable for: a model would be loaded otherwise than it was planned.

    Raises:
        InvalidInput: with each of them.
    """
    profile, own = images.PROFILES[request.container], request.inference
    asked = {"cache_type": own.cache_type != F16, "n_gpu_layers": own.n_gpu_layers is not None}
    others = [repr(one.name) for one in images.PROFILES.values() if one.settings["cache_type"]]
    problems = [
        Problem(
            "NoSuchSetting",
            f"'inference' has {name} {getattr(own, name)!r}, and container is {profile.name!r}, which has none",
            f"a container that has: {' or '.join(others)}",
            f"name one in 'container', or leave {name!r} out",
        )
        for name, is_asked in asked.items()
        if is_asked and profile.settings[name] is None
    ]
    if problems:
        raise InvalidInput("the deployment's settings", problems)


def slots_asked(request: Request) -> int | None:
    """Return the slots of a request on instances: 1 where nothing has any, None where they are to be planned."""
    return request.inference.n_parallel if has_slots(request) else 1


def has_slots(request: Request) -> bool:
    """Tell whether what serves the model can answer several requests at once: an archive's own code cannot."""
    return images.PROFILES[request.container].has_slots and request.code != images.ARCHIVE_CODE


def serves_metrics(request: Request) -> bool:
    """Tell whether what serves the model answers `/metrics`."""
    return images.PROFILES[request.container].serves_metrics and request.code != images.ARCHIVE_CODE


def inference(request: Request, model: Mapping[str, Any], where: str, slots: int = 1) -> Inference:
    """Return the inference settings with so many slots, the context never longer than the model was trained for."""
    asked, trained = request.inference, model.get("context_length")
    threads = asked.n_threads
    if threads is None:
        threads = THREADS if where == SERVERLESS else images.PROFILES[request.container].all_threads
    n_ctx = min(asked.n_ctx, trained) if trained else asked.n_ctx
    n_batch = max(asked.n_batch, slots, LEAST_BATCH) if has_slots(request) else asked.n_batch
    return replace(asked, n_ctx=n_ctx, n_batch=n_batch, n_threads=threads, n_parallel=slots)


def of_llama_server(own: Inference, gpu_layers: int | None) -> dict[str, Any]:
    """Return what llama-server is told beyond other servers; nothing where its defaults will do.

    Args:
        own: the request's settings.
        gpu_layers: that lie on GPUs; None where there are none.
    """
    quantized = own.cache_type != F16
    return {
        "n_gpu_layers": gpu_layers,
        # A quantized cache needs it, and the arithmetic of GPUs counts on it.
        "flash_attn": "on" if quantized or gpu_layers else None,
        "cache_type": own.cache_type if quantized else None,
    }


def streams(request: Request, asked: str, where: str) -> bool:
    """Tell whether answers to a form of question come as streams: what answers it, and SageMaker, must both do that.

    SageMaker streams from instances alone, and what is no text has no pieces.
    """
    answers = asked in {questions.MESSAGES, questions.PROMPT}
    return where != SERVERLESS and answers and container_streams(request)


def container_streams(request: Request) -> bool:
    """Tell whether what serves the model hands on an answer while it makes it: an archive's own code cannot."""
    return images.PROFILES[request.container].streams and request.code != images.ARCHIVE_CODE


def smoke_test(request: Request, model: Mapping[str, Any], timeout_s: int, where: str) -> PlannedSmokeTest:
    """Return the smoke test that suits what the model is for."""
    test, asked = request.smoke_test, question_form.of(request, model)
    return PlannedSmokeTest(
        prompts=questions.prompts(test.prompts, asked),
        ask_with=asked,
        expect=test.expect,
        max_tokens=test.max_tokens,
        timeout_s=timeout_s,
        embedding_size=model.get("embedding_size") if asked == questions.INPUT else None,
        streams=streams(request, asked, where),
    )


def consumers(request: Request, model: Mapping[str, Any]) -> tuple[RequestedConsumer, ...]:
    """Return the consumers, each with the event to try it with where a prompt would not do."""
    asked = question_form.of(request, model)
    event = questions.event(asked, questions.prompts(request.smoke_test.prompts, asked)[0])
    if event is None:
        return request.consumers
    return tuple(replace(one, test_event=one.test_event or event) for one in request.consumers)
