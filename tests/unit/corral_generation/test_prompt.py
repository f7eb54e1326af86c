"""The context policy: what is kept, what is cut, what is refused."""

import pytest

from corral import ContextOverflow, Message
from corral_generation.prompt import drop_oldest, fit


def chat(*turns: str) -> tuple[Message, ...]:
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return tuple(Message(role=roles[turn[0]], content=turn) for turn in turns)


def test_the_oldest_go_first_and_system_and_last_stay() -> None:
    kept = drop_oldest(chat("s1", "u1", "a1", "s2", "u2"), 3, len)
    assert [message.content for message in kept] == ["s1", "s2", "u2"]


def test_the_last_message_is_kept_even_when_it_is_too_long() -> None:
    assert [m.content for m in drop_oldest(chat("u1", "u2"), 0, len)] == ["u2"]


def test_a_prompt_that_fits_is_left_alone() -> None:
    assert fit(range(9), 10, 4, may_cut=True, may_shift=True) == tuple(range(9))


def test_a_cut_keeps_the_head_and_the_newest_with_room_for_half_a_context() -> None:
    assert fit(range(100), 20, 4, may_cut=True, may_shift=True) == (0, 1, 2, 3, *range(92, 100))


def test_refusals_keep_the_phrases_that_clients_match() -> None:
    with pytest.raises(ContextOverflow, match="exceeds the available context size"):
        fit(range(20), 20, 4, may_cut=False, may_shift=True)
    with pytest.raises(ContextOverflow, match="longer than the context length currently available"):
        fit(range(20), 20, 4, may_cut=True, may_shift=False)


@pytest.mark.parametrize("num_keep", [-1, 0, 19, 500])
def test_every_num_keep_leaves_room_for_a_token(num_keep: int) -> None:
    assert len(fit(range(100), 20, num_keep, may_cut=True, may_shift=True)) < 20
