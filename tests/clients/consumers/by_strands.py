"""strands-agents: agents over its model for OpenAI and over its model for SageMaker, whose calls are streams."""

from __future__ import annotations

from typing import Any, Literal

import boto3
from calls import LONGEST, QUESTION, Calls, Site, check, report, seen
from pydantic import BaseModel, Field
from strands import Agent, tool
from strands.models.openai import OpenAIModel
from strands.models.sagemaker import SageMakerAIModel


class Cargo(BaseModel):
    """What a ship carries."""

    tons: int = Field(ge=0, le=9)
    kind: Literal["bulk", "box"]


def calls(site: Site) -> Calls:
    """Return all calls of this package."""
    params = {"temperature": 0, "max_tokens": LONGEST}

    def by_openai() -> OpenAIModel:
        return OpenAIModel(
            client_args={"base_url": site.base_url, "api_key": site.token}, model_id="m", params=dict(params)
        )

    def by_sagemaker(**more: Any) -> SageMakerAIModel:
        return SageMakerAIModel(
            endpoint_config={"endpoint_name": site.endpoint, "region_name": "us-east-1"},
            payload_config={**params, **more},
            boto_session=boto3.Session(region_name="us-east-1"),
        )

    def agent(model: Any, **more: Any) -> Agent:
        return Agent(model=model, callback_handler=None, **more)

    def said(model: Any, **more: Any) -> str:
        return str(agent(model, **more)(QUESTION))

    def with_tool(model: Any) -> None:
        towns: list[str] = []

        @tool
        def weather(town: str) -> str:
            """Tell the weather of a town.

            Args:
                town: its name.
            """
            towns.append(town)
            return "sun"

        found = agent(model, tools=[weather], system_prompt="Be brief.")(QUESTION)
        seen(str(found))
        check(len(towns) == 1, towns)

    def formed(model: Any) -> None:
        found = agent(model)(QUESTION, structured_output_model=Cargo).structured_output
        check(isinstance(found, Cargo), found)

    def usage(model: Any) -> None:
        told = agent(model)(QUESTION).metrics.accumulated_usage
        check(told["outputTokens"] > 0, told)

    async def streamed(model: Any) -> None:
        pieces = [event["data"] async for event in agent(model).stream_async(QUESTION) if "data" in event]
        seen("".join(pieces))

    def goes_on(model: Any) -> None:
        one = agent(model)
        seen(str(one(QUESTION)))
        seen(str(one("And then?")))

    return {
        "OpenAIModel": lambda: seen(said(by_openai(), system_prompt="Be brief.")),
        "OpenAIModel: stream": lambda: streamed(by_openai()),
        "OpenAIModel: usage": lambda: usage(by_openai()),
        "OpenAIModel: conversation": lambda: goes_on(by_openai()),
        "OpenAIModel: tool": lambda: with_tool(by_openai()),
        "OpenAIModel: structured output": lambda: formed(by_openai()),
        "SageMakerAIModel": lambda: seen(said(by_sagemaker(), system_prompt="Be brief.")),
        "SageMakerAIModel: stream": lambda: streamed(by_sagemaker()),
        "SageMakerAIModel: conversation": lambda: goes_on(by_sagemaker()),
        "SageMakerAIModel: tool": lambda: with_tool(by_sagemaker()),
        "SageMakerAIModel: no stream": lambda: seen(said(by_sagemaker(stream=False))),
        "SageMakerAIModel: no stream, usage": lambda: usage(by_sagemaker(stream=False)),
        "SageMakerAIModel: no stream, tool": lambda: with_tool(by_sagemaker(stream=False)),
        "SageMakerAIModel: structured output": lambda: formed(by_sagemaker()),
    }


if __name__ == "__main__":
    report(calls)
