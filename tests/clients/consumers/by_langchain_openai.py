"""LangChain's package for OpenAI, by SageMaker's OpenAI route."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from calls import LONGEST, QUESTION, Calls, Site, check, joined, report, seen
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field


class Cargo(BaseModel):
    """What a ship carries."""

    tons: int = Field(ge=0, le=9)
    kind: Literal["bulk", "box"]


@tool
def weather(town: str) -> str:
    """Tell the weather of a town."""
    return f"sun in {town}"


def calls(site: Site) -> Calls:
    """Return all calls of this package."""

    def model(**more: Any) -> ChatOpenAI:
        usual = {"model": "m", "temperature": 0, "max_tokens": LONGEST, "max_retries": 0}
        return ChatOpenAI(base_url=site.base_url, api_key=site.token, **{**usual, **more})

    def o_series() -> None:
        """The role is `developer` then, and the name of the bound `max_completion_tokens`."""
        chat = model(model="o3-mini", temperature=None, reasoning_effort="low", seed=1)
        check(chat.invoke([SystemMessage("Be brief."), HumanMessage(QUESTION)]).content)

    def usage() -> None:
        answered = model().invoke(QUESTION)
        check(answered.usage_metadata["output_tokens"] > 0, answered)

    def streamed_usage() -> None:
        *_, last = _added(model(stream_usage=True).stream(QUESTION))
        check(last.usage_metadata["output_tokens"] > 0, last)

    def agent() -> None:
        bound = model().bind_tools([weather])
        first = bound.invoke(QUESTION)
        call = first.tool_calls[0]
        check(call["name"] == "weather", first)
        result = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
        seen(bound.invoke([HumanMessage(QUESTION), first, result]).content)

    def streamed_call() -> None:
        *_, last = _added(model().bind_tools([weather]).stream(QUESTION))
        check(last.tool_calls[0]["name"] == "weather" and last.tool_calls[0]["args"]["town"], last)

    def named() -> None:
        bound = model().bind_tools([weather], tool_choice="weather")
        check(bound.invoke(QUESTION).tool_calls[0]["name"] == "weather")

    def structured(**more: Any) -> None:
        found = model().with_structured_output(Cargo, **more).invoke(QUESTION)
        check(isinstance(found, Cargo), found)

    def raw() -> None:
        found = model().with_structured_output(Cargo, method="json_schema", include_raw=True).invoke(QUESTION)
        check(isinstance(found["parsed"], Cargo) and isinstance(found["raw"], AIMessage), found)

    def batch() -> None:
        """A 429 reaches nobody who tries as often as this package does when it is told nothing."""
        chat = ChatOpenAI(base_url=site.base_url, api_key=site.token, model="m", temperature=0, max_tokens=8)
        answers = chat.batch([QUESTION] * 12)
        check(len(answers) == 12)
        for answered in answers:
            seen(answered.content)

    async def at_once() -> None:
        asked = [model(max_tokens=8).ainvoke(QUESTION) for _ in range(3)]
        for answered in await asyncio.gather(*asked):
            seen(answered.content)

    async def streamed_async() -> None:
        seen(joined([part.content async for part in model().astream(QUESTION)]))

    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{question}")]) | model()
    return {
        "invoke": lambda: seen(model().invoke(QUESTION).content),
        "invoke: usage": usage,
        "invoke: logprobs": lambda: check(
            model(logprobs=True, max_tokens=4).invoke(QUESTION).response_metadata["logprobs"]["content"]
        ),
        "invoke: o-series": o_series,
        "invoke: stop": lambda: check("cargo" not in model().invoke(QUESTION, stop=[" cargo"]).content),
        "chain": lambda: seen((chain | StrOutputParser()).invoke({"question": QUESTION})),
        "stream": lambda: seen(joined(part.content for part in model().stream(QUESTION))),
        "stream: usage": streamed_usage,
        "stream: tools": streamed_call,
        "async": at_once,
        "async stream": streamed_async,
        "batch of 12": batch,
        "tools: a whole round": agent,
        "tools: named": named,
        "structured: json_schema": lambda: structured(method="json_schema"),
        "structured: function_calling": lambda: structured(method="function_calling"),
        "structured: json_schema, strict": lambda: structured(method="json_schema", strict=True),
        "structured: raw": raw,
    }


def _added(chunks: Any) -> Any:
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
        yield total


if __name__ == "__main__":
    report(calls)
