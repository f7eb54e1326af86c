"""What people build with: frameworks over all three dialects, with the calls of their READMEs."""

import pytest


@pytest.mark.parametrize(
    "program",
    [
        "langchain_ollama_chat.py",
        "langchain_ollama_embed.py",
        "litellm_routes.py",
        "litellm_embed.py",
        "pydantic_ai_openai.py",
        "pydantic_ai_anthropic.py",
        "instructor_openai.py",
    ],
)
def test_python(python_client, program):
    python_client(program)


@pytest.mark.parametrize("program", ["openai.mjs", "ai_sdk_ollama.mjs"])
def test_javascript(node_client, program):
    node_client(program)
