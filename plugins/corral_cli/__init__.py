"""Ollama's command line: every command is a client of the native API, here or elsewhere."""
