"""What a client of the proxy sends."""

from __future__ import annotations

import json

import pytest

from pipeline.client.proxy import asking
from pipeline.client.proxy.openai_errors import Refused
from pipeline.limits import INSTANCE_REQUEST, SERVERLESS_REQUEST


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "no 'model'"),
        (b'{"model": 7, "messages": []}', "no 'model'"),
        (b'{"model": "", "messages": []}', "no 'model'"),
        (b'{"model": "demo", "prompt": "a"}', "no 'messages'"),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, words: str) -> None:
    """With what is wrong, in OpenAI's form."""
    with pytest.raises(Refused) as refused:
        asking.read(body, "messages")
    assert refused.value.answer.status == 400
    assert words in json.loads(refused.value.answer.body)["error"]["message"]


@pytest.mark.parametrize(
    ("stream", "wanted"),
    [("true", True), ("false", False), ("null", False), ("1", False), ('"true"', False)],
)
def test_only_true_is_a_stream(stream: str, *, wanted: bool) -> None:
    """The body stays as it came."""
    body = f'{{"model": "demo",  "messages": null, "stream": {stream}}}'.encode()
    assert asking.read(body, "messages") == asking.AskedService("demo", body, wanted)


@pytest.mark.parametrize(
    ("limit", "on_instances"), [(SERVERLESS_REQUEST.value, False), (INSTANCE_REQUEST.value, True)]
)
def test_each_kind_of_endpoint_has_its_limit(limit: int, *, on_instances: bool) -> None:
    """To the byte."""
    assert asking.too_large(limit, on_instances=on_instances) is None
    refused = asking.too_large(limit + 1, on_instances=on_instances)
    assert refused is not None
    assert refused.status == 413
    assert (b"serverless" in refused.body) is not on_instances
