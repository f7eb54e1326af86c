"""Which tokens a bias is given to."""

import math

import pytest

from corral import BadRequest, Options
from corral_generation.bias import by_token, id_or_text


class Letters:
    """A vocabulary of the letters from "a" on; other characters have no token."""

    vocab_size = 10

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        assert not add_special
        assert not parse_special
        return [ord(letter) - 97 for letter in text if "a" <= letter <= "j"]


def test_each_token_of_a_text_gets_its_bias_and_what_meets_adds_up() -> None:
    options = by_token(Options(logit_bias={1: 0.5, "bad": 2.0, "dab": -1.0, "c": -math.inf, 2: 5.0}), Letters())
    assert options.logit_bias == {1: 1.5, 0: 1.0, 3: 1.0, 2: -math.inf}
    assert by_token(Options(logit_bias={"aa": 2.0}), Letters()).logit_bias == {0: 4.0}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (10, "token id 10 is not in the vocabulary of 10 tokens"),
        (-1, "token id -1 is not in the vocabulary of 10 tokens"),
        ("", "the text '' has no tokens"),
        ("???", "the text '???' has no tokens"),
        ("a" * 5000, "a text of 5000 characters, 'aaa"),
    ],
)
def test_a_key_that_names_no_token_is_refused(key: int | str, message: str) -> None:
    with pytest.raises(BadRequest) as err:
        by_token(Options(logit_bias={9: 1.0, key: 1.0}), Letters())
    assert err.value.message.startswith(f'option "logit_bias": {message}')


def test_integers_in_json_keys_are_ids() -> None:
    assert [id_or_text(key) for key in ("5", "-1", "+7", 3, "5.0", " 5", "x")] == [5, -1, 7, 3, "5.0", " 5", "x"]
    assert id_or_text("9" * 9999) == int("9" * 18)  # no vocabulary has it; as a number it would take long to read
