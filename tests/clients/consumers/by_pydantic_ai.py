"""pydantic-ai: agents with tools and with results of a certain form, by SageMaker's OpenAI route."""

from __future__ import annotations

from typing import Any, Literal

from calls import LONGEST, QUESTION, Calls, Site, check, raises, report, seen
from pydantic import BaseModel, Field
from pydantic_ai import Agent, ModelHTTPError, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Cargo(BaseModel):
    """What a ship carries."""

    tons: int = Field(ge=0, le=9)
    kind: Literal["bulk", "box"]


class Note(BaseModel):
    """What every JSON object is: the form is told in the prompt, and held by nothing but the model."""

    text: str = ""


def calls(site: Site) -> Calls:
    """Return all calls of this package."""

    def agent(name: str = "m", settings: dict[str, Any] | None = None, **more: Any) -> Agent[None, Any]:
        model = OpenAIChatModel(name, provider=OpenAIProvider(base_url=site.base_url, api_key=site.token))
        given = {"temperature": 0.0, "max_tokens": LONGEST, **(settings or {})}
        return Agent(model, model_settings=given, **more)

    def with_tool(**more: Any) -> tuple[Agent[None, Any], list[str]]:
        towns: list[str] = []
        made = agent(**more)

        @made.tool_plain
        def weather(town: str) -> str:
            """Tell the weather of a town."""
            towns.append(town)
            return "sun"

        return made, towns

    def tool() -> None:
        made, towns = with_tool(instructions="Be brief.")
        seen(made.run_sync(QUESTION).output)
        check(len(towns) == 1, towns)

    def tool_and_output() -> None:
        made, towns = with_tool(output_type=Cargo)
        found = made.run_sync(QUESTION).output
        check(isinstance(found, Cargo) and len(towns) == 1, (found, towns))

    def output(kind: Any, model: type[BaseModel] = Cargo) -> None:
        found = agent(output_type=kind).run_sync(QUESTION).output
        check(isinstance(found, model), found)

    def history() -> None:
        first = agent().run_sync(QUESTION)
        seen(agent().run_sync("And then?", message_history=first.new_messages()).output)

    def usage() -> None:
        told = agent().run_sync(QUESTION).usage
        check(told.output_tokens > 0, told)

    async def stream() -> None:
        async with agent().run_stream(QUESTION) as result:
            seen(await result.get_output())

    async def stream_with_tool() -> None:
        made, towns = with_tool()
        async with made.run_stream(QUESTION) as result:
            seen(await result.get_output())
        check(len(towns) == 1, towns)

    async def stream_output() -> None:
        async with agent(output_type=Cargo).run_stream(QUESTION) as result:
            check(isinstance(await result.get_output(), Cargo))

    async def events() -> None:
        made, towns = with_tool()
        async with made.iter(QUESTION) as run:
            nodes = [node async for node in run]
        check(len(nodes) >= 4 and len(towns) == 1, nodes)

    return {
        "agent": lambda: seen(agent(instructions="Be brief.").run_sync(QUESTION).output),
        "agent: usage": usage,
        "agent: history": history,
        "agent: tool": tool,
        "agent: tool and output": tool_and_output,
        "output: tool": lambda: output(ToolOutput(Cargo)),
        "output: native": lambda: output(NativeOutput(Cargo)),
        "output: prompted": lambda: output(PromptedOutput(Note), Note),
        "stream": stream,
        "stream: tool": stream_with_tool,
        "stream: output": stream_output,
        "iter": events,
        "an error": raises(
            ModelHTTPError,
            lambda: agent(settings={"extra_body": {"temperature": "hot"}}).run_sync(QUESTION),
            "invalid_request",
        ),
    }


if __name__ == "__main__":
    report(calls)
