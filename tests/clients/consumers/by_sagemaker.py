"""SageMaker's own SDK, of which sagemaker-core has what calls endpoints; and its tokens for the OpenAI route."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import boto3
from botocore.exceptions import ClientError
from calls import QUESTION, USER, Calls, Site, check, joined, raises, report, seen
from openai import OpenAI
from sagemaker.core.deserializers.implementations import JSONDeserializer
from sagemaker.core.resources import Endpoint
from sagemaker.core.serializers.implementations import JSONSerializer
from sagemaker.core.token_generator import generate_token


def calls(site: Site) -> Calls:
    """Return all calls of this package."""
    session = boto3.Session(region_name="us-east-1")
    chat = {"messages": USER, "temperature": 0}

    def endpoint() -> Endpoint:
        return Endpoint.get(site.endpoint, session=session, region="us-east-1")

    def invoke(body: Any, **more: Any) -> Any:
        return json.loads(
            endpoint()
            .invoke(json.dumps(body), content_type="application/json", session=session, **more)
            .body.read()
        )

    def described() -> None:
        check(endpoint().endpoint_status == "InService")

    def predicted() -> None:
        """As its examples have it since there is no Predictor: with a serializer and a deserializer of its own."""
        one = endpoint()
        one.serializer, one.deserializer = JSONSerializer(), JSONDeserializer()
        answered = one.invoke(
            chat, content_type="application/json", accept="application/json", session=session
        )
        seen(answered.body["choices"][0]["message"]["content"])

    def generated() -> None:
        found = invoke({"inputs": QUESTION, "parameters": {"max_new_tokens": 20}})
        check((found[0] if isinstance(found, list) else found)["generated_text"], found)

    def streamed() -> None:
        answered = endpoint().invoke_with_response_stream(
            json.dumps({**chat, "stream": True}), content_type="application/json", session=session
        )
        lines = b"".join(part["PayloadPart"]["Bytes"] for part in answered.body).decode().splitlines()
        events = [json.loads(line[5:]) for line in lines if line.startswith("data:") and "[DONE]" not in line]
        seen(joined(one["choices"][0]["delta"].get("content") for one in events if one["choices"]))

    def by_token(**more: Any) -> str:
        token = generate_token(region="us-east-1", **more)
        client = OpenAI(base_url=site.base_url, api_key=token, max_retries=0)
        return str(client.chat.completions.create(model="", **chat).choices[0].message.content)

    return {
        "Endpoint.get": described,
        "Endpoint.invoke": lambda: seen(invoke(chat)["choices"][0]["message"]["content"]),
        "Endpoint.invoke: serializers": predicted,
        "Endpoint.invoke: inputs": generated,
        "Endpoint.invoke: custom attributes": lambda: invoke(chat, custom_attributes="traceparent=00-1-1-01"),
        "Endpoint.invoke: an error": raises(ClientError, lambda: invoke({**chat, "n": 1000}), "400"),
        "Endpoint.invoke_with_response_stream": streamed,
        "generate_token": lambda: seen(by_token()),
        "generate_token: of 15 minutes": lambda: seen(by_token(expiry=timedelta(minutes=15))),
    }


if __name__ == "__main__":
    report(calls)
