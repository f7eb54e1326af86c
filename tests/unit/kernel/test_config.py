"""Settings: layers, environment, durations."""

from pathlib import Path

import pytest

from corral.config import duration_s, load
from corral.errors import ConfigError


def test_a_duration_is_go_style_or_seconds() -> None:
    assert [duration_s(text) for text in ("90", "2m", "-1", "+1h30m", "-1m", "0", "1m0.5s")] == [
        90,
        120,
        -1,
        5400,
        -60,
        0,
        60.5,
    ]


def test_later_layers_win(tmp_path: Path) -> None:
    file = tmp_path / "corral.toml"
    file.write_text('[kernel]\nhost = "a:1"\nnum_parallel = 3\n[plugins.gguf]\nenabled = true\n')
    config = load(file, environ={"OLLAMA_HOST": "b:2", "CORRAL_HOST": "c:3", "OLLAMA_NUM_PARALLEL": "x"})
    assert config.kernel.host == "c:3"
    assert config.kernel.num_parallel == 3, "an unusable count in the environment means the layer below"
    assert load(file, environ={"CORRAL_PLUGINS__GGUF__MMAP": "0"}).plugins["gguf"] == {"enabled": True, "mmap": "0"}


def test_environment_values_are_trimmed_of_blanks_and_quotes(tmp_path: Path) -> None:
    assert load(environ={"OLLAMA_HOST": ' "1.2.3.4" ', "XDG_CONFIG_HOME": str(tmp_path)}).kernel.host == "1.2.3.4"


@pytest.mark.parametrize(
    "text", ["[kernel]\nhots = 1\n", "[kernel]\nhost = 1\n", "[kernel\n", "[surprise]\n", "kernel = 3\n"]
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "corral.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"corral\.toml"):
        load(file, environ={})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('keep_alive = "5x"', "keep_alive = '5x': it must be like \"5m\""),
        ('load_timeout = "soon"', "load_timeout = 'soon': it must be like"),
        ('kv_cache_type = "q3"', "kv_cache_type = 'q3': it must be 'f16' or 'f32' or 'q8_0'"),
        ('isolation = "box"', "isolation = 'box': it must be 'thread' or 'process'"),
        ('log_level = "loud"', "log_level = 'loud': it must be 'trace' or"),
        ('go_template = "yes"', "go_template = 'yes': it must be '' or '0' or '1'"),
        ("max_queue = -1", "max_queue = -1: it must be a number, 0 or more"),
        ("hots = 1", "unknown field `hots`: did you mean 'host'?"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_what_can(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "corral.toml"
    file.write_text(f"[kernel]\n{line}\n")
    with pytest.raises(ConfigError) as err:
        load(file, environ={})
    assert str(err.value).startswith(f"{file}: [kernel]: ")
    assert said in str(err.value)


def test_an_unusable_value_of_the_environment_is_as_if_not_set() -> None:
    unusable = {"KEEP_ALIVE": "5x", "KV_CACHE_TYPE": "q3", "NUM_PARALLEL": "-3", "GO_TEMPLATE": "yes"}
    found = load(environ={"XDG_CONFIG_HOME": "/nowhere", **{f"OLLAMA_{key}": text for key, text in unusable.items()}})
    assert (found.kernel.keep_alive, found.kernel.kv_cache_type, found.kernel.num_parallel) == ("5m", "f16", 8)
    assert found.kernel.go_template == "1", "as the reference: whatever is not false is true"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "nowhere.toml", environ={})
    assert caught.value.message == f"{tmp_path / 'nowhere.toml'}: No such file or directory"
