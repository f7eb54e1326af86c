"""Options: merge order, types, ranges."""

import math

import pytest

from corral import BadRequest
from corral_generation.options import resolve_options


def test_request_wins_over_model_wins_over_defaults() -> None:
    options = resolve_options({"temperature": 0.1, "top_k": 5, "stop": ["a"]}, {"top_k": 7, "stop": "b", "seed": None})
    assert (options.temperature, options.top_k, options.top_p, options.stop, options.seed) == (0.1, 7, 0.9, ("b",), -1)


def test_unknown_names_are_ignored_and_integers_drop_the_fraction() -> None:
    assert resolve_options({}, {"numa": True, "top_k": 3.9}).top_k == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"top_k": True}, 'option "top_k" must be of type integer'),
        ({"stop": 3}, 'option "stop" must be of type array'),
        ({"stop": [1]}, 'option "stop" must be of an array of strings'),
        ({"temperature": math.nan}, 'option "temperature" is out of range'),
        ({"num_predict": 2**63}, 'option "num_predict" is out of range'),
        ({"repeat_penalty": 0}, "repeat_penalty must be above 0"),
        ({"num_ctx": -1}, "must not be negative"),
        ({"stop": ["x"] * 2000}, "at most 1024"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
    ],
)
def test_a_wrong_value_is_a_bad_request(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadRequest) as err:
        resolve_options({}, options)
    assert message in err.value.message


def test_logit_bias_false_bans_a_token() -> None:
    assert resolve_options({}, {"logit_bias": {"5": False, 6: 1}}).logit_bias == {5: -math.inf, 6: 1.0}
