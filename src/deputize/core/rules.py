"""A MUST is an object: cited where it is enforced, named where it is proven, listed in the docs."""

from dataclasses import dataclass
from typing import Any, NoReturn


@dataclass(frozen=True, slots=True)
class Rule:
    """One sentence of a specification, written as what is true.

    `spec` and `section` say where it comes from (a draft is cited by its section's title); `says` goes out
    as `error_description` when the rule is broken.
    """

    spec: str
    section: str
    says: str

    def refuse(self, error: str, /, *, params: tuple[tuple[str, str], ...] = (), **found: object) -> NoReturn:
        """Say no: `error` is a registered code; `found` stays in the audit log."""
        raise Refusal(error, self, params=params, **found)


class Refusal(Exception):
    """The peer may not. Expected, answered with a 4xx, never logged as an error.

    `error` is a registered error code, `rule` the sentence that goes out with it, `found` what the audit log
    may know. `params` are further members that the error's own specification puts into the answer (RFC 9470's
    `acr_values`, a DPoP nonce): public by definition.
    """

    def __init__(self, error: str, rule: Rule, /, *, params: tuple[tuple[str, str], ...] = (), **found: object) -> None:
        super().__init__(error, rule.says)
        self.error = error
        self.rule = rule
        self.params = params
        self.found: dict[str, Any] = found


class Fault(Exception):
    """We cannot: a 5xx that tells the peer nothing. `retry` says whether the same request may succeed later."""

    def __init__(self, what: str, *, retry: bool = False) -> None:
        super().__init__(what)
        self.retry = retry
