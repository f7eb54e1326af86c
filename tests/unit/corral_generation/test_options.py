"""Options: merge order, types, ranges."""

import math
import re
from pathlib import Path

import msgspec
import pytest

from corral import BadRequest, Options
from corral_engine.sampling import ADAPTIVE, ORDER
from corral_generation import options as options_module
from corral_generation.options import SAMPLERS, resolve_options


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
        ({"repeat_penalty": 0}, 'option "repeat_penalty" must be above 0'),
        ({"num_ctx": -1}, 'option "num_ctx" must not be negative'),
        ({"typical_p": -0.1}, 'option "typical_p" must not be negative'),
        ({"dynatemp_range": -1}, 'option "dynatemp_range" must not be negative'),
        ({"dynatemp_exponent": -1e18}, 'option "dynatemp_exponent" must not be negative'),
        ({"xtc_probability": 1.1}, 'option "xtc_probability" must be between 0 and 1'),
        ({"xtc_threshold": -0.1}, 'option "xtc_threshold" must be between 0 and 1'),
        ({"adaptive_decay": 1}, 'option "adaptive_decay" must be between 0 and 0.99'),
        ({"adaptive_target": 1.5}, 'option "adaptive_target" must be at most 1'),
        ({"mirostat": 3}, 'option "mirostat" must be 0, 1 or 2'),
        ({"samplers": ["top_k", "best"]}, 'option "samplers": "best" is no sampler; there are penalties, dry, '),
        ({"samplers": "kz"}, 'option "samplers": "z" is no sampler'),
        ({"samplers": [1]}, 'option "samplers" must be of an array of strings'),
        ({"num_gpu": "all"}, 'option "num_gpu" must be of type integer'),
        ({"main_gpu": True}, 'option "main_gpu" must be of type integer'),
        ({"use_mmap": "yes"}, 'option "use_mmap" must be of type boolean'),
        ({"stop": ["x"] * 2000}, 'option "stop" has 2000 entries; it takes at most 1024'),
        ({"logit_bias": {"a": "b"}}, 'option "logit_bias" must be of type float32'),
        ({"logit_bias": 1}, 'option "logit_bias" must be of type object'),
    ],
)
def test_a_wrong_value_is_a_bad_request(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadRequest) as err:
        resolve_options({}, options)
    assert message in err.value.message


def test_samplers_by_name_and_by_letter() -> None:
    expected = ("top_k", "typ_p", "temperature")
    for value in (["top_k", "typ_p", "temperature"], ["k", "typical_p", "t"], "kyt"):
        assert resolve_options({}, {"samplers": value}).samplers == expected
    assert resolve_options({}, {"samplers": ["min-p", "adaptive-p"]}).samplers == ("min_p", "adaptive_p")
    assert resolve_options({}, {"samplers": "ma"}).samplers == ("min_p", "adaptive_p")
    assert resolve_options({}, {"samplers": "temperature"}).samplers == ("temperature",)
    assert resolve_options({}, {"samplers": ""}).samplers == ()


def test_the_engine_knows_every_sampler() -> None:
    assert tuple(SAMPLERS.values()) == (*ORDER, ADAPTIVE)


def test_options_that_change_nothing_are_still_typed() -> None:
    assert resolve_options({}, {"num_gpu": 1.5, "main_gpu": 0, "use_mmap": None, "low_vram": "?"}) == Options()


def test_logit_bias_false_bans_a_token() -> None:
    assert resolve_options({}, {"logit_bias": {"5": False, 6: 1}}).logit_bias == {5: -math.inf, 6: 1.0}


def test_logit_bias_takes_ids_and_texts() -> None:
    bias = resolve_options({}, {"logit_bias": {"5": 1, "-1": 2, "a": 3, " 5": 4, "": 5}}).logit_bias
    assert bias == {5: 1.0, -1: 2.0, "a": 3.0, " 5": 4.0, "": 5.0}


def test_the_documentation_has_every_option_with_its_default() -> None:
    text = (Path(options_module.__file__).parent / "README.md").read_text(encoding="utf-8")
    rows = text.split("## Options of an answer")[1].split("\nOffers:")[0].split("\n| ")[2:]
    told = dict(re.findall(r"`(\w+)` ([^,|]+)", ", ".join(row.split(" | ")[0] for row in rows)))
    assert set(told) == set(Options.__struct_fields__)
    for name, default in msgspec.structs.asdict(Options()).items():
        if name != "dry_sequence_breakers":
            assert told[name] == (str(default).lower() if default not in ((), {}) else "none"), name
