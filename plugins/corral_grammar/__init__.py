"""Constrained decoding: answers that match a JSON schema, a regular expression or a grammar, on llguidance.

JSON Schema: https://json-schema.org/draft/2020-12.  The library and its Lark dialect:
https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md.  GBNF:
https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md.
"""

from corral_grammar.plugin import Plugin

__all__ = ["Plugin"]
