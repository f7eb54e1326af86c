"""The pipeline on stand-ins: assembly, capabilities, stops, interceptors, cancellation, usage."""

from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

import pytest
from msgspec.structs import replace

from corral import (
    ChatRequest,
    ContextOverflow,
    Generate,
    Interceptor,
    Message,
    Piece,
    Pieces,
    RunnerStats,
    Settings,
    Unsupported,
    hookimpl,
)
from corral.kernel import Kernel
from corral.testing.doubles import Plugin as Doubles
from corral.testing.fake_weights import fake_weights
from corral.testing.models import add_model
from corral.testing.plain_templates import PlainTemplate
from corral.testing.scripted_engine import ScriptedRunner


async def collect(kernel: Kernel, request: ChatRequest) -> tuple[str, Piece]:
    """The text and the last piece."""
    text, last = "", Piece()
    async with aclosing(kernel.pipeline.chat(request)) as pieces:
        async for piece in pieces:
            text += piece.text
            last = piece
    return text, last


def user(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


async def test_an_answer_ends_with_reason_and_usage(kernel: Kernel, doubles: Doubles) -> None:
    await add_model(kernel, "m", fake_weights())
    doubles.engine.cached_tokens = 2
    text, last = await collect(kernel, ChatRequest(model="m", messages=user("hi")))
    assert (text, last.done_reason) == ("Hello!", "stop")
    assert last.usage is not None
    assert (last.usage.eval_tokens, last.usage.cached_tokens) == (6, 2)
    assert last.usage.total_ns >= last.usage.load_ns > 0
    assert last.context is not None
    assert len(last.context) == last.usage.prompt_tokens + last.usage.eval_tokens


async def test_system_and_messages_of_the_model_come_first(kernel: Kernel, doubles: Doubles) -> None:
    await add_model(kernel, "m", fake_weights(), system="S", messages=[Message(role="assistant", content="M")])
    rendered = await kernel.pipeline.render_only(ChatRequest(model="m", messages=user("U")))
    assert rendered.text.splitlines()[1:] == ["[system] S", "[assistant] M", "[user] U", "[assistant]"]
    own = (Message(role="System", content="mine"), *user("U"))
    rendered = await kernel.pipeline.render_only(ChatRequest(model="m", messages=own))
    assert "[system] S" not in rendered.text
    assert "[system] mine" in rendered.text


async def test_a_stop_string_ends_the_job_and_is_not_part_of_the_text(kernel: Kernel, doubles: Doubles) -> None:
    await add_model(kernel, "m", fake_weights())
    doubles.engine.reply = lambda job: b"one two three"
    request = ChatRequest(model="m", messages=user("hi"), overrides={"stop": [" tw"]})
    text, last = await collect(kernel, request)
    assert (text, last.stop_text, last.done_reason) == ("one", " tw", "stop")
    assert doubles.engine.cancelled == 1


async def test_closing_the_answer_cancels_the_job(kernel: Kernel, doubles: Doubles) -> None:
    model = await add_model(kernel, "m", fake_weights())
    doubles.engine.pause_at = 3
    pieces = kernel.pipeline.chat(ChatRequest(model="m", messages=user("hi")))
    assert (await anext(pieces)).text == "H"
    await pieces.aclose()
    assert await doubles.engine.endings.get() == "cancelled"
    await kernel.pool.unload(model)
    assert kernel.pool.loaded() == [], "nobody held it any more"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ChatRequest(model="m", think=True), '"m" does not support thinking'),
        (ChatRequest(model="m", prompt="x", suffix="y"), "registry.ollama.ai/library/m:latest does not support insert"),
        (ChatRequest(model="m", messages=(Message(role="user", images=(b"x",)),)), "does not support vision"),
    ],
)
async def test_what_a_model_cannot_do_is_said(
    kernel: Kernel, doubles: Doubles, request_: ChatRequest, message: str
) -> None:
    await add_model(kernel, "m", fake_weights())
    with pytest.raises(Unsupported) as err:
        await collect(kernel, request_)
    assert message in err.value.message


