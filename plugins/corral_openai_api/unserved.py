"""Fields of the SDKs that Corral cannot serve: each is refused by its name, unless its value asks for nothing."""

from collections.abc import Iterable

from corral_http.unserved import Unserved, first_asked
from corral_openai_api.bodies import Body
from corral_openai_api.errors import unsupported


def refuse(body: Body, fields: Iterable[Unserved]) -> None:
    """Raises FieldError for the first field of these that asks for something."""
    if asked := first_asked(body, fields):
        raise unsupported(asked.path, asked.why)


_LIKE_TEXT = "no model here can be told how wordy to be; say it in the messages"

MODERATION = Unserved(path="moderation", why="nothing is moderated here", harmless=({},))
CHAT = (
    Unserved(path="audio", why="answers are text"),
    Unserved(path="functions", why="use tools", harmless=([],)),
    Unserved(path="function_call", why="use tool_choice", harmless=("none", "auto")),
    Unserved(path="web_search_options", why="nothing is searched here"),
    Unserved(path="verbosity", why=_LIKE_TEXT, harmless=("medium",)),
    MODERATION,
)
RESPONSES = (
    Unserved(path="background", why="a response is there when its request ends; stream it", harmless=(False,)),
    Unserved(path="background_options", why="a response is there when its request ends; stream it", harmless=({},)),
    Unserved(path="conversation", why="conversations are not kept; send the conversation in input"),
    Unserved(path="prompt", why="there are no stored prompts; send instructions and input"),
    Unserved(path="context_management", why="use truncation", harmless=([],)),
    Unserved(path="access_programs", why="there are none here", harmless=({},)),
    Unserved(path="image.context_compression", why="images are not compressed here", harmless=("auto", "disabled")),
    Unserved(path="prompt_cache_options.prewarm", why="a request here generates", harmless=(False,)),
    Unserved(path="prompt_cache_options.comparison_response_id", why="the cache is not diagnosed here"),
    Unserved(path="reasoning.mode", why="there is one mode here", harmless=("standard",)),
    Unserved(path="reasoning.context", why="the model's template decides it", harmless=("auto",)),
    Unserved(path="text.verbosity", why=_LIKE_TEXT, harmless=("medium",)),
    MODERATION,
)
