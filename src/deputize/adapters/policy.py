"""The operator's own rules as a table of denials. What no row denies is allowed: the protocol has let it through."""

from dataclasses import dataclass

from deputize.core.ports import Question, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Denies what fits all that it states; what it leaves out fits anything. `name` is told as the reason.

    `audience` and `scope` fit where the question names any of theirs.
    """

    name: str
    does: str = ""
    client: str = ""
    person: str = ""
    audience: frozenset[str] = frozenset()
    scope: frozenset[str] = frozenset()

    def fits(self, question: Question) -> bool:
        return (
            self.does in {"", question.does}
            and self.client in {"", question.client}
            and self.person in {"", question.person}
            and (not self.audience or not self.audience.isdisjoint(question.audience))
            and (not self.scope or not self.scope.isdisjoint(question.scope))
        )


@dataclass(frozen=True, slots=True)
class SettingsPolicy:
    """The first denial that fits decides."""

    denials: tuple[Denial, ...] = ()

    async def may(self, question: Question) -> Verdict:
        for denial in self.denials:
            if denial.fits(question):
                return Verdict(allowed=False, because=denial.name)
        return Verdict(allowed=True, because="default")
