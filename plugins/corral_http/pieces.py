"""The pieces of an answer that is sent whole."""

from collections.abc import Sequence

from msgspec.structs import replace

from corral import Piece


def merged(pieces: Sequence[Piece]) -> Piece:
    """All pieces of one answer as one: what they hold in order, and the end of the last."""
    return replace(
        pieces[-1] if pieces else Piece(),
        text="".join(piece.text for piece in pieces),
        thinking="".join(piece.thinking for piece in pieces),
        tool_calls=tuple(call for piece in pieces for call in piece.tool_calls),
        logprobs=tuple(scored for piece in pieces for scored in piece.logprobs),
        prompt_logprobs=tuple(scored for piece in pieces for scored in piece.prompt_logprobs),
    )
