"""OpenAI's HTTP API: chat completions, completions, embeddings, models and responses, over the kernel's typed request.

The interface is described at https://platform.openai.com/docs/api-reference.
"""
