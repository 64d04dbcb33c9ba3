"""`import passerby` costs an app nothing but the import: no effects, no library it did not ask for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from itertools import chain

import pytest

from tests.imports import SOURCE, read_imports

# Whatever starts, opens or resolves something tells the interpreter's audit hooks of it.
WATCHED_IMPORT = """
import json, sys

effects = []
watched = ("socket.", "_thread.start", "subprocess.", "os.fork", "os.exec", "os.posix_spawn", "os.system")

def watch(event, arguments):
    if event.startswith(watched):
        effects.append(event)

sys.addaudithook(watch)
import {modules}
print(json.dumps({{"effects": effects, "modules": sorted(sys.modules)}}))
"""
CORE = "httpx, itsdangerous, starlette.requests, starlette.responses"
FOR_THOSE_WHO_ASK = {
    "sqlite3",
    *(
        f"passerby.{name}"
        for name in ("asgi", "cli", "collector", "demo", "django", "fastapi", "flask", "testing", "wsgi")
    ),
}


def watch_import(modules: str) -> tuple[list[str], set[str]]:
    """Import in a fresh interpreter; return what that started or opened, and all modules that are loaded."""
    command = [sys.executable, "-c", WATCHED_IMPORT.format(modules=modules)]
    # Under coverage the new interpreter would be measured too, which loads modules of its own.
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    run = subprocess.run(command, env=unmeasured, capture_output=True, text=True, timeout=60, check=True)
    seen = json.loads(run.stdout)
    return seen["effects"], set(seen["modules"])


def test_import_starts_no_thread_and_opens_no_socket() -> None:
    effects, _ = watch_import("passerby")

    assert not effects, f"{effects} during `import passerby`: do that when the first event comes"


def test_import_loads_only_core_libraries() -> None:
    _, loaded = watch_import("passerby")
    _, loaded_by_core = watch_import(CORE)
    libraries = {name.partition(".")[0] for name in loaded - loaded_by_core}
    # orjson is used where it is installed; h11 comes with httpx, which loads it for its first transport.
    optional = libraries & metadata.packages_distributions().keys() - {"passerby", "orjson", "h11"}

    assert not optional, f"`import passerby` loads {sorted(optional)}: leave that to the module that needs it"


def test_import_loads_no_face_and_no_tool() -> None:
    _, loaded = watch_import("passerby")

    unasked = loaded & FOR_THOSE_WHO_ASK
    assert not unasked, f"`import passerby` loads {sorted(unasked)}: leave that to the app that asks for it"


@pytest.mark.parametrize("framework", ["django", "fastapi", "flask"])
def test_a_face_names_the_framework_that_is_missing(framework: str) -> None:
    code = f"import sys; sys.modules[{framework!r}] = None; import passerby.{framework}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert run.returncode == 1
    assert f'is not installed. Run: pip install "passerby[{framework}]"' in run.stderr


# What is imported and not declared, since what is declared asks for it, and from there on, by its own metadata.
BROUGHT = {"h11": "httpx", "click": "flask", "asgiref": "django"}


def requirements_of(distribution: str) -> set[str]:
    """All that is installed with a distribution, without its extras."""
    found: set[str] = set()
    waiting = [distribution]
    while waiting:
        for line in metadata.requires(waiting.pop()) or ():
            name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower()
            if "extra ==" not in line and name not in found and name in INSTALLED:
                found.add(name)
                waiting.append(name)
    return found


INSTALLED = {name.lower() for names in metadata.packages_distributions().values() for name in names}


def test_what_is_imported_is_declared_or_brought_by_what_is() -> None:
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in lines} | {"pytest"}  # for its plugin
    roots = {found.target.partition(".")[0] for found in read_imports()}
    others = roots - sys.stdlib_module_names - {"passerby", *declared}

    assert others <= BROUGHT.keys(), "declare these in pyproject.toml, or say in BROUGHT what brings them"
    for name in others:
        assert name in requirements_of(BROUGHT[name]), f"{BROUGHT[name]} does not bring {name} any more"


def test_without_h11_it_says_what_to_do() -> None:
    code = "import sys; sys.modules['h11'] = None; import passerby"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].endswith('Run: pip install "httpx<1" "h11>=0.14"')
