"""The agent that is measured: a model that asks for a tool again and again, and bare pydantic-ai around it.

It stands apart from the systems' other workloads, which must not pay for importing pydantic-ai.
"""

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage


async def add(x: int) -> int:
    """Add one."""
    return x + 1


def model(turns: int) -> FunctionModel:
    """Return a model that calls `add` in all turns but the last, in which it says what it got."""

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turn = len(messages) // 2
        part = (
            TextPart(str(turn))
            if turn == turns - 1
            else ToolCallPart("add", {"x": turn}, tool_call_id=f"call-{turn}")
        )
        return ModelResponse([part], usage=RequestUsage(input_tokens=10, output_tokens=5))

    return FunctionModel(answer, model_name="scripted")


def bare(turns: int) -> Agent[None, str]:
    """Return the agent as pydantic-ai runs it by itself."""
    return Agent(model(turns), instructions="Count.", tools=[add])
