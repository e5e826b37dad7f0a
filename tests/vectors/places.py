"""Where the vectors of others lie: beside the repository, or where DEPUTIZE_VECTORS says."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").exists())
VECTORS = Path(os.environ.get("DEPUTIZE_VECTORS") or ROOT.parent / "shared" / "vectors")
FIXTURES = Path(__file__).parent / "fixtures"

Case = Any
Test = Callable[..., None]


def load(path: Path) -> Any:  # a file of others: any JSON
    """Read a file of vectors as its publisher meant it; ours is the strict reader, and not needed here."""
    return json.loads(path.read_text(encoding="utf-8"))


def each(folder: str, cases: Callable[[Path], Iterable[tuple[str, Case]]]) -> Callable[[Test], Test]:
    """Run a test with each case of a folder of vectors, as (id, case); say so out loud where they are absent."""
    place = VECTORS / folder
    if not place.is_dir():
        absent = pytest.mark.skip(
            reason=f"no vectors in ../shared/vectors/{folder}; DEPUTIZE_VECTORS names another place"
        )
        return pytest.mark.parametrize("case", [pytest.param(None, id="absent", marks=absent)])
    found = [pytest.param(case, id=name) for name, case in cases(place)]
    assert found, f"no case in {folder}"
    return pytest.mark.parametrize("case", found)
