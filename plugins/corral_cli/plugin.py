"""The plugin: Ollama's commands, in its order."""

import argparse
from collections.abc import Iterable

from corral import Command, Settings, hookimpl
from corral_cli import hookspecs
from corral_cli.about import Account, Help, Version
from corral_cli.arguments import Parser
from corral_cli.bench import Bench
from corral_cli.command import Alias
from corral_cli.create import Create
from corral_cli.doctor import Doctor
from corral_cli.models import Copy, ListLoaded, ListModels, Remove, Show, Stop
from corral_cli.run import Run
from corral_cli.serve import Serve
from corral_cli.transfers import Pull, Push


class Plugin:
    """Commands only; see README.md."""

    class Config(Settings, frozen=True):
        """No settings: what concerns the server is `[kernel]`."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @hookimpl
    def corral_hookspecs(self) -> Iterable[type]:
        """`corral_command_parser`, `corral_checks`."""
        yield hookspecs.Hooks

    @hookimpl(trylast=True)
    def corral_command_parser(self) -> type[argparse.ArgumentParser]:
        """The reference's grammar and its words for mistakes."""
        return Parser

    @hookimpl
    def corral_commands(self) -> Iterable[Command]:
        """Every command; aliases come last and are not listed."""
        serve, models, signin, signout = Serve(), ListModels(), Account("signin"), Account("signout")
        yield serve
        yield Create()
        yield Show()
        yield Run()
        yield Stop()
        yield Pull()
        yield Push()
        yield signin
        yield signout
        yield models
        yield ListLoaded()
        yield Copy()
        yield Remove()
        yield Bench()
        yield Doctor()
        yield Version()
        yield Help()
        yield Alias("start", serve)
        yield Alias("ls", models)
        yield Alias("login", signin)
        yield Alias("logout", signout)
