"""Word wrap and the statistics."""

from hypothesis import given, strategies as st

from corral_cli.statistics import summary
from corral_cli.wrap import WordWrap


def screen(text: str) -> list[str]:
    """What a terminal shows of text with `ESC[nD` and `ESC[K`."""
    lines, column, position = [""], 0, 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == "\x1b":
            end = next(i for i in range(position, len(text)) if text[i] in "DK")
            if text[end] == "D":
                column -= int(text[position + 1 : end])
            else:
                lines[-1] = lines[-1][:column]
            position = end + 1
        elif char == "\n":
            lines.append("")
            column = 0
        else:
            lines[-1] = lines[-1][:column] + char
            column += 1
    return lines


def test_a_word_at_the_edge_moves_down() -> None:
    assert screen(WordWrap(20).push("aaa bbb cccc ddd eee")) == ["aaa bbb cccc ", "ddd eee"]
    assert screen(WordWrap(20).push("aaa bbb ccc ddd eee")) == ["aaa bbb ccc ddd", "eee"]


def test_pieces_do_not_matter() -> None:
    text = "the quick brown fox jumps over the lazy dog\nand again it does"
    whole = WordWrap(24).push(text)
    wrap = WordWrap(24)
    assert "".join(wrap.push(char) for char in text) == whole


def test_a_long_word_is_cut_where_it_stands() -> None:
    assert screen(WordWrap(20).push("x" * 33)) == ["x" * 15, "x" * 15, "x" * 3]


def test_narrow_terminals_do_not_wrap() -> None:
    assert WordWrap(9).push("aaa bbb ccc ddd") == "aaa bbb ccc ddd"


@given(st.text(alphabet="ab \n", max_size=200), st.integers(10, 40))
def test_nothing_is_lost_and_no_line_is_too_long(text: str, columns: int) -> None:
    lines = screen(WordWrap(columns).push(text))
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(len(line) <= columns - 5 for line in lines)


def test_statistics_leave_out_what_is_zero() -> None:
    answer = {
        "total_duration": 5043500667,
        "load_duration": 5025959,
        "prompt_eval_count": 26,
        "prompt_eval_duration": 325953000,
        "eval_count": 290,
        "eval_duration": 4709213000,
    }
    assert summary(answer) == (
        "total duration:       5.043500667s\n"
        "load duration:        5.025959ms\n"
        "prompt eval count:    26 token(s)\n"
        "prompt eval duration: 325.953ms\n"
        "prompt eval rate:     79.77 tokens/s\n"
        "eval count:           290 token(s)\n"
        "eval duration:        4.709213s\n"
        "eval rate:            61.58 tokens/s\n"
    )
    assert summary({"total_duration": 1, "eval_count": 0}) == "total duration:       1ns\n"
