"""Typer, as far as the command line needs it: one command or group made ready to run, and the errors of a bad line."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import typer
import typer.main
from typer.exceptions import TyperException as BadLine

if TYPE_CHECKING:
    from healtharchive.cli.main import Command

__all__ = ["NUMBER_MAX", "BadLine", "group", "load"]

NUMBER_MAX = 2**63 - 1  # what both databases can compare a number with


def group(help_text: str) -> typer.Typer:
    """A group of commands, such as `job`."""
    return typer.Typer(help=help_text, add_completion=False, rich_markup_mode=None)


def load(command: Command) -> Any:
    """Import what `command` names and make it runnable."""
    module_name, _, attribute = command.target.partition(":")
    found = getattr(importlib.import_module(f"healtharchive.cli.{module_name}"), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(command.name)(found)
    return typer.main.get_command(app)
