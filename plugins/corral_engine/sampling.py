"""From logits to a token: the chain of samplers of one sequence.

The order is bias, penalties, DRY, top-n-sigma, top-k, typical, top-p, min-p, XTC, temperature, draw; truncation comes
before the temperature.  With mirostat: bias, temperature, mirostat.  `Options.samplers` gives another order.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from corral import BadRequest, CorralError, Options
from corral_engine import penalties, truncation
from corral_engine.candidates import Candidates, largest
from corral_engine.mirostat import Mirostat
from corral_engine.program import Float32
from corral_engine.randomness import Random, actual_seed

ORDER = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")
_ALIASES = {"typical_p": "typ_p", "typical": "typ_p", "top-k": "top_k", "top-p": "top_p", "min-p": "min_p"} | dict(
    zip("edskypmxt", ORDER, strict=True)
)


def check_options(options: Options) -> None:
    """Raises BadRequest naming the first option that cannot be used."""
    numbers = {name: getattr(options, name) for name in _FINITE}
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise BadRequest(f"option {name} must be a finite number")
    if options.repeat_penalty <= 0:
        raise BadRequest("option repeat_penalty must be above 0")
    if options.mirostat not in (0, 1, 2):
        raise BadRequest("option mirostat must be 0, 1 or 2")
    if options.dry_allowed_length < 0:
        raise BadRequest("option dry_allowed_length must not be negative")
    if any(math.isnan(bias) or bias == math.inf for bias in options.logit_bias.values()):
        raise BadRequest("option logit_bias must hold numbers, or -inf to forbid a token")


_FINITE = (
    "temperature", "top_p", "min_p", "typical_p", "top_n_sigma", "repeat_penalty", "presence_penalty",
    "frequency_penalty", "mirostat_tau", "mirostat_eta", "dynatemp_range", "dynatemp_exponent", "xtc_probability",
    "xtc_threshold", "dry_multiplier", "dry_base",
)  # fmt: skip


class Sampler:
    """Draws the tokens of one sequence.  Not shared: it holds the random stream and mirostat's state."""

    def __init__(
        self,
        options: Options,
        forbidden: Sequence[int] = (),
        find_breakers: Callable[[tuple[str, ...]], penalties.Breakers] | None = None,
    ) -> None:
        """`forbidden` tokens are never drawn (end-of-generation under `ignore_eos`).  Raises BadRequest."""
        check_options(options)
        self.options = options
        seed = actual_seed(options.seed)
        self._random, self._xtc_random = Random(seed), Random(seed)
        self._bias = {**options.logit_bias, **dict.fromkeys(forbidden, -math.inf)}
        self._mirostat = (
            Mirostat(options.mirostat, options.mirostat_tau, options.mirostat_eta) if options.mirostat else None
        )
        self._breakers: penalties.Breakers = {}
        if penalties.has_dry(options) and find_breakers is not None:
            self._breakers = find_breakers(options.dry_sequence_breakers)
        self._order = self._active_steps()
        self._min_keep = max(options.min_keep, 0)
        changed = bool(self._bias) or penalties.has_penalties(options) or penalties.has_dry(options)
        removes_best = (options.xtc_probability > 0 and options.xtc_threshold <= 0.5) or options.typical_p < 1
        self.greedy = options.temperature <= 0 and options.dynatemp_range <= 0 and not removes_best
        self._plain_greedy = self.greedy and not changed

    def _active_steps(self) -> tuple[str, ...]:
        named = [_ALIASES.get(name, name) for name in self.options.samplers]
        order = tuple(name for name in named if name in ORDER) if named else ORDER
        options = self.options
        idle = {
            "penalties": not penalties.has_penalties(options),
            "dry": not penalties.has_dry(options),
            "top_n_sigma": options.top_n_sigma <= 0,
            "top_k": options.top_k <= 0,
            "typ_p": options.typical_p >= 1,
            "top_p": options.top_p >= 1,
            "min_p": options.min_p <= 0,
            "xtc": options.xtc_probability <= 0 or options.xtc_threshold > truncation.XTC_MAX_THRESHOLD,
            "temperature": False,
        }
        return tuple(name for name in order if not idle[name])

    def sample(self, logits: Float32, history: Sequence[int]) -> int:
        """The next token for `logits` (V,) after `history` (prompt included).  `logits` is not written.

        Raises CorralError when the logits are not numbers: the model is broken, or its weights are.
        """
        best = float(logits.max())
        if not math.isfinite(best):
            raise CorralError("the model produced logits that are not finite numbers: its weights may be damaged")
        if self._plain_greedy:
            return int(logits.argmax())
        candidates = self._start(logits)
        if self._mirostat is not None:
            return self._sample_mirostat(candidates, self._mirostat, len(logits))
        if self.greedy:
            return self._sample_greedy(candidates, history)
        for step in self._order:
            self._apply(step, candidates, history)
        return self._draw(candidates)

    def _start(self, logits: Float32) -> Candidates:
        """All tokens, or at once the k best when top-k is the first thing to happen."""
        if not self._bias and self._order and self._order[0] == "top_k" and self._mirostat is None:
            return largest(logits, min(self.options.top_k, len(logits)))
        candidates = Candidates(np.arange(len(logits)), logits.astype(np.float32, copy=True))
        penalties.add_bias(candidates, self._bias)
        return candidates

    def _sample_greedy(self, candidates: Candidates, history: Sequence[int]) -> int:
        for step in ("penalties", "dry"):
            if step in self._order:
                self._apply(step, candidates, history)
        best = candidates.logits.max()
        return int(candidates.ids[candidates.logits == best].min())

    def _sample_mirostat(self, candidates: Candidates, mirostat: Mirostat, vocab_size: int) -> int:
        self._temperature(candidates)
        mirostat.truncate(candidates, vocab_size)
        probabilities = candidates.probabilities()
        token = self._draw(candidates)
        mirostat.accept(float(probabilities[np.flatnonzero(candidates.ids == token)[0]]))
        return token

    def _apply(self, step: str, candidates: Candidates, history: Sequence[int]) -> None:
        options, min_keep = self.options, self._min_keep
        match step:
            case "penalties":
                penalties.penalise(candidates, history, options)
            case "dry":
                penalties.dry(candidates, history, options, self._breakers)
            case "top_n_sigma":
                truncation.top_n_sigma(candidates, options.top_n_sigma)
            case "top_k":
                self._top_k(candidates)
            case "typ_p":
                truncation.typical(candidates, options.typical_p, min_keep)
            case "top_p":
                truncation.top_p(candidates, options.top_p, min_keep)
            case "min_p":
                truncation.min_p(candidates, options.min_p, min_keep)
            case "xtc":
                draw = self._xtc_random.uniform32()
                truncation.xtc(candidates, draw, options.xtc_probability, options.xtc_threshold, min_keep)
            case _:
                self._temperature(candidates)

    def _top_k(self, candidates: Candidates) -> None:
        k = min(self.options.top_k, len(candidates))
        candidates.keep_best(k)

    def _temperature(self, candidates: Candidates) -> None:
        options = self.options
        temperature = options.temperature
        if options.dynatemp_range > 0 and len(candidates) > 1:
            low, high = max(0.0, temperature - options.dynatemp_range), temperature + options.dynatemp_range
            probabilities = candidates.probabilities()
            positive = probabilities[probabilities > 0]
            entropy = float(-(positive * np.log(positive)).sum()) / math.log(len(candidates))
            temperature = low + (high - low) * entropy**options.dynatemp_exponent
        if temperature <= 0:
            best = int(candidates.logits.argmax())
            candidates.keep(slice(best, best + 1))
            return
        candidates.logits = candidates.logits / np.float32(temperature)

    def _draw(self, candidates: Candidates) -> int:
        cumulative = candidates.probabilities().cumsum()
        index = int(cumulative.searchsorted(self._random.uniform() * cumulative[-1]))
        return int(candidates.ids[min(index, len(candidates) - 1)])
