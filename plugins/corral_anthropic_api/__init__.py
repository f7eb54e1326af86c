"""Anthropic's Messages API: /v1/messages with server-sent events, and /v1/messages/count_tokens.

The interface is described at https://docs.claude.com/en/api/messages.
"""
