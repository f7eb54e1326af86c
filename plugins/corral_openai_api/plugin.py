"""The plugin "openai_api"."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from corral import CorralError, Handler, Middleware, Routes, Settings, hookimpl

if TYPE_CHECKING:
    from aiohttp import web

    from corral.kernel import Kernel


class OpenAISettings(Settings, frozen=True):
    """`max_body_bytes` bounds a body, packed or not; `max_choices` bounds `n`, `best_of` and prompts times `n`.

    `kept_responses`: so many responses are kept in memory, for `previous_response_id`; 0 keeps none.
    `skip_builtin_tools`: tools of responses that only OpenAI could run (web search …) are left out, not refused.
    """

    max_body_bytes: int = 256 << 20
    max_choices: int = 128
    kept_responses: int = 256
    skip_builtin_tools: bool = False


class Plugin:
    """Offers the dialect "openai"."""

    Config = OpenAISettings

    def __init__(self, config: OpenAISettings) -> None:
        self.config = config

    @hookimpl
    def corral_routes(self) -> Iterable[Routes]:
        """The routes below /v1 that OpenAI's clients call."""
        yield OpenAIRoutes(self.config)

    @hookimpl(tryfirst=True)
    def corral_middlewares(self) -> Iterable[Middleware]:
        """Outermost: another dialect may have told already what it does not serve."""
        yield Middleware(name="openai_nowhere", wrap=self.nowhere)

    async def nowhere(self, request: "web.Request", handler: Handler) -> "web.StreamResponse":
        """What is not served below /v1 is told in this dialect's shape."""
        from corral_http.nowhere import told
        from corral_openai_api.errors import error_body

        return await (told(request, handler, error_body) if request.path.startswith("/v1/") else handler(request))


class OpenAIRoutes:
    """The dialect "openai"."""

    name = "openai"

    def __init__(self, settings: OpenAISettings) -> None:
        self.settings = settings

    def table(self, kernel: "Kernel") -> "Sequence[web.RouteDef]":
        """All routes of the dialect."""
        from corral_openai_api.routes import table

        return table(self.settings)

    def render_error(self, error: CorralError, status: int) -> bytes:
        """{"error": {message, type, param, code}}."""
        from corral_openai_api.errors import error_body

        return error_body(error, status)
