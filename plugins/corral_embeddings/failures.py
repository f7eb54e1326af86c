"""What was wrong with single inputs of a request: told by index, or raised for the first of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from corral import BadRequest


class Failures:
    """`messages` by index when they are `kept`; else the first one is raised, naming its input among several."""

    def __init__(self, n_inputs: int, *, kept: bool) -> None:
        self.n_inputs, self.kept = n_inputs, kept
        self.messages: dict[int, str] = {}

    @contextmanager
    def of(self, index: int) -> Iterator[None]:
        """What is done with the input `index`; a BadRequest in here is that input's."""
        try:
            yield
        except BadRequest as err:
            if self.kept:
                self.messages[index] = err.message
            elif self.n_inputs == 1:
                raise
            else:
                raise type(err)(f"input[{index}]: {err.message}", code=err.code) from err
