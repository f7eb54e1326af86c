"""Every storage type keeps the laws of quantizers, compiled and plain."""

import pytest

from corral import Quantizer
from corral.testing.quantizer_contract import QuantizerContract
from corral_quantizers.formats import FORMATS
from corral_quantizers.plugin import Plugin
from corral_quantizers.provider import BlockQuantizer, Machine


class TestEveryStorageType(QuantizerContract):
    @pytest.fixture(params=FORMATS)
    def quantizer(self, request: pytest.FixtureRequest, machine: Machine) -> Quantizer:
        return BlockQuantizer(FORMATS[request.param], machine)


def test_the_plugin_offers_each_of_them_through_corral_quantizers() -> None:
    offered = list(Plugin(Plugin.Config()).corral_quantizers())
    assert [quantizer.name for quantizer in offered] == list(FORMATS)