class Shouting:
    """A plugin whose interceptor caps the answer and shouts."""

    Config = Settings

    def __init__(self, config: Settings) -> None:
        self.seen: list[int] = []

    @hookimpl
    def corral_interceptors(self) -> Iterable[Interceptor]:
        """One."""
        yield Interceptor(name="shouting", wrap=self.wrap)

    async def wrap(self, request: ChatRequest, call: Generate) -> Pieces:
        """Three tokens at most, in capitals."""
        self.seen.append(request.options.num_predict)
        capped = replace(request, options=replace(request.options, num_predict=3))
        async with aclosing(call(capped)) as pieces:
            async for piece in pieces:
                yield replace(piece, text=piece.text.upper())


async def test_an_interceptor_sees_the_merged_options_and_the_pieces(make_kernel: Any) -> None:
    kernel = await make_kernel([Doubles, Shouting], store="memory")
    await add_model(kernel, "m", fake_weights(), parameters={"num_predict": 77})
    text, last = await collect(kernel, ChatRequest(model="m", messages=user("hi")))
    assert (text, last.done_reason) == ("HEL", "length")
    assert [p.seen for p in kernel.plugins.manager.get_plugins() if isinstance(p, Shouting)] == [[77]]


async def test_too_long_a_chat_drops_the_oldest_and_reports_it(kernel: Kernel, doubles: Doubles) -> None:
    await add_model(kernel, "m", fake_weights())
    messages = tuple(Message(role="user", content=letter * 20) for letter in "abcdef")
    request = ChatRequest(model="m", messages=messages, overrides={"num_ctx": 100})
    rendered = await kernel.pipeline.render_only(request)
    assert "f" * 20 in rendered.text
    assert "a" * 20 not in rendered.text
    assert rendered.truncated is not None
    assert rendered.truncated.prompt_tokens > rendered.truncated.kept_tokens


async def test_a_chat_as_long_as_the_context_loses_messages_not_its_beginning(kernel: Kernel) -> None:
    await add_model(kernel, "m", fake_weights())
    messages = (Message(role="system", content="S" * 20), *user("a" * 20), *user("b" * 20))
    whole = await kernel.pipeline.render_only(ChatRequest(model="m", messages=messages))
    overrides = {"num_ctx": len(whole.token_ids)}
    _, last = await collect(kernel, ChatRequest(model="m", messages=messages, overrides=overrides))
    cut = await kernel.pipeline.render_only(ChatRequest(model="m", messages=messages, overrides=overrides))
    assert ("S" * 20 in cut.text, "a" * 20 in cut.text, "b" * 20 in cut.text) == (True, False, True)
    assert last.truncated == cut.truncated


async def test_a_prompt_is_shown_whole_where_it_would_be_refused(kernel: Kernel, doubles: Doubles) -> None:
    await add_model(kernel, "m", fake_weights())
    request = ChatRequest(model="m", messages=user("x" * 50), overrides={"num_ctx": 10}, truncate=False)
    assert "x" * 50 in (await kernel.pipeline.render_only(request)).text
    with pytest.raises(ContextOverflow):
        await collect(kernel, request)


async def test_a_chat_that_fits_is_rendered_once(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    await add_model(kernel, "m", fake_weights())
    plain, renderings = PlainTemplate.render, []
    monkeypatch.setattr(PlainTemplate, "render", lambda *args: renderings.append(1) or plain(*args))
    messages = tuple(Message(role="user", content=letter) for letter in "abcdef")
    await collect(kernel, ChatRequest(model="m", messages=messages))
    assert len(renderings) == 1


async def test_a_runner_with_less_room_than_the_context_bounds_the_chat(
    kernel: Kernel, doubles: Doubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_model(kernel, "m", fake_weights())
    monkeypatch.setattr(ScriptedRunner, "stats", lambda self: RunnerStats(kv_tokens=100))
    messages = tuple(Message(role="user", content=letter * 20) for letter in "abcdef")
    _, last = await collect(kernel, ChatRequest(model="m", messages=messages))
    assert last.truncated is not None
    assert doubles.engine.jobs[-1].num_ctx == 100
    assert len(doubles.engine.jobs[-1].token_ids) < 100
