"""The example consumer, against a stubbed client."""

from __future__ import annotations

import io
import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from examples.consumer.handler import (
    CONFIG,
    KEPT_S,
    ConsumerError,
    NameByParameter,
    ask,
    ask_by_parameter,
    handler,
)
from inference import sealift_log

COMPLETION = {
    "choices": [{"index": 0, "text": " cargo", "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
QUESTION = [{"role": "user", "content": "What?"}]
CHAT = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Cargo."}}]}


def _client() -> Any:
    return boto3.client(
        "sagemaker-runtime",
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=CONFIG,
    )


def _asked(event: dict[str, Any], sent: dict[str, Any], answer: bytes) -> dict[str, Any]:
    client = _client()
    with Stubber(client) as stubber:
        stubber.add_response(
            "invoke_endpoint",
            {"Body": StreamingBody(io.BytesIO(answer), len(answer))},
            {
                "EndpointName": "harbour-1",
                "ContentType": "application/json",
                "Accept": "application/json",
                "Body": json.dumps(sent).encode(),
            },
        )
        return ask(client, "harbour-1", event)


def test_prompt_is_asked_and_the_text_returned() -> None:
    """It goes as a message, which every container takes, with the known options; the rest of the event stays here."""
    event = {"prompt": "What?", "max_tokens": 5, "seed": None, "request_id": "r"}

    answer = _asked(event, {"messages": QUESTION, "max_tokens": 5}, json.dumps(COMPLETION).encode())

    assert answer == {"endpoint_name": "harbour-1", "answer": " cargo", "usage": COMPLETION["usage"]}


def test_messages_are_asked_and_the_message_returned() -> None:
    """A chat is answered with the message's content; usage may be missing."""
    answer = _asked({"messages": QUESTION}, {"messages": QUESTION}, json.dumps(CHAT).encode())

    assert answer == {"endpoint_name": "harbour-1", "answer": "Cargo.", "usage": None}


def test_the_beginning_of_a_text_goes_to_a_base_model() -> None:
    """Which would take a message for something to go on with."""
    event = {"prompt": "Once", "complete": True, "max_tokens": 5}

    answer = _asked(event, {"prompt": "Once", "max_tokens": 5}, json.dumps(COMPLETION).encode())

    assert answer["answer"] == " cargo"


def test_messages_are_messages_whatever_else_an_event_says() -> None:
    """Only a prompt can be completed."""
    answer = _asked(
        {"messages": QUESTION, "complete": True}, {"messages": QUESTION}, json.dumps(CHAT).encode()
    )

    assert answer["answer"] == "Cargo."


def test_texts_are_embedded() -> None:
    """Where the model is for that: the vectors in the order of the texts."""
    listed = {"data": [{"embedding": [0.6, 0.8]}, {"embedding": [1, 0]}], "usage": {"prompt_tokens": 2}}

    answer = _asked({"input": ["a", "b"]}, {"input": ["a", "b"]}, json.dumps(listed).encode())

    assert answer == {
        "endpoint_name": "harbour-1",
        "embeddings": [[0.6, 0.8], [1, 0]],
        "usage": {"prompt_tokens": 2},
    }


def test_documents_are_ranked() -> None:
    """Where the model is for that: the best first, as the endpoint has them."""
    event = {"query": "a", "documents": ["b", "c"]}
    results = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]

    answer = _asked(event, event, json.dumps({"results": results, "usage": None}).encode())

    assert answer == {"endpoint_name": "harbour-1", "results": results, "usage": None}


@pytest.mark.parametrize(
    ("trace", "attributes"),
    [
        pytest.param(
            "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1;Lineage=1:2:3",
            "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            id="sampled",
        ),
        pytest.param(
            "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=0",
            "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            id="not sampled",
        ),
        pytest.param("Root=1-4bf92f35", None, id="no trace"),
        pytest.param("", None, id="none"),
    ],
)
def test_the_trace_of_a_call_is_handed_on(
    monkeypatch: pytest.MonkeyPatch, trace: str, attributes: str | None
) -> None:
    """In the form that a container of ours reads it in."""
    monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
    client = _client()
    body = json.dumps(CHAT).encode()
    sent: dict[str, Any] = {
        "EndpointName": "harbour-1",
        "ContentType": "application/json",
        "Accept": "application/json",
        "Body": json.dumps({"messages": QUESTION}).encode(),
    }
    sent |= {} if attributes is None else {"CustomAttributes": attributes}
    with Stubber(client) as stubber:
        stubber.add_response("invoke_endpoint", {"Body": StreamingBody(io.BytesIO(body), len(body))}, sent)
        ask(client, "harbour-1", {"messages": QUESTION})

    read = sealift_log.trace_of([("X-Amzn-SageMaker-Custom-Attributes", attributes or "")])
    assert read == ({"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"} if attributes else {})


def test_what_is_no_list_of_embeddings_is_told() -> None:
    """A chat's answer to a request for embeddings, say."""
    with pytest.raises(ConsumerError, match="wanted an OpenAI-style list of embeddings"):
        _asked({"input": "a"}, {"input": "a"}, json.dumps(CHAT).encode())


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({}, id="empty"),
        pytest.param({"question": "What?"}, id="other-field"),
        pytest.param({"prompt": None}, id="null"),
        pytest.param({"prompt": "a", "messages": []}, id="both"),
        pytest.param({"prompt": "a", "input": "a"}, id="both kinds"),
    ],
)
def test_event_that_asks_nothing_is_refused(event: dict[str, Any]) -> None:
    """Nothing is sent when it is unclear what to ask."""
    with pytest.raises(ConsumerError, match="wanted one of 'prompt', 'messages', 'input' and 'query'"):
        ask(_client(), "harbour-1", event)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>", id="no-json"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'{"choices": []}', id="no-choice"),
        pytest.param(b'{"choices": [{}]}', id="no-text"),
    ],
)
def test_answer_that_is_none_is_quoted(body: bytes) -> None:
    """What came instead of a completion is in the message."""
    with pytest.raises(ConsumerError, match=r"'harbour-1' answered .* wanted an OpenAI-style completion"):
        _asked({"prompt": "What?"}, {"messages": QUESTION}, body)


