"""One renderer process for all tests of Jinja templates."""

from collections.abc import Iterator

import pytest

from corral_templates.jinja.engine import JinjaEngine, JinjaLimits
from corral_templates.output.families import BUILT_IN


@pytest.fixture(scope="session")
def jinja() -> Iterator[JinjaEngine]:
    """Generous limits: tests run on busy machines."""
    engine = JinjaEngine(lambda: BUILT_IN, JinjaLimits(10.0, 1 << 24, 256))
    yield engine
    engine.close()
