"""From logits to a token: the chain of samplers of one sequence.

The order is bias, penalties, DRY, top-n-sigma, top-k, typical, top-p, min-p, XTC, temperature, draw; truncation comes
before the temperature.  With mirostat: bias, temperature, mirostat.  `Options.samplers` gives another order, and may
name adaptive-p, which then draws.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from corral import BadRequest, CorralError, Options
from corral_engine import penalties, truncation
from corral_engine.adaptive import AdaptiveP
from corral_engine.candidates import HIGHEST, Candidates, largest
from corral_engine.mirostat import Mirostat
from corral_engine.program import Float32
from corral_engine.randomness import Random, actual_seed

ORDER = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")
_KEEP_THE_BEST = frozenset({"top_n_sigma", "top_k", "top_p", "min_p"})
_SMALLEST = float(np.finfo(np.float32).tiny)  # temperature: one over less than that is more than float32 holds
_MAX_TOKEN_ID = 2**31 - 1
ADAPTIVE = "adaptive_p"
_ALIASES = {"typical_p": "typ_p", "typical": "typ_p", "top-k": "top_k", "top-p": "top_p", "min-p": "min_p"} | dict(
    zip("edskypmxta", (*ORDER, ADAPTIVE), strict=True)
)


def check_options(options: Options) -> None:
    """Raises BadRequest naming the first option that cannot be used."""
    for name in _FINITE:
        if not abs(getattr(options, name)) <= HIGHEST:  # also true of NaN
            raise BadRequest(f'option "{name}" must be a number that float32 can hold')
    if np.float32(options.repeat_penalty) <= 0:
        raise BadRequest('option "repeat_penalty" must be above 0')
    if options.mirostat not in (0, 1, 2):
        raise BadRequest('option "mirostat" must be 0, 1 or 2')
    for name in ("dry_allowed_length", "dynatemp_exponent"):
        if getattr(options, name) < 0:
            raise BadRequest(f'option "{name}" must not be negative')
    for token, bias in options.logit_bias.items():
        if not isinstance(token, int) or not 0 <= token <= _MAX_TOKEN_ID:
            raise BadRequest(f'option "logit_bias": {token!r} is no token id')
        if bias != -math.inf and not abs(bias) <= HIGHEST:
            raise BadRequest('option "logit_bias" must hold numbers that float32 can hold, or -inf to forbid a token')


_FINITE = (
    "temperature", "top_p", "min_p", "typical_p", "top_n_sigma", "repeat_penalty", "presence_penalty",
    "frequency_penalty", "mirostat_tau", "mirostat_eta", "dynatemp_range", "dynatemp_exponent", "xtc_probability",
    "xtc_threshold", "dry_multiplier", "dry_base", "adaptive_target", "adaptive_decay",
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
        bias: dict[int | str, float] = {**options.logit_bias, **dict.fromkeys(forbidden, -math.inf)}
        self._biased = np.fromiter(bias, np.intp, len(bias))
        self._biases = np.fromiter(bias.values(), np.float64, len(bias))
        self._mirostat = (
            Mirostat(options.mirostat, options.mirostat_tau, options.mirostat_eta) if options.mirostat else None
        )
        self._breakers: penalties.Breakers = {}
        if penalties.has_dry(options) and find_breakers is not None:
            self._breakers = find_breakers(options.dry_sequence_breakers)
        named = [_ALIASES.get(name, name) for name in options.samplers]
        self._order = self._active_steps(named)
        self._adaptive: AdaptiveP | None = None
        if ADAPTIVE in named and options.adaptive_target >= 0 and not options.mirostat:
            self._adaptive = AdaptiveP(options.adaptive_target, options.adaptive_decay)
        self._min_keep = max(options.min_keep, 0)
        self._greedy = self._greedy_steps()

    def _active_steps(self, named: Sequence[str]) -> tuple[str, ...]:
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

    def _greedy_steps(self) -> tuple[str, ...] | None:
        """What happens before the first maximum is taken; None where the choice is not as simple as that."""
        if self.options.temperature >= _SMALLEST:
            return None
        if self._mirostat is not None:
            return ()
        if self.options.dynatemp_range > 0 or "temperature" not in self._order:
            return None
        before = self._order[: self._order.index("temperature")]
        n = next((i for i, step in enumerate(before) if step not in ("penalties", "dry")), len(before))
        return before[:n] if _KEEP_THE_BEST.issuperset(before[n:]) else None

    def sample(self, logits: Float32, history: Sequence[int]) -> int:
        """The next token for `logits` (V,) after `history` (prompt included).  `logits` is not written.

        Raises CorralError when the logits are not numbers: the model is broken, or its weights are.
        """
        best = float(logits.max())
        if not math.isfinite(best):
            raise CorralError("the model produced logits that are not finite numbers: its weights may be damaged")
        if self._greedy is not None:
            return self._sample_greedy(logits, history, self._greedy)
        candidates = self._start(logits)
        if self._mirostat is not None:
            return self._sample_mirostat(candidates, self._mirostat, len(logits))
        for step in self._order:
            self._apply(step, candidates, history)
        if self._adaptive is not None:
            return self._sample_adaptive(candidates, self._adaptive, history)
        return int(candidates.ids[self._draw(candidates)])

    def _start(self, logits: Float32) -> Candidates:
        """All tokens, or at once the k best when top-k is the first thing to happen."""
        top_k_first = self._mirostat is None and self._order[:1] == ("top_k",)
        if top_k_first and not len(self._biased):
            return largest(logits, self.options.top_k)
        candidates = self._everything(logits)
        if top_k_first:
            self._top_k(candidates)
        return candidates

    def _everything(self, logits: Float32) -> Candidates:
        """A copy of the whole vocabulary, with the bias."""
        candidates = Candidates.whole(logits.copy())
        if len(self._biased):
            penalties.add_bias(candidates, self._biased, self._biases)
            if candidates.best == -math.inf:
                raise BadRequest("logit_bias, or ignore_eos, forbids every token that could come next")
        return candidates

    def _sample_greedy(self, logits: Float32, history: Sequence[int], steps: tuple[str, ...]) -> int:
        if not steps and not len(self._biased):
            return int(logits.argmax())
        candidates = self._everything(logits)
        for step in steps:
            self._apply(step, candidates, history)
        return int(candidates.logits.argmax())

    def _sample_mirostat(self, candidates: Candidates, mirostat: Mirostat, vocab_size: int) -> int:
        _cool(candidates, self.options.temperature)
        mirostat.truncate(candidates, vocab_size)
        probabilities = candidates.probabilities()
        place = self._draw(candidates)
        mirostat.accept(float(probabilities[place]))
        return int(candidates.ids[place])

    def _sample_adaptive(self, candidates: Candidates, adaptive: AdaptiveP, history: Sequence[int]) -> int:
        adaptive.learn(history)
        probabilities = candidates.probabilities()
        adaptive.reshape(candidates, probabilities)
        place = self._draw(candidates)
        token = int(candidates.ids[place])
        adaptive.drawn(token, float(probabilities[place]), history)
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
            temperature = low + (high - low) * min(max(entropy, 0.0), 1.0) ** options.dynatemp_exponent
        _cool(candidates, temperature)

    def _draw(self, candidates: Candidates) -> int:
        """The place of the one that was drawn."""
        with np.errstate(invalid="ignore"):  # of no token that can be drawn; it is told below
            cumulative = candidates.probabilities().cumsum()
        total = float(cumulative[-1])
        if not 0 < total < math.inf:
            raise CorralError("the samplers left no token that can be drawn: this is a defect of the engine")
        index = int(cumulative.searchsorted(self._random.uniform() * total))
        return min(index, len(candidates) - 1)


def _cool(candidates: Candidates, temperature: float) -> None:
    """Divide by the temperature.  At 0, or what float32 cannot divide by, the first maximum alone stays."""
    if temperature < _SMALLEST:
        first = int(candidates.logits.argmax())
        candidates.keep(slice(first, first + 1))
        return
    best, logits = candidates.best, candidates.logits
    with np.errstate(over="ignore"):  # only those that are hopeless come to be -inf
        if abs(best) / temperature > HIGHEST / 2:
            logits = logits - np.float32(best)
        candidates.logits = logits / np.float32(min(temperature, HIGHEST))
