"""The settings as they are defined: `python -m tests.settings_table` writes them where they are repeated.

That is the tables in docs/settings.md and docs/django.md, and the names and types in `SettingsValues`.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import tests.django_site  # noqa: F401 - sets Django up
from passerby.django.conf import DjangoSettings
from passerby.settings.env import variable_of
from passerby.settings.setting import Seconds, types_of
from passerby.settings.settings import Settings

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {DOCS / "settings.md": Settings, DOCS / "django.md": DjangoSettings}
SOURCE = Path(inspect.getfile(Settings))
COMMAND = "python -m tests.settings_table"
DAY = 86_400

_table = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.DOTALL)
_names = re.compile(rf"(?<=    # Written by `{COMMAND}`\.\n).*?(?=\n\n\n)", re.DOTALL)


class Definition(NamedTuple):
    """A setting as it stands in the source."""

    name: str
    annotation: str
    words: str


def definitions(settings: type) -> Iterator[Definition]:
    """Yield the settings of a class in their order: each field is followed by a text that says what it does."""
    source = Path(inspect.getfile(settings)).read_text(encoding="utf-8")
    named = (one for one in ast.parse(source).body if isinstance(one, ast.ClassDef) and one.name == settings.__name__)
    (found,) = named
    for one, following in zip(found.body, [*found.body[1:], None], strict=True):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            annotation = ast.get_source_segment(source, one.annotation)
            yield Definition(one.target.id, str(annotation), words_of(following))


def words_of(statement: ast.stmt | None) -> str:
    """Return the text that a statement is, on one line; nothing if it is no text."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return " ".join(inspect.cleandoc(str(statement.value.value)).split())
    return ""


def table(settings: Any) -> str:
    """Return the table of a class of settings; those for Django alone are not read from the environment."""
    defaults = {one.name: one.default for one in fields(settings)}
    kinds = types_of(settings)
    heading = ["setting", "type", "default", "environment variable", "what it does"]
    rows = [heading, ["---"] * len(heading)]
    for name, _, words in definitions(settings):
        kind = kinds[name]
        is_time = isinstance(kind, Seconds) or name == "cookie_max_age"
        variable = "none" if kind.read is None else f"`{variable_of(name)}`"
        rows.append([f"`{name}`", kind.words, written(defaults[name], is_time=is_time), variable, words])
    if settings is not Settings:
        rows = [[*row[:3], *row[4:]] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def written(default: object, *, is_time: bool) -> str:
    """Write a default for the table."""
    if default is None or default == ():
        return "none"
    if isinstance(default, tuple):
        return ", ".join(f"`{one}`" for one in default)
    if isinstance(default, str):
        return f'`"{default}"`'
    if isinstance(default, bool) or not isinstance(default, int | float):
        return f"`{default}`"
    number = int(default) if default == int(default) else default
    return f"{number:,} ({default / DAY:g} days)" if is_time and default >= DAY else f"{number:,}"


def page_as_written(page: Path) -> str:
    """Return a page with the table that it should have."""
    return _table.sub(lambda found: table(PAGES[page]), page.read_text(encoding="utf-8"))


def source_as_written() -> str:
    """Return the source with the names that it should have."""
    names = "\n".join(f"    {one.name}: {one.annotation}" for one in definitions(Settings))
    return _names.sub(lambda found: names, SOURCE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(page_as_written(page), encoding="utf-8")
    SOURCE.write_text(source_as_written(), encoding="utf-8")
