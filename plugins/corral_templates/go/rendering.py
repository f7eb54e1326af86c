"""The three ways a conversation is fed to a template: fill in the middle, all messages at once, turn by turn."""

from collections.abc import Sequence

from corral import Conversation, Message
from corral_templates.go.data import message, think_fields, tools
from corral_templates.go.executor import Limits, execute
from corral_templates.go.nodes import Action, Branch, Command, Field, Node, Pipe, Tree, mentions
from corral_templates.go.scan import identifiers
from corral_templates.go.values import GoValue
from corral_templates.messages import collate, size_chars, with_image_tags

_RESPONSE = Action(Pipe((Command((Field(("Response",)),)),)))
_STEPS = 1_000_000  # about a second
_STEPS_A_MESSAGE = 1_000
_OUTPUT_CHARS = 1 << 24  # and 16 times what the conversation holds


def complete(tree: Tree) -> Tree:
    """The template itself, with `{{ .Response }}` at its end when it uses neither messages nor the response."""
    if identifiers(tree) & {"messages", "response"}:
        return tree
    return Tree((*tree.nodes, _RESPONSE), tree.definitions)


def render(tree: Tree, names: frozenset[str], conversation: Conversation) -> str:
    """The prompt.  `names` are the identifiers of `tree`.  Raises BadRequest."""
    limits = Limits(
        steps=_STEPS + _STEPS_A_MESSAGE * len(conversation.messages),
        output_chars=_OUTPUT_CHARS + 16 * size_chars(conversation),
    )
    think = think_fields(conversation.think)
    if conversation.prompt and conversation.suffix:
        data = {"Prompt": conversation.prompt, "Suffix": conversation.suffix, "Response": "", **think}
        return execute(tree, data, limits)
    system, messages = collate(with_image_tags(conversation.messages))
    if "messages" in names:
        data = {
            "System": system,
            "Messages": [message(item) for item in messages],
            "Tools": tools(conversation.tools),
            "Response": "",
            **think,
        }
        return execute(tree, data, limits)
    return _turn_by_turn(tree, messages, think, limits)


def _turn_by_turn(tree: Tree, messages: Sequence[Message], think: dict[str, GoValue], limits: Limits) -> str:
    """The template once a turn; the last time cut after `.Response`, so that the model goes on from there.

    A last assistant message is thereby a prefill: its text stands at `.Response` and its turn stays open.
    """
    turn = {"System": "", "Prompt": "", "Response": ""}
    parts: list[str] = []

    def flush() -> None:
        parts.append(execute(tree, {**turn, **think}, limits))
        turn.update(System="", Prompt="", Response="")

    for item in messages:
        match item.role:
            case "system":
                if turn["Prompt"] or turn["Response"]:
                    flush()
                turn["System"] = item.content
            case "user":
                if turn["Response"]:
                    flush()
                turn["Prompt"] = item.content
            case "assistant":
                turn["Response"] = item.content
    last = Tree(_cut(tree.nodes)[0], tree.definitions)
    return "".join(parts) + execute(last, {**turn, **think}, limits)


def _cut(nodes: tuple[Node, ...]) -> tuple[tuple[Node, ...], bool]:
    """The nodes up to and with the first action that prints `.Response`, and whether there was one."""
    kept: list[Node] = []
    for node in nodes:
        if isinstance(node, Action) and mentions(node.pipe, "Response"):
            return (*kept, node), True
        if isinstance(node, Branch):
            body, done = _cut(node.body)
            orelse, done = ((), True) if done else _cut(node.orelse)
            kept.append(Branch(node.keyword, node.pipe, body, orelse, node.line))
            if done:
                return tuple(kept), True
        else:
            kept.append(node)
    return tuple(kept), False
