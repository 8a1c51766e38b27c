"""litellm: OpenAI's route, and its two providers for SageMaker."""

from __future__ import annotations

from typing import Any

import litellm
from calls import LONGEST, USER, Calls, Site, arguments, check, joined, raises, report, seen

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}


def calls(site: Site) -> Calls:
    """Return all calls of this package."""
    openai = {"model": "openai/m", "api_base": site.base_url, "api_key": site.token}
    chats = {"model": f"sagemaker_chat/{site.endpoint}", "sagemaker_base_url": site.invocations}
    texts = {"model": f"sagemaker/{site.endpoint}", "sagemaker_base_url": site.invocations}

    def streaming(at: dict[str, str]) -> dict[str, str]:
        return {**at, "sagemaker_base_url": f"{site.invocations}-response-stream"}

    def ask(at: dict[str, str], **more: Any) -> Any:
        return litellm.completion(**{"messages": USER, "temperature": 0, "max_tokens": 60, **at, **more})

    def said(at: dict[str, str], **more: Any) -> str:
        return str(ask(at, **more).choices[0].message.content)

    def streamed(at: dict[str, str]) -> str:
        return joined(part.choices[0].delta.content for part in ask(at, stream=True))

    def called(at: dict[str, str]) -> None:
        message = ask(at, tools=[TOOL], tool_choice="required", max_tokens=LONGEST).choices[0].message
        arguments(message.tool_calls[0].function.arguments)

    def usage() -> None:
        told = ask(texts).usage
        check(told.completion_tokens > 0, told)

    async def at_once() -> None:
        seen((await litellm.acompletion(messages=USER, temperature=0, **openai)).choices[0].message.content)

    async def at_once_sagemaker() -> None:
        answered = await litellm.acompletion(messages=USER, temperature=0, max_tokens=60, **chats)
        seen(answered.choices[0].message.content)

    def embedded() -> None:
        found = litellm.embedding(
            model=f"sagemaker/{site.embedder or site.endpoint}", input=["hello", "tide"]
        )
        check(len(found.data) == 2 and len(found.data[0]["embedding"]) > 1, found)

    return {
        "openai/": lambda: seen(said(openai)),
        "openai/: stream": lambda: seen(streamed(openai)),
        "openai/: async": at_once,
        "openai/: tools": lambda: called(openai),
        "openai/: json_object": lambda: arguments(
            said(openai, response_format={"type": "json_object"}, max_tokens=LONGEST)
        ),
        "openai/: an error": raises(litellm.BadRequestError, lambda: ask(openai, n=1000), "1000"),
        "sagemaker_chat/": lambda: seen(said(chats)),
        "sagemaker_chat/: stream": lambda: seen(streamed(streaming(chats))),
        "sagemaker_chat/: async": at_once_sagemaker,
        "sagemaker_chat/: tools": lambda: called(chats),
        "sagemaker/": lambda: check(said(texts).strip()),
        "sagemaker/: usage": usage,
        "sagemaker/: n and stop": lambda: check(said(texts, n=1, stop=[" cargo"]) is not None),
        "sagemaker/: stream": lambda: check(streamed(streaming(texts)).strip()),
        "sagemaker/: embedding": embedded,
    }


if __name__ == "__main__":
    report(calls)
