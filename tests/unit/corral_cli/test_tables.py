"""Tables and sections, byte for byte."""

from datetime import UTC, datetime

import pytest

from corral_cli.models import list_table, processor, ps_table
from corral_cli.show import head, sections, value_text
from corral_cli.tables import section, table, width

NOW = datetime(2026, 8, 21, 10, 0, 0, tzinfo=UTC)


def test_four_blanks_follow_every_cell_and_one_the_header() -> None:
    rows = [("model1", "sha256:abc12", "1.0 KB", "24 hours ago")]
    assert table(("NAME", "ID", "SIZE", "MODIFIED"), rows) == (
        "NAME      ID              SIZE      MODIFIED     \nmodel1    sha256:abc12    1.0 KB    24 hours ago    \n"
    )


def test_an_empty_table_is_its_header() -> None:
    assert table(("NAME", "ID"), []) == "NAME    ID \n"


def test_wide_characters_take_two_columns() -> None:
    assert width("a日e\u0301") == 4


def test_list_filters_by_prefix_in_any_case() -> None:
    models = [
        {"name": "Llama:1b", "digest": "0123456789abcdef", "size": 1500, "modified_at": "2026-08-20T10:00:00Z"},
        {"name": "phi:1", "digest": "f" * 64, "size": 0, "modified_at": "2026-08-21T10:00:00Z", "remote_model": "x"},
    ]
    assert list_table({"models": models}, "llama", NOW) == (
        "NAME        ID              SIZE      MODIFIED     \nLlama:1b    0123456789ab    1.5 KB    24 hours ago    \n"
    )
    assert "phi:1    ffffffffffff    -" in list_table({"models": models}, "phi", NOW)
    assert list_table({"models": None}, "", NOW) == "NAME    ID    SIZE    MODIFIED \n"


def test_ps_filters_by_prefix_as_it_is_written() -> None:
    model = {
        "name": "m:latest",
        "digest": "0123456789abcdef",
        "size": 1_890_000_000,
        "size_vram": 0,
        "context_length": 4096,
        "expires_at": "2026-08-21T10:04:59Z",
    }
    gone = {**model, "name": "n:latest", "expires_at": "2026-08-21T09:59:59Z"}
    kept = {**model, "name": "k:latest", "expires_at": "2318-01-01T00:00:00Z"}
    answer = {"models": [model, gone, kept]}
    assert ps_table(answer, "", NOW) == (
        "NAME        ID              SIZE      PROCESSOR    CONTEXT    UNTIL              \n"
        "m:latest    0123456789ab    1.9 GB    100% CPU     4096       4 minutes from now    \n"
        "n:latest    0123456789ab    1.9 GB    100% CPU     4096       Stopping...           \n"
        "k:latest    0123456789ab    1.9 GB    100% CPU     4096       Forever               \n"
    )
    assert ps_table(answer, "M", NOW).count("\n") == 1


@pytest.mark.parametrize(
    ("size", "vram", "text"),
    [
        (100, 0, "100% CPU"),
        (100, 100, "100% GPU"),
        (100, 200, "Unknown"),
        (0, 1, "Unknown"),
        (1000, 625, "38%/62% CPU/GPU"),
    ],
)
def test_processor(size: int, vram: int, text: str) -> None:
    assert processor(size, vram) == text


SHOWN = {
    "license": "MIT\n\nCopyright\nmore\n",
    "system": "You are kind.",
    "parameters": 'stop                           "<|im_end|>"\ntemperature                    0.1',
    "details": {"parameter_size": "8.0B", "quantization_level": "Q4_0", "family": "llama"},
    "model_info": {
        "general.architecture": "llama",
        "general.parameter_count": 134515008,
        "llama.context_length": 8192,
        "llama.embedding_length": 4096,
        "tokenizer.ggml.scores": [0.5, 1, 2, 3, 4, 5],
    },
    "tensors": [{"name": "output.weight", "type": "F16", "shape": [4096, 128]}],
    "capabilities": ["completion", "tools"],
}


def test_show_prints_sections() -> None:
    assert sections(SHOWN) == (
        "  Model\n"
        "    architecture        llama    \n"
        "    parameters          8.0B     \n"
        "    context length      8192     \n"
        "    embedding length    4096     \n"
        "    quantization        Q4_0     \n"
        "\n"
        "  Capabilities\n"
        "    completion    \n"
        "    tools         \n"
        "\n"
        "  Parameters\n"
        '    stop           "<|im_end|>"    \n'
        "    temperature    0.1             \n"
        "\n"
        "  System\n"
        "    You are kind.    \n"
        "\n"
        "  License\n"
        "    MIT          \n"
        "    Copyright    \n"
        "    ...          \n"
        "\n"
    )


def test_verbose_adds_metadata_and_tensors() -> None:
    text = sections(SHOWN, verbose=True)
    assert "  Metadata\n    general.architecture       llama" in text
    assert "    general.parameter_count    1.34515008e+08" in text
    assert "    tokenizer.ggml.scores      [0.5 1 2 ...+3 more]    \n" in text
    assert "  Tensors\n    output.weight    F16    [4096 128]    \n\n" in text


def test_projector_and_remote_rows() -> None:
    shown = {
        "remote_model": "big",
        "remote_host": "https://example.com",
        "requires": "0.14.0",
        "details": {"family": "clip"},
        "projector_info": {
            "general.architecture": "clip",
            "general.parameter_count": 7_000_000_000,
            "clip.vision.embedding_length": 1024,
            "clip.vision.projection_dim": 768,
        },
    }
    assert sections(shown) == (
        "  Model\n"
        "    Remote model    big                    \n"
        "    Remote URL      https://example.com    \n"
        "    architecture    clip                   \n"
        "    requires        0.14.0                 \n"
        "\n"
        "  Projector\n"
        "    architecture        clip    \n"
        "    parameters          7B      \n"
        "    embedding length    1024    \n"
        "    dimensions          768     \n"
        "\n"
    )


def test_cells_wrap_at_thirty_columns() -> None:
    assert section("T", [("a", "one two three four five six seven eight")]) == (
        "  T\n    a    one two three four five six    \n         seven eight                    \n\n"
    )


def test_values_as_text() -> None:
    assert value_text(True) == "true"
    assert value_text(None) == "<nil>"
    assert value_text([]) == "[]"
    assert value_text(["averyverylongword", "b"]) == "[averyverylongword ...+1 more]"
    assert value_text([1, 2]) == "[1 2]"


def test_head_keeps_two_lines() -> None:
    assert head("a\n\n b \n", 2) == ["a", "b"]
    assert head("a\nb\nc", 2) == ["a", "b", "..."]