def test_refusal_of_the_model_is_passed_on() -> None:
    """The model's own status and words reach whoever invoked the consumer."""
    client = _client()
    with Stubber(client) as stubber:
        stubber.add_client_error(
            "invoke_endpoint",
            "ModelError",
            "Received client error (400) from primary",
            424,
            modeled_fields={"OriginalStatusCode": 400, "OriginalMessage": "'prompt' is ''"},
        )

        with pytest.raises(ConsumerError, match="'harbour-1': the model answered 400: 'prompt' is ''"):
            ask(client, "harbour-1", {"prompt": "a"})


def test_other_errors_keep_their_names() -> None:
    """An endpoint that is not there is told as AWS tells it."""
    client = _client()
    with Stubber(client) as stubber:
        stubber.add_client_error("invoke_endpoint", "ValidationError", "Endpoint harbour-1 not found.", 400)

        with pytest.raises(ConsumerError, match=r"ValidationError.*Endpoint harbour-1 not found"):
            ask(client, "harbour-1", {"prompt": "a"})


def test_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first deployment the consumer says what it waits for."""
    monkeypatch.delenv("ENDPOINT_NAME", raising=False)

    with pytest.raises(ConsumerError, match="'ENDPOINT_NAME' and 'ENDPOINT_PARAMETER' is set; wanted an"):
        handler({"prompt": "a"}, None)


def test_client_outlasts_the_container() -> None:
    """The SDK waits longer than the 60 s that SageMaker gives the container."""
    assert CONFIG.read_timeout >= 70  # type: ignore[attr-defined]


class Parameters:
    """SSM with one parameter, which counts how often it is read."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.reads = 0
        self.refused = False

    def get_parameter(self, **asked: str) -> dict[str, Any]:
        """Return what it names now."""
        assert asked == {"Name": "/sealift/s/harbour/endpoint"}
        self.reads += 1
        if self.refused:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate"}}, "GetParameter")
        return {"Parameter": {"Value": self.names[0] if len(self.names) == 1 else self.names.pop(0)}}


def _named(parameters: Parameters, times: list[float]) -> NameByParameter:
    return NameByParameter(parameters, "/sealift/s/harbour/endpoint", lambda: times[0])


def test_a_name_that_was_read_is_kept_for_a_while() -> None:
    """A parameter is read a few times a minute, however often the function is called."""
    parameters, now = Parameters("harbour-1", "harbour-2"), [100.0]
    name = _named(parameters, now)

    assert [name.get(), name.get()] == ["harbour-1", "harbour-1"]
    now[0] += KEPT_S - 0.1
    assert name.get() == "harbour-1"
    now[0] += 0.1
    assert (name.get(), parameters.reads) == ("harbour-2", 2)


def test_an_old_name_is_better_than_none() -> None:
    """When the parameter cannot be read; where none was ever read there is nothing to call."""
    parameters, now = Parameters("harbour-1"), [0.0]
    name = _named(parameters, now)
    parameters.refused = True
    with pytest.raises(ConsumerError, match=r"parameter '/sealift/s/harbour/endpoint': .*Rate"):
        name.get()
    parameters.refused = False
    name.get()
    parameters.refused, now[0] = True, KEPT_S

    assert name.get() == "harbour-1"
    with pytest.raises(ConsumerError):
        name.get(anew=True)


@pytest.mark.parametrize(
    ("code", "message", "again"),
    [
        pytest.param("ValidationError", "Endpoint harbour-1 of account 1 not found.", True, id="gone"),
        pytest.param("ValidationError", "something else", False, id="refused"),
        pytest.param("ModelError", "not found", False, id="the model's own words"),
    ],
)
def test_an_endpoint_that_is_gone_is_looked_for_anew(*, code: str, message: str, again: bool) -> None:
    """Within the time for which a name is kept the service may be switched, and what served before deleted."""
    parameters, client = Parameters("harbour-1", "harbour-2"), _client()
    answer = json.dumps(CHAT).encode()
    with Stubber(client) as stubber:
        stubber.add_client_error("invoke_endpoint", code, message)
        if again:
            body = {"Body": StreamingBody(io.BytesIO(answer), len(answer))}
            stubber.add_response("invoke_endpoint", body)
            asked = ask_by_parameter(client, _named(parameters, [0.0]), {"prompt": "What?"})
            assert asked["endpoint_name"] == "harbour-2"
        else:
            with pytest.raises(ConsumerError):
                ask_by_parameter(client, _named(parameters, [0.0]), {"prompt": "What?"})
    assert parameters.reads == 1 + again
