"""`corral run`: one answer, a conversation, or an embedding, by what the model is and where input and output are."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from corral import CorralError, JSONObject, Think
from corral_cli.command import ClientCommand
from corral_cli.flags import RUN_VARIABLES, describe, switch

if TYPE_CHECKING:
    from corral_cli.client import Client
    from corral_cli.session import Session

_LEVELS = ("high", "medium", "low", "max")


class Run(ClientCommand):
    """`corral run MODEL [PROMPT…]`."""

    name, help = "run", "Run a model"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """A model and the words of a prompt."""
        describe(parser, self.help, RUN_VARIABLES)
        parser.add_argument("model", metavar="MODEL")
        parser.add_argument("prompt", nargs="*", metavar="PROMPT")
        parser.add_argument("--format", default="", help="json, or a JSON schema, that the answer must match")
        parser.add_argument("--keepalive", metavar="DURATION", help="how long the model stays loaded (e.g. 5m)")
        parser.add_argument(
            "--think", nargs="?", const="true", metavar="LEVEL", help="true, false, high, medium, low or max"
        )
        switch(parser, "--hidethinking", help="do not print the model's thinking")
        switch(parser, "--verbose", help="print statistics after each answer")
        switch(parser, "--nowordwrap", help="do not move words to the next line")
        switch(parser, "--insecure", help="allow a registry without TLS for the pull of a missing model")
        switch(parser, "--truncate", default=None, help="embeddings: cut inputs that are too long")
        parser.add_argument("--dimensions", type=int, default=0, metavar="N", help="embeddings: length of the vector")

    async def talk(self, client: "Client", args: argparse.Namespace) -> None:
        """Pull what is missing, then answer in the mode that fits."""
        from corral_cli.session import Session, show_or_pull

        session = Session(
            model=args.model,
            format=args.format,
            think=think_value(args.think),
            keep_alive=keep_alive(args.keepalive),
            verbose=args.verbose,
            word_wrap=not args.nowordwrap,
            hide_thinking=args.hidethinking,
        )
        prompt, interactive = read_prompt(args.prompt)
        session.adopt(args.model, await show_or_pull(client, args.model, insecure=args.insecure))
        if session.think is None and "thinking" in session.capabilities:
            session.think = True
        if "image" in session.capabilities:
            raise CorralError("image generation models are not currently supported")
        if "embedding" in session.capabilities:
            await embed(client, session, prompt, args.truncate, args.dimensions)
        elif interactive:
            from corral_cli.repl.loop import converse

            await converse(client, session)
        else:
            await answer_once(client, session, prompt)


def read_prompt(words: list[str]) -> tuple[str, bool]:
    """The prompt (what is piped in, then the words), and whether to ask for one on the terminal instead."""
    piped = sys.stdin is not None and not sys.stdin.isatty()
    parts = list(words)
    if piped and (text := sys.stdin.read()):
        parts.insert(0, text)
    return " ".join(parts), not piped and not parts and sys.stdout.isatty()


def think_value(text: str | None) -> Think | None:
    """The value of `--think`.  Raises CorralError."""
    if text in (None, ""):
        return None
    if text in ("true", "false"):
        return text == "true"
    if text in _LEVELS:
        return text
    raise CorralError(f'invalid value for --think: "{text}" (must be true, false, high, medium, low, or max)')


def keep_alive(text: str | None) -> str | None:
    """The value of `--keepalive`, checked.  Raises CorralError."""
    from corral_http.durations import parse_duration

    try:
        if text is not None:
            parse_duration(text)
    except ValueError as err:
        raise CorralError(str(err)) from err
    return text


async def answer_once(client: "Client", session: "Session", prompt: str) -> None:
    """One completion; an empty prompt loads the model and prints nothing.  Ctrl+C ends it without an error."""
    from corral_cli.answers import answer
    from corral_cli.interrupt import unless_interrupted

    body: JSONObject = session.request(prompt=prompt)
    if session.takes_files:
        body |= attached(prompt)

    async def work() -> None:
        await answer(client, "/api/generate", body, session)

    if not await unless_interrupted(work()):
        print(flush=True)


def attached(prompt: str) -> JSONObject:
    """`prompt` and `images`: the files that the prompt names are taken out of it.  Raises CorralError."""
    from corral_cli.attachments import extract

    try:
        found = extract(prompt)
    except CorralError as err:
        print(f'Couldn\'t process file: "{err.message}"')
        raise
    return {"prompt": found.text, "images": list(found.images)}


async def embed(client: "Client", session: "Session", text: str, truncate: bool | None, dimensions: int) -> None:
    """Print the vector of `text` as one line of JSON."""
    from corral_cli.answers import waiting

    if not text:
        raise CorralError('embedding models require input text. Usage: corral run MODEL "your text here"')
    body: JSONObject = {"model": session.model, "input": text}
    if truncate is not None:
        body["truncate"] = truncate
    if dimensions > 0:
        body["dimensions"] = dimensions
    if session.keep_alive is not None:
        body["keep_alive"] = session.keep_alive
    with waiting(client.busy):
        vectors = (await client.post("/api/embed", body)).get("embeddings") or [[]]
    print(json.dumps(vectors[0], separators=(",", ":")))
