"""Answers read as they stream: thinking split off, tool calls taken out, and not a character lost."""
