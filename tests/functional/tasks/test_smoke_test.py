"""SmokeTest: only an answer that is as expected is a proof."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import payload
from pipeline.errors import ModelNotReady, NotYetVisible, SealiftError, SmokeTestFailed
from pipeline.gguf import questions
from pipeline.rollout import answers, embeddings

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import Bodies, Script, Task

TEST: dict[str, Any] = {
    "prompts": ["What?"],
    "expect": {"contains": "cargo"},
    "max_tokens": 8,
    "timeout_s": 60,
}


NAMES = {
    "endpoint_name": "harbour-0",
    "service": "harbour",
    "hosting": "instance",
    "execution": "arn:aws-cn:states:cn-north-1:123456789012:execution:pier-deployment:harbour-0",
}


def completion(text: str, tokens: int | None = 3) -> bytes:
    """Return an OpenAI-style answer."""
    document: dict[str, Any] = {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "timings": {"predicted_per_second": 20.5, "prompt_ms": "soon", "predicted_ms": None},
    }
    if tokens is not None:
        document["usage"] = {"completion_tokens": tokens}
    return json.dumps(document).encode()


def ask(do: Task, script: Script, **changed: Any) -> dict[str, Any]:
    """Run the smoke test on one endpoint."""
    return do("SmokeTest", script.clients, smoke_test={**TEST, **changed}, **NAMES)


def answer_to(script: Script, question: dict[str, Any], body: Any) -> None:
    """Let the endpoint be asked just this next, and answer it."""
    request = {
        "EndpointName": "harbour-0",
        "ContentType": "application/json",
        "Accept": "application/json",
        "Body": json.dumps(question).encode(),
    }
    script.answers("sagemaker_runtime", "invoke_endpoint", {"Body": body}, request)


def test_a_good_answer_is_written_down(do: Task, script: Script, streamed: Bodies) -> None:
    """Question and answer are the evidence; the question is OpenAI's, at temperature 0."""
    said = completion("Heavy cargo.")
    question = {"messages": [{"role": "user", "content": "What?"}], "max_tokens": 8, "temperature": 0}
    again = {**question, "messages": [{"role": "user", "content": "Once more: What?"}]}
    for one in (question, again):
        answer_to(script, one, streamed(said))

    tested = ask(do, script)
    (line,) = tested["transcript"]

    assert line.pop("seconds") >= 0
    assert line == {
        "prompt": "What?",
        "answer": "Heavy cargo.",
        "completion_tokens": 3,
        "finish_reason": "stop",
        "first_token_s": None,
        "bytes_in": len(json.dumps(question)),
        "bytes_out": len(said),
        "timings": {"predicted_per_second": 20.5},
    }
    speed = tested["speed"]
    assert speed.pop("seconds") >= 0
    assert speed == {"first_token_s": None, "tokens": 3, "tokens_per_s": 20.5}
    assert re.fullmatch(
        r"measured warm with one caller: \d\.\d\d s for an answer, 20.5 tokens/s", tested["told"]
    )


def listed(*vectors: list[float]) -> bytes:
    """Return an OpenAI-style list of embeddings."""
    return json.dumps({"data": [{"index": n, "embedding": one} for n, one in enumerate(vectors)]}).encode()


def test_a_base_model_is_asked_to_go_on_with_a_text(do: Task, script: Script, streamed: Bodies) -> None:
    """Sampled, since the likeliest words of a base model run in circles; its answer is a text, not a message."""
    said = json.dumps({"choices": [{"text": " cargo of tin."}], "usage": {"completion_tokens": 4}}).encode()
    question = {"prompt": "What?", "max_tokens": 8, "temperature": 0.8, "top_p": 0.95, "seed": 1}
    for asked in ("What?", "Once more: What?"):
        answer_to(script, {**question, "prompt": asked}, streamed(said))

    tested = ask(do, script, ask_with="prompt")

    assert [line["answer"] for line in tested["transcript"]] == [" cargo of tin."]
    assert tested["speed"]["tokens"] == 4


def test_a_base_model_that_says_nothing_fails(do: Task, script: Script, streamed: Bodies) -> None:
    """It is held to the same as a model that chats."""
    said = json.dumps({"choices": [{"text": "  "}], "usage": {"completion_tokens": 2}}).encode()
    script.answers("sagemaker_runtime", "invoke_endpoint", {"Body": streamed(said)})

    with pytest.raises(SmokeTestFailed, match="degenerate"):
        ask(do, script, ask_with="prompt", expect={})


def test_a_model_for_embeddings_is_asked_for_them(do: Task, script: Script, streamed: Bodies) -> None:
    """The text beside one that has nothing to do with it; what stands in the transcript is readable."""
    said = listed([0.6, 0.8], [0.8, 0.6])
    for asked in ("What?", "Once more: What?"):
        answer_to(script, {"input": [asked, questions.OTHER]}, streamed(said))

    (line,) = ask(do, script, ask_with="input", embedding_size=2)["transcript"]

    assert (line["prompt"], line["answer"]) == ("What?", "2 numbers: 0.6, 0.8")
    assert line["completion_tokens"] is None


