"""Text is cut into words as the models were trained, or as llama.cpp does it."""

import pytest
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from corral_tokenizers.wordpiece import Normalizer

TEXTS = [
    "Hello, World! don't  \t stop\r\nnow",
    "고양이가 매트 위에 앉아 있었다.",
    "बिल्ली चटाई पर बैठी थी।",
    "猫がマットの上に座っていた。",
    "猫坐在垫子上，看着窗外的雨。",
    "Où est l'été? ÀÉÎÕÜ ñ ç Ångström",
    "Η γάτα καθόταν στο χαλί. ΆΈΉ ς",
    "Кошка сидела на коврике. Ёлка йод",
    "القطة تجلس على السجادة قرب النافذة.",
    "İstanbul ışık ẞ ß ﬁ ǆ",
    "a$b+c<d=e>f^g`h|i~j © € № ™ 5·6 x²",
    "zero\u200bwidth soft\u00adhyphen bom\ufeff nul\0 bad\ufffd bell\x07",
    "豈 compat 更 \u3000 wide",
    "😀 🎉 👩‍🚀",
]


def words(text: str, *, fold: bool, single: bool) -> list[str]:
    return text.translate(Normalizer(fold=fold, single=single)).split(" ")


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("text", TEXTS)
def test_words_are_those_of_the_training_code(text: str, fold: bool) -> None:
    normal = BertNormalizer(lowercase=fold).normalize_str(text)
    expected = [word for word, _ in BertPreTokenizer().pre_tokenize_str(normal)]
    assert [word for word in words(text, fold=fold, single=False) if word] == expected


def test_words_as_llama_cpp_cuts_them() -> None:
    assert words("고양이", fold=True, single=True) == ["\u1100\u110b\u110b"]
    assert words("पानी", fold=True, single=True) == ["पन"]
    assert words("Été", fold=True, single=True) == ["ete"]
