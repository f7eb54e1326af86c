"""The shapes of a completion, and how pieces become texts: an echo of the prompt goes first."""

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from corral import ChatRequest, Piece, TokenLogprob, Value
from corral_openai_api.choices import copies
from corral_openai_api.legacy import LegacyLogprobs, legacy
from corral_openai_api.prompts import Prompt
from corral_openai_api.wire import Envelope, Wire, ended


class TextChoice(Wire, frozen=True):
    """One text, or a part of it.  `reasoning` is there only for models that think."""

    text: str
    index: int
    finish_reason: str | None = None
    logprobs: LegacyLogprobs | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET


class TextCompletion(Envelope[TextChoice], frozen=True):
    """All texts, or a chunk of one."""


class Plan(Value, frozen=True):
    """What is to be run: of the answers `tried` a prompt, `kept` are sent.  `silent`: only the prompt is told."""

    prompts: tuple[Prompt, ...]
    typed: ChatRequest
    tried: int
    kept: int
    echo: bool
    logprobs: bool
    silent: bool

    def requests(self) -> list[ChatRequest]:
        """One typed request an answer, those of one prompt beside each other."""
        return [
            request
            for prompt in self.prompts
            for request in copies(replace(self.typed, **prompt.of(self.typed)), self.tried)
        ]


class TextPart:
    """What is known about a choice while it streams; a whole answer is a stream of one piece."""

    def __init__(self, index: int, plan: Plan) -> None:
        self.index, self.plan = index, plan
        self._prompt = plan.prompts[index // plan.kept] if plan.echo else Prompt()
        self._opened = False
        self._offset = 0
        self._scored: list[TokenLogprob] = []  # of the prompt, until the echo is sent

    def chunk(self, piece: Piece) -> TextChoice | None:
        """The piece as a part of the choice's text; None when there is nothing to send."""
        self._scored += piece.prompt_logprobs
        if not (piece.text or piece.thinking or piece.logprobs or piece.done_reason):
            return None
        text, scored, first = ("", [], "") if self.plan.silent else (piece.text, [*piece.logprobs], "")
        if not self._opened:
            text, scored, first = self._prompt.text + text, self._scored + scored, self._prompt.first
        self._opened = True
        is_scored = self.plan.logprobs and bool(scored or first)
        choice = TextChoice(
            text=text,
            index=self.index,
            finish_reason=self._reason(piece.done_reason),
            logprobs=legacy(scored, self._offset, first) if is_scored else UNSET,
            reasoning=piece.thinking or UNSET,
        )
        self._offset += len(text)
        return choice

    def _reason(self, done_reason: str | None) -> str | None:
        if done_reason is None:
            return None
        return "length" if self.plan.silent else ended(done_reason)