def test_a_reranker_is_asked_to_rank(do: Task, script: Script, streamed: Bodies) -> None:
    """The query is one of two documents; a transcript shows both scores."""
    results = [{"index": 1, "relevance_score": -1.5}, {"index": 0, "relevance_score": 2.25}]
    said = json.dumps({"results": results}).encode()
    for asked in ("What?", "Once more: What?"):
        answer_to(script, {"query": asked, "documents": [asked, questions.OTHER]}, streamed(said))

    (line,) = ask(do, script, ask_with="query")["transcript"]

    assert (line["prompt"], line["answer"]) == ("What?", "2 scores: 2.25, -1.5")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(listed([0.6, 0.8], [0.6, 0.8]), "the same embedding", id="one for all"),
        pytest.param(listed([0.0, 0.0], [0.6, 0.8]), "nothing but zeros", id="zeros"),
        pytest.param(listed([1.0], [2.0]), "of 1 numbers, wanted 2", id="another width"),
        pytest.param(completion("Cargo."), "no OpenAI-style list of embeddings", id="a chat"),
    ],
)
def test_embeddings_of_a_broken_model_fail(
    *, do: Task, script: Script, streamed: Bodies, said: bytes, told: str
) -> None:
    """A 200 is not enough here either."""
    script.answers("sagemaker_runtime", "invoke_endpoint", {"Body": streamed(said)})

    with pytest.raises(SmokeTestFailed, match=told) as failure:
        ask(do, script, ask_with="input", embedding_size=2)

    assert (failure.value.given == embeddings.BROKEN) == (b"embedding" in said)


def test_a_measurement_that_fails_is_no_failure(do: Task, script: Script, streamed: Bodies) -> None:
    """It is only measured, once all answers were as expected; then it was not."""
    script.answers("sagemaker_runtime", "invoke_endpoint", {"Body": streamed(completion("Cargo."))})
    script.refuses("sagemaker_runtime", "invoke_endpoint", "ModelError", "the process exited", status=424)

    tested = ask(do, script)

    assert len(tested["transcript"]) == 1
    assert (tested["speed"], tested["told"]) == (None, "how fast it answers was not measured")


def test_every_prompt_is_asked_until_one_fails(do: Task, script: Script, streamed: Bodies) -> None:
    """One bad answer among good ones is a failure, and names its prompt."""
    for text in ("Cargo.", "Fish."):
        script.answers("sagemaker_runtime", "invoke_endpoint", {"Body": streamed(completion(text))})

    with pytest.raises(SmokeTestFailed, match=r"answered 'And\?' with 'Fish\.': it does not contain 'cargo'"):
        ask(do, script, prompts=["What?", "And?", "Never asked?"])


@pytest.mark.parametrize(
    ("content", "expect", "told"),
    [
        pytest.param(completion("Fish."), {"contains": "cargo"}, "does not contain 'cargo'", id="wrong text"),
        pytest.param(completion("Fish."), {"matches": "^C"}, "nothing in it matches", id="no match"),
        pytest.param(
            completion("Cargo.", 1), {"min_completion_tokens": 5}, "1 completion tokens", id="short"
        ),
        pytest.param(completion("", 0), {}, "0 completion tokens", id="nothing"),
        pytest.param(completion("   ", 9), {}, r"it is degenerate \(blank: 3 characters", id="blank"),
        pytest.param(completion("", None), {}, "0 completion tokens", id="nothing, no count"),
        pytest.param(b"pong", {}, "is no OpenAI-style completion", id="not JSON"),
        pytest.param(b'{"error": "x"}', {}, "is no OpenAI-style completion", id="another document"),
        pytest.param(b"", {}, "is no OpenAI-style completion", id="empty body"),
    ],
)
def test_an_answer_that_is_not_as_expected_fails(
    *, do: Task, script: Script, streamed: Bodies, content: bytes, expect: dict[str, Any], told: str
) -> None:
    """A 200 is not enough."""
    script.answers("sagemaker_runtime", "invoke_endpoint", {"Body": streamed(content)})

    with pytest.raises(SmokeTestFailed, match=told) as failure:
        ask(do, script, expect=expect)

    assert "'harbour-0'" in str(failure.value)


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        pytest.param("t0" * 32, "repetition: 't0' 32 times", id="one token"),
        pytest.param("What is it that a sealift does?", "echo: 31 of the prompt's", id="the prompt"),
        pytest.param("\ufffd" * 9, "replacement characters: 9 of 9", id="no text"),
        pytest.param("\x01\x02", "blank: 2 characters", id="control characters"),
    ],
)
def test_a_degenerate_answer_is_no_proof_unless_it_is_allowed(
    do: Task, script: Script, streamed: Bodies, said: str, rule: str
) -> None:
    """By default, whatever was expected; the message names the rule and the field."""
    prompt = "What is it that a sealift does?"
    script.answers("sagemaker_runtime", "invoke_endpoint", {"Body": streamed(completion(said))})
    with pytest.raises(SmokeTestFailed, match=f"it is degenerate .{rule}") as failure:
        ask(do, script, prompts=[prompt], expect={"min_completion_tokens": 1})
    assert "\"allow_degenerate\": true in 'smoke_test.expect'" in str(failure.value)
    assert failure.value.given == answers.DEGENERATE
    for _ in range(2):
        script.answers("sagemaker_runtime", "invoke_endpoint", {"Body": streamed(completion(said))})

    tested = ask(do, script, prompts=[prompt], expect={"allow_degenerate": True})

    assert tested["transcript"][0]["answer"] == said


