"""From a typed request to the pieces of an answer: options, messages, prompt, context policy, detokenizing, parsing.

What is rendered and what is cut follows https://github.com/ollama/ollama/blob/main/docs/api.md.  The kernel reaches it
as `service("corral_generation")`, between the interceptors and the runner; `options` is published for other plugins.
"""

from corral import Generation, hookspec


class GenerationHooks:
    """The hook this plugin publishes."""

    @hookspec(firstresult=True)
    def corral_generation(self) -> Generation | None:
        """The one generation; called by the pipeline on the event loop, once a request."""


__all__ = ["GenerationHooks"]
