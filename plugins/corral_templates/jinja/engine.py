"""The engine "jinja": chat templates inside weight files."""

from collections.abc import Callable, Container, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from corral import BadRequest, Constraint, Conversation, Message, OutputParser
from corral_templates.jinja import inputs
from corral_templates.jinja.process import RenderProcess
from corral_templates.messages import size_chars, with_image_tags, without_system
from corral_templates.output.choice import Style, parser_for
from corral_templates.output.family import OutputFamily
from corral_templates.output.forcing import constrain
from corral_templates.select import ByChoice, jinja_capabilities

if TYPE_CHECKING:
    from jinja2 import nodes

_MAX_SOURCE_CHARS = 1 << 17  # the longest published are a fifth of it; parsing takes a second
_THINK_TAGS = (("[THINK]", "[/THINK]"), ("<think>", "</think>"))
_TOOL_TAGS = (  # in the order they are looked for: the text that tells the notation, and what begins a call
    ("[TOOL_CALLS]", "[TOOL_CALLS]"),
    ("<|tool_calls_section_begin|>", "<|tool_calls_section_begin|>"),
    ("<TOOLCALL>", "<TOOLCALL>"),
    ("<tool_calls>", "<tool_calls>"),
    ("<tool_call>", "<tool_call>"),
    ("<|tool_call|>", "<|tool_call|>"),
    ("functools", "functools"),
    ("<function=", "<function="),
)


class JinjaLimits(NamedTuple):
    """Bounds on one rendering; all grow with the conversation."""

    cpu_s: float
    output_chars: int
    memory_mb: int


class JinjaTemplate:
    """A checked Jinja template.  It is compiled and run in the renderer's process only."""

    def __init__(
        self,
        source: str,
        families: Sequence[OutputFamily],
        limits: JinjaLimits,
        process: RenderProcess,
        parser: str = "",
    ) -> None:
        """Raises BadRequest("template error: …")."""
        check(source)
        self.source = source
        self._families, self._limits, self._process, self._parser = families, limits, process, parser

    @cached_property
    def style(self) -> Style:
        """How answers to this template's prompts are written."""
        tags = next((tags for tags in _THINK_TAGS if tags[1] in self.source), None)
        tool_tag = next((tag for mark, tag in _TOOL_TAGS if mark in self.source), "{")
        return Style(self.source, tags, tool_tag, self._families, self._parser)

    @property
    def capabilities(self) -> frozenset[str]:
        """What the text or a PARSER promises, and thinking where its family's tags are in the text."""
        own = jinja_capabilities(self.source) | ({"tools"} if self.style.promises_tools else set())
        tags, family = self.style.think_tags, self.style.family
        reads = self.style.promises_thinking or (family is not None and family.reads_thinking)
        return own | {"thinking"} if reads or (tags is not None and tags != _THINK_TAGS[1]) else own

    def render(self, conversation: Conversation) -> str:
        """The prompt.  A last assistant message is a prefill: its text follows the generation prompt.  Blocks.

        A template that refuses system messages is given the system text at the head of the first user message.
        Raises BadRequest when the template refuses the conversation or overruns its limits.
        """
        messages, prefill = with_image_tags(conversation.messages), ""
        if len(messages) > 1 and messages[-1].role == "assistant" and not messages[-1].tool_calls:
            messages, prefill = messages[:-1], messages[-1].content
        try:
            return self._render(conversation, messages) + prefill
        except BadRequest as err:
            merged = without_system(messages)
            if merged is None or "system" not in err.message.lower():
                raise
            return self._render(conversation, merged) + prefill

    def _render(self, conversation: Conversation, messages: Sequence[Message]) -> str:
        size = size_chars(conversation)
        request = {
            "source": self.source,
            "cpu_s": self._limits.cpu_s + size * 5e-7,
            "memory_bytes": (self._limits.memory_mb << 20) + 32 * size,
            "output_chars": self._limits.output_chars + 16 * size,
            "variables": {
                "messages": inputs.messages(messages),
                "tools": inputs.tools(conversation.tools),
                "documents": None,
                "add_generation_prompt": True,
                "bos_token": conversation.bos,
                "eos_token": conversation.eos,
                **inputs.thinking(conversation.think),
            },
        }
        return self._process.ask(request)

    def parser(self, conversation: Conversation, prompt: str) -> OutputParser:
        """How to read the answer to `prompt`."""
        return parser_for(self.style, conversation, prompt)

    def constrain(self, conversation: Conversation, content: Constraint | None, tool_choice: str) -> Constraint | None:
        """What the answer must match so that tools are called as asked."""
        return constrain(self.style, conversation, content, tool_choice)


class JinjaEngine(ByChoice):
    """Checks Jinja templates and owns the process that renders them."""

    name = "jinja"

    def __init__(self, families: Callable[[], Sequence[OutputFamily]], limits: JinjaLimits) -> None:
        self._families, self._limits = families, limits
        self._process = RenderProcess()

    def compile(self, source: str, parser: str = "") -> JinjaTemplate:
        """Raises BadRequest("template error: …").  The renderer starts meanwhile: no chat has to wait for it."""
        template = JinjaTemplate(source, self._families(), self._limits, self._process, parser)
        self._process.warm()
        return template

    def close(self) -> None:
        """End the renderer's process."""
        self._process.close()


def check(source: str) -> None:
    """Parse a template without running, or even folding, any of it.

    Raises BadRequest("template error: …") for bad syntax, unknown filters, other files and names of Python's insides.
    """
    from jinja2 import TemplateSyntaxError

    from corral_templates.jinja.sandbox import environment

    if len(source) > _MAX_SOURCE_CHARS:
        raise BadRequest(f"template error: it has {len(source)} characters; {_MAX_SOURCE_CHARS} are the most")
    env = environment()
    try:
        _refuse(env.parse(source), {*env.filters, *env.tests})
    except TemplateSyntaxError as err:
        raise BadRequest(f"template error: line {err.lineno}: {err.message}") from err
    except (RecursionError, ValueError, OverflowError) as err:
        raise BadRequest(f"template error: {str(err)[:200] or 'nested too deeply'}") from err


def _refuse(tree: "nodes.Template", known: Container[str]) -> None:
    """Raises BadRequest for what cannot run here and what no chat template has a reason to use."""
    from jinja2 import nodes

    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        raise BadRequest(f"template error: line {node.lineno}: a chat template cannot read other files")
    for used in tree.find_all((nodes.Filter, nodes.Test)):
        if used.name not in known:
            raise BadRequest(f"template error: line {used.lineno}: no filter or test named {used.name!r}")
    for access in tree.find_all((nodes.Getattr, nodes.Getitem)):
        name = getattr(access, "attr", None) or getattr(getattr(access, "arg", None), "value", None)
        if isinstance(name, str) and name.startswith("__"):
            raise BadRequest(f"template error: line {access.lineno}: access to {name!r} is refused")
