"""LangChain's package for AWS: its two classes for endpoints of SageMaker, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

from calls import QUESTION, Calls, Site, check, joined, report, seen
from langchain_aws.chat_models.sagemaker_endpoint import ChatModelContentHandler, ChatSagemakerEndpoint
from langchain_aws.llms import SagemakerEndpoint
from langchain_aws.llms.sagemaker_endpoint import LLMContentHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage


class Inputs(LLMContentHandler):
    """As this package's own example: the body is `inputs`, the answer has `generated_text`."""

    content_type = accepts = "application/json"

    def transform_input(self, prompt: str, model_kwargs: dict[str, Any]) -> bytes:
        """Return the body."""
        return json.dumps({"inputs": prompt, "parameters": model_kwargs}).encode()

    def transform_output(self, output: Any) -> str:
        """Return the text."""
        found = json.loads(output.read())
        return str((found[0] if isinstance(found, list) else found)["generated_text"])


class Streamed(Inputs):
    """The same, as a stream of events."""

    def transform_input(self, prompt: str, model_kwargs: dict[str, Any]) -> bytes:
        """Return the body."""
        return json.dumps({"inputs": prompt, "parameters": model_kwargs, "stream": True}).encode()

    def transform_output(self, output: Any) -> str:
        """Return the text of one line."""
        event = _event(output)
        if "token" in event:
            return str(event["token"]["text"])
        return str(event["choices"][0]["text"]) if event.get("choices") else ""


class Chat(ChatModelContentHandler):
    """OpenAI's chats."""

    content_type = accepts = "application/json"

    def transform_input(self, prompt: list[dict[str, Any]], model_kwargs: dict[str, Any]) -> bytes:
        """Return the body."""
        return json.dumps({"messages": prompt, **model_kwargs}).encode()

    def transform_output(self, output: Any) -> AIMessage:
        """Return the message of a whole answer, or what one event adds to it."""
        if not hasattr(output, "read"):
            event = _event(output)
            delta = event["choices"][0]["delta"] if event.get("choices") else {}
            return AIMessageChunk(content=delta.get("content") or "")
        return AIMessage(content=json.loads(output.read())["choices"][0]["message"]["content"])


def _event(line: Any) -> Any:
    data = bytes(line).removeprefix(b"data:").strip()
    return json.loads(data) if data.startswith(b"{") else {}


def calls(site: Site) -> Calls:
    """Return all calls of this package."""
    at = {"endpoint_name": site.endpoint, "region_name": "us-east-1"}
    cold = {"temperature": 0, "max_tokens": 60}

    def text(handler: LLMContentHandler = Inputs(), **more: Any) -> SagemakerEndpoint:  # noqa: B008 has no state
        kwargs = {
            "max_new_tokens": 60,
            "temperature": 0.01,
            "do_sample": True,
            "return_full_text": False,
            "seed": 1,
        }
        return SagemakerEndpoint(
            content_handler=handler, model_kwargs=kwargs, endpoint_url=site.runtime_url, **at, **more
        )

    def chat(**more: Any) -> ChatSagemakerEndpoint:
        return ChatSagemakerEndpoint(
            content_handler=Chat(), model_kwargs={**cold, **more}, base_url=site.runtime_url, **at
        )

    def stopped() -> None:
        check("heavy" not in text().invoke("What does a", stop=["heavy"]))

    messages = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
    return {
        "SagemakerEndpoint": lambda: check(text().invoke("What does a").strip()),
        "SagemakerEndpoint: stop": stopped,
        "SagemakerEndpoint: batch": lambda: check(len(text().batch(["What", "Who", "Where"])) == 3),
        "SagemakerEndpoint: stream": lambda: check(joined(text(Streamed()).stream("What does a")).strip()),
        "ChatSagemakerEndpoint": lambda: seen(chat().invoke(messages).content),
        "ChatSagemakerEndpoint: stream": lambda: seen(
            joined(part.content for part in chat(stream=True).stream(messages))
        ),
    }


if __name__ == "__main__":
    report(calls)
