"""Does what lies in a database fit this program: forward only, and never more than a step apart."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from deputize.core.rules import Fault

# A step only ever adds, so that the program of the step before goes on beside this one. What steps there are:
#   1  the store's own books, and a table a kind
VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What was found in a database: its step (None: it was never migrated), and what this program misses there."""

    version: int | None
    missing: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    @property
    def trouble(self) -> str | None:
        """Why this program does not run on it; None if it does."""
        if self.version is None:
            return "there is no schema yet: run `deputize db migrate`"
        if self.version > VERSION + 1:
            return (
                f"the database is at step {self.version} and this program knows step {VERSION}:"
                " it has to be a newer Deputize"
            )
        if self.version < VERSION:
            return f"the database is at step {self.version} and this program is at {VERSION}: run `deputize db migrate`"
        if self.missing:
            return f"the database lacks {_listed(self.missing)}: run `deputize db migrate`"
        return None

    def check(self) -> None:
        """Raises Fault if this program does not run on it."""
        if self.trouble:
            raise Fault(f"the store does not fit: {self.trouble}")


def _listed(names: Iterable[str]) -> str:
    several = list(names)
    return ", ".join(several[:5]) + (f" and {len(several) - 5} more" if len(several) > 5 else "")
