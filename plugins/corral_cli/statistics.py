"""The statistics of an answer, as `--verbose` prints them."""

from corral import JSONObject
from corral_cli.formatting import go_duration


def summary(answer: JSONObject) -> str:
    """One line a figure of an answer's last object; figures that are zero are left out."""
    rows: list[tuple[str, str]] = []

    def duration(name: str, label: str, counted: str = "") -> None:
        nanoseconds = int(answer.get(name) or 0)
        if nanoseconds > 0:
            rows.append((f"{label} duration:", go_duration(nanoseconds)))
            if counted:
                rate = int(answer.get(counted) or 0) / (nanoseconds / 1e9)
                rows.append((f"{label} rate:", f"{rate:.2f} tokens/s"))

    def tokens(name: str, label: str) -> None:
        if answer.get(name):
            rows.append((f"{label} count:", f"{answer[name]} token(s)"))

    duration("total_duration", "total")
    duration("load_duration", "load")
    tokens("prompt_eval_count", "prompt eval")
    duration("prompt_eval_duration", "prompt eval", "prompt_eval_count")
    tokens("eval_count", "eval")
    duration("eval_duration", "eval", "eval_count")
    return "".join(f"{label:<22}{text}\n" for label, text in rows)