def test_a_long_answer_is_judged_whole_and_written_down_in_part(
    do: Task, script: Script, streamed: Bodies
) -> None:
    """What was expected may stand at its end; the prompt is cut likewise."""
    long = " ".join(map(str, range(20_000)))
    for _ in range(2):
        script.answers(
            "sagemaker_runtime", "invoke_endpoint", {"Body": streamed(completion(f"{long} cargo"))}
        )

    (line,) = ask(do, script, prompts=[long])["transcript"]

    assert line["answer"].endswith(f"... ({len(long) + 6:,} characters in all)")
    assert line["prompt"].endswith(f"... ({len(long):,} characters in all)")
    assert payload.size(line) < 3 * payload.TEXT


def test_figures_that_nobody_can_mean_are_not_written_down(
    do: Task, script: Script, streamed: Bodies
) -> None:
    """A number of JSON may have any number of digits."""
    document = json.loads(completion("Heavy cargo.")) | {"usage": {"completion_tokens": 10**4000}}
    document["timings"] = {"prompt_n": 10**4000, "predicted_n": 3}
    document["choices"][0]["finish_reason"] = "x" * 5000
    for _ in range(2):
        script.answers(
            "sagemaker_runtime", "invoke_endpoint", {"Body": streamed(json.dumps(document).encode())}
        )

    (line,) = ask(do, script)["transcript"]

    assert (line["completion_tokens"], line["timings"]) == (None, {"predicted_n": 3})
    assert payload.size(line["finish_reason"]) <= 100


def test_a_model_that_fails_says_so_in_its_own_words(do: Task, script: Script) -> None:
    """ModelError carries what the container answered: its status and its body."""
    script.refuses(
        "sagemaker_runtime",
        "invoke_endpoint",
        "ModelError",
        'Received server error (500) from primary with message "..."',
        status=424,
        fields={"OriginalStatusCode": 500, "OriginalMessage": "No module named 'llama_cpp'"},
    )

    with pytest.raises(
        SmokeTestFailed, match="status 500: No module named 'llama_cpp'; Received server error"
    ):
        ask(do, script)


def test_a_model_that_fails_without_words_has_awss(do: Task, script: Script) -> None:
    """The message is all there is when the container died."""
    script.refuses(
        "sagemaker_runtime", "invoke_endpoint", "ModelError", "the model process exited", status=424
    )

    with pytest.raises(SmokeTestFailed, match="status no: the model process exited"):
        ask(do, script)


def test_an_endpoint_that_the_runtime_does_not_know_yet_is_asked_again(do: Task, script: Script) -> None:
    """The control plane says InService a moment before the runtime has heard of it."""
    told = "Endpoint harbour-0 of account 123456789012 not found."
    script.refuses("sagemaker_runtime", "invoke_endpoint", "ValidationError", told)

    with pytest.raises(NotYetVisible, match="cannot be invoked yet"):
        ask(do, script)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        pytest.param("ModelNotReadyException", 429, ModelNotReady, id="cold start"),
    ],
)
def test_a_container_that_is_still_starting_is_asked_again(
    do: Task, script: Script, code: str, status: int, error: type[SealiftError]
) -> None:
    """The state machine waits for it; the task itself does not."""
    script.refuses("sagemaker_runtime", "invoke_endpoint", code, "still being provisioned", status=status)

    with pytest.raises(error, match="still being provisioned"):
        ask(do, script)


def test_asking_again_gives_the_same_result(do: Task, script: Script, streamed: Bodies) -> None:
    """Nothing is kept between two runs."""
    for _ in range(4):
        script.answers("sagemaker_runtime", "invoke_endpoint", {"Body": streamed(completion("Cargo."))})
    first, second = ask(do, script), ask(do, script)

    assert [line["answer"] for line in first["transcript"]] == [
        line["answer"] for line in second["transcript"]
    ]


def test_how_it_is_asked_is_told_in_lines_for_the_notification(
    do: Task, script: Script, streamed: Bodies
) -> None:
    """By the names of its stack, region and partition, in the form that suits the model."""
    said = json.dumps({"choices": [{"text": "cargo and more", "finish_reason": "stop"}]}).encode()
    for _ in range(2):
        script.answers("sagemaker_runtime", "invoke_endpoint", {"Body": streamed(said)})

    tested = ask(do, script, ask_with=questions.PROMPT)

    first, asked, endpoint, code = tested["ways_in"].split("\n")
    assert first == ""
    assert asked == 'ask it: sealift ask harbour "What does a sealift do?" --region cn-north-1 --stack pier'
    assert endpoint == "endpoint: harbour-0"
    assert 'region_name="cn-north-1"' in code
    assert '{"prompt": "What does a sealift do?"}' in code
