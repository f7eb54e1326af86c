"""Ollama's HTTP API: /api/* with NDJSON streams.

The interface is described at https://github.com/ollama/ollama/blob/main/docs/api.md.
"""
