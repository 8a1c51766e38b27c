"""Requests to the container, good and bad: what the true stack makes of what the four functions return."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from examples.tiny_gguf import ANSWER
from local_cloud.logs.metric_filters import made_of
from pipeline.planning import metrics
from pipeline.sizing import images
from tests.contract.conftest import ENDPOINT

if TYPE_CHECKING:
    from tools.contract.container import Container, Reply

JSON = {"Content-Type": "application/json"}
CHAT = {
    "messages": [{"role": "user", "content": "What does a sealift do?"}],
    "max_tokens": 60,
    "temperature": 0,
}
# Netty's limit in TorchServe (max_request_size); SageMaker itself lets 4 MB through to a serverless endpoint.
STACK_LIMIT = 6_553_500


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        pytest.param({"prompt": "What is a sealift?"}, lambda choice: choice["text"], id="prompt"),
        pytest.param({"inputs": "What is a sealift?"}, lambda choice: choice["text"], id="inputs"),
        pytest.param(
            {"inputs": "What is a sealift?", "parameters": {"max_new_tokens": 60}},
            lambda choice: choice["text"],
            id="inputs with parameters",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": "What is a sealift?"}]},
            lambda choice: choice["message"]["content"],
            id="messages",
        ),
    ],
)
def test_a_request_in_each_form_is_answered(served: Container, request_: dict[str, Any], text: Any) -> None:
    """A prompt, Hugging Face's inputs and OpenAI's messages all get an OpenAI-style answer."""
    options = {"temperature": 0} if "parameters" in request_ else {"temperature": 0, "max_tokens": 60}
    reply = served.invoke(**request_, **options)

    assert (reply.status, reply.content_type) == (200, "application/json")
    document = reply.json()
    assert text(document["choices"][0]).strip() == ANSWER
    assert document["object"] == ("chat.completion" if "messages" in request_ else "text_completion")
    assert document["model"] == "demo"
    assert document["choices"][0]["finish_reason"] == "stop"
    usage = document["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Content-Type": "application/json; charset=utf-8"}, id="with a charset"),
        pytest.param({"Content-Type": "APPLICATION/JSON"}, id="in capitals"),
        pytest.param({}, id="no content type"),
        pytest.param({**JSON, "Accept": "application/json"}, id="accepts JSON"),
        pytest.param({**JSON, "Accept": "*/*"}, id="accepts anything"),
        pytest.param({**JSON, "Accept": "text/csv"}, id="accepts something else"),
        pytest.param({**JSON, "Accept": "application/x-npy, */*;q=0.1"}, id="accepts a list"),
    ],
)
def test_the_headers_that_clients_send_are_taken(served: Container, headers: dict[str, str]) -> None:
    """The answer is JSON whatever was requested; boto3 sends no Accept, and Content-Type only when told to."""
    reply = served.ask("POST", "/invocations", json.dumps(CHAT), headers)

    assert (reply.status, reply.content_type) == (200, "application/json")
    assert reply.json()["choices"][0]["message"]["content"].strip() == ANSWER


def test_a_stream_is_handed_on_whole(served: Container) -> None:
    """With the content type that says what it is, which the toolkit takes from the answer."""
    reply = served.invoke(**CHAT, stream=True)

    assert (reply.status, reply.content_type) == (200, "text/event-stream")
    assert ANSWER in reply.body.decode()
    assert reply.body.endswith(b"data: [DONE]\n\n")


def test_letters_beyond_ascii_arrive_whole(served: Container) -> None:
    """Bytes are decoded once: the toolkit decodes them for one content type and not for the other."""
    body = json.dumps({"prompt": "Wäre ein 船 größer?", "max_tokens": 1}, ensure_ascii=False).encode()
    plain = served.ask("POST", "/invocations", body, JSON)
    with_charset = served.ask(
        "POST", "/invocations", body, {"Content-Type": "application/json; charset=utf-8"}
    )

    assert plain.json()["usage"]["prompt_tokens"] == with_charset.json()["usage"]["prompt_tokens"]


def test_two_requests_at_the_same_time_are_both_answered(served: Container) -> None:
    """The stack queues: one worker answers one after the other, and nobody is refused."""
    replies: list[Reply] = []
    clients = [threading.Thread(target=lambda: replies.append(served.invoke(**CHAT))) for _ in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert [reply.status for reply in replies] == [200, 200]
    assert {reply.json()["choices"][0]["message"]["content"].strip() for reply in replies} == {ANSWER}
    assert len({reply.json()["id"] for reply in replies}) == 2


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        pytest.param("What is a sealift?", JSON, 400, "invalid_json", id="not JSON"),
        pytest.param("", JSON, 400, "invalid_json", id="nothing"),
        pytest.param("[1, 2]", JSON, 400, "invalid_json", id="not an object"),
        pytest.param('{"prompt": "x", "max_token": 5}', JSON, 400, "unknown_parameter", id="unknown field"),
        pytest.param('{"max_tokens": 5}', JSON, 400, "missing_field", id="no question"),
        pytest.param("a,b", {"Content-Type": "text/csv"}, 415, "unsupported_media_type", id="CSV"),
        pytest.param(
            '{"prompt": "x"}',
            {"Content-Type": "application/json; charset=latin-1"},
            415,
            "unsupported_media_type",
            id="another charset",
        ),
        pytest.param(
            b"\x93NUMPY", {"Content-Type": "application/x-npy"}, 415, "unsupported_media_type", id="npy"
        ),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    served: Container, body: bytes | str, headers: dict[str, str], status: int, code: str
) -> None:
    """The status and the body are ours: the toolkit would append a traceback to an exception's message."""
    reply = served.ask("POST", "/invocations", body, headers)

    assert (reply.status, reply.content_type) == (status, "application/json")
    error = reply.json()["error"]
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert b"Traceback" not in reply.body


