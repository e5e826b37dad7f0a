"""No arrow climbs and no import goes round, between rooms and inside them."""

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.architecture.source import imports, modules
from tools.rules import ROOT

# The floors inside `oauth`, from the ground up; a module may import from its own floor and from those below.
FLOORS: dict[str, tuple[str, ...]] = {
    "nouns": (
        "authority",
        "details",
        "delegation",
        "approval",
        "client",
        "binding",
        "grant",
        "login",
        "authentication",
    ),
    "engines": (
        "asking",
        "tokens",
        "dpop",
        "assertion",
        "asked",
        "challenge",
        "standing",
        "statuses",
        "mandates",
        "families",
        "client_secret",
        "certificate",
        "nonces",
        "throttle",
        "device",
        "backchannel_logout",
        "reading",
        "client_document",
        "redirects",
        "offers",
        "request_object",
        "requested",
        "registering",
        "newcomers",
        "fapi2",
    ),
    "tables": ("grants", "client_auth", "clients", "server"),
    "doors": (
        "end_session",
        "upstream",
        "begun",
        "authorize",
        "token_endpoint",
        "token_status",
        "registration",
        "metadata",
        "caller",
        "userinfo",
    ),
}
_HEIGHT = {name: height for height, names in enumerate(FLOORS.values()) for name in names}


def _graph() -> dict[str, set[str]]:
    names = frozenset(module.name for module in modules())
    return {module.name: set(imports(module, names)) - {module.name} for module in modules()}


def test_the_contracts_between_rooms_hold() -> None:
    """They stand in pyproject.toml, and import-linter reads them."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_no_import_goes_round() -> None:
    try:
        TopologicalSorter(_graph()).prepare()
    except CycleError as circle:
        # graphlib names them from the imported to the importing
        raise AssertionError("imports go round: " + " <- ".join(circle.args[1])) from None


def test_each_module_of_oauth_has_its_floor() -> None:
    there = {name.split(".")[1] for name in _graph() if name.startswith("oauth.")}
    assert there <= _HEIGHT.keys(), f"give a floor in FLOORS to: {sorted(there - _HEIGHT.keys())}"


def test_no_import_inside_oauth_climbs() -> None:
    climbing = [
        f"{here} imports {there}"
        for here, targets in sorted(_graph().items())
        for there in sorted(targets)
        if here.startswith("oauth.") and there.startswith("oauth.") and _height(there) > _height(here)
    ]
    assert not climbing, "\n  ".join(["the floors are " + " < ".join(FLOORS), *climbing])


def test_a_row_does_not_know_its_table() -> None:
    """Rows are listed by the package beside them; a row that reads the list goes round."""
    packages = {module.name for module in modules() if module.is_package and module.name.startswith("oauth.")}
    knowing = [
        f"{here} imports {up}"
        for here, targets in _graph().items()
        if (up := here.rpartition(".")[0]) in targets & packages
    ]
    assert not knowing, knowing


def _height(name: str) -> int:
    return _HEIGHT.get(name.split(".")[1], 0)