def test_an_unknown_field_is_named_with_its_neighbour(served: Container) -> None:
    """The message helps: it says which field was meant."""
    error = served.invoke(prompt="x", max_token=5).json()["error"]

    assert error["param"] == "max_token"
    assert "did you mean 'max_tokens'?" in error["message"]


def test_a_prompt_longer_than_the_context_is_told_both_numbers(served: Container) -> None:
    """A 400, not the 500 that an exception of llama.cpp would be."""
    reply = served.invoke(prompt="sealift " * 2000, max_tokens=1)

    assert reply.status == 400
    error = reply.json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "prompt")
    assert re.search(r"the prompt has \d{4,} tokens and the context holds 512\b", error["message"])


def test_a_good_request_is_answered_after_a_bad_one(served: Container) -> None:
    """A status that was set for one answer does not stay for the next."""
    assert served.ask("POST", "/invocations", "nonsense", JSON).status == 400

    assert served.invoke(**CHAT).status == 200


def test_a_body_over_the_stacks_limit_is_refused_by_the_stack(served: Container) -> None:
    """It never reaches the worker, which answers on."""
    body = json.dumps({"prompt": "x" * STACK_LIMIT})
    reply = served.ask("POST", "/invocations", body, JSON)

    assert reply.status == 413
    assert served.invoke(**CHAT).status == 200


def test_a_body_that_serverless_lets_through_reaches_the_model(served: Container) -> None:
    """4 MB are within the stack's limit; most of these are spaces between a field and its value."""
    body = json.dumps(CHAT).replace('"max_tokens":', '"max_tokens":' + " " * 4_000_000)

    assert served.ask("POST", "/invocations", body, JSON).status == 200


def measured(log: str) -> list[tuple[str, float, str]]:
    """Return what the endpoint's metric filters make of a log: names, values and endpoints."""
    filters = metrics.requests(ENDPOINT, images.PYTORCH.log_form)
    made = [one for line in log.splitlines() for _, one in made_of(filters, line)]
    return [(one["MetricName"], one["Value"], one["Dimensions"][0]["Value"]) for one in made]


def test_the_log_is_measured(served: Container) -> None:
    """TorchServe puts words of its own before a line; the filters find its figures all the same, and its trace."""
    before = len(served.log())
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    attributes = {"X-Amzn-SageMaker-Custom-Attributes": f"00-{trace}-00f067aa0ba902b7-01"}
    served.ask("POST", "/invocations", json.dumps(CHAT), {**JSON, **attributes})
    served.invoke(prompt="x", colour="red")

    served.until(lambda: "unknown_parameter" in served.log()[before:], "the refusal in the log")
    log = served.log()[before:]
    made = measured(log)
    assert {name for name, _, _ in made} == {one.name for one in metrics.of_form(images.PYTORCH.log_form)}
    assert {endpoint for _, _, endpoint in made} == {ENDPOINT}
    assert len(made) == len({name for name, _, _ in made}), "one answer, and each metric once"
    assert all(value > 0 for name, value, _ in made if name in ("TimeToFirstToken", "TokensPerSecond"))
    assert f'"trace_id": "{trace}"' in log
