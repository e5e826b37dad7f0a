"""The story, told live: real processes on loopback, a database file, signatures; only Alice's thumb is scripted."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, TextIO, cast

import segno
from rich.console import Console
from rich.panel import Panel

from deputize.cli.errand import Errand
from deputize.cli.stage import PERSON_SECONDS, Act, Stage, answer_of, how, staged
from deputize.cli.thumb import Thumb
from deputize.cli.timeline import timeline
from deputize.core.rules import Fault

SENTENCE: Final = (
    "pharmacy-bot wants to order 30 × Ibuprofen 400 mg for €12.40 from Madrid Pharmacy, once, within 5 minutes."
)


class Story:
    """The acts. Each does what it tells, and says whether it went so."""

    def __init__(self, stage: Stage, thumb: Thumb | None, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.thumb = thumb
        self.say = say
        self.approval = ""

    def acts(self) -> Iterator[Act]:
        yield self.reads()
        yield self.orders()
        yield self.tries_more()
        yield self.taken_back()
        yield self.timeline()

    def _asked(self, bot: "subprocess.Popen[str]") -> tuple[str, dict[str, Any]]:
        """The person is asked, reads, allows; what the bot was answered then."""
        if self.thumb is None:
            self.say(f"Your turn: {self.stage.at('server')}/inbox")
            return "", answer_of(bot)
        ask = self.thumb.next_ask(seconds_max=20)
        sentence = self.thumb.read(ask)
        self.say(f"Alice reads: “{sentence}” and allows it.")
        self.thumb.answer(ask, allow=True)
        return sentence, answer_of(bot)

    def reads(self) -> Act:
        """Act 2: a mandate, given once, covers what the bot does every day."""
        _, first = self._asked(self.stage.bot("read"))
        begun = time.monotonic()
        again = answer_of(self.stage.bot("read"))
        took = round((time.monotonic() - begun) * 1000)
        count = len(again["body"].get("prescriptions", ()))
        told = (
            f"Her mandate covers it: the bot reads Alice's {count} prescriptions through the gateway, nobody is asked "
            f"again ({took} ms, the bot's start included), and it saw no token."
        )
        return Act(2, told, again["status"], first["status"] == again["status"] == 200 and count > 0)

    def orders(self) -> Act:
        """Act 3: a risky call is asked about, in words made from the call itself."""
        sentence, answer = self._asked(self.stage.bot("order", "30"))
        self.approval = answer["approval"] or ""
        told = (
            f"The API wanted Alice's word for this one call; she read “{sentence or SENTENCE}”; the order went through."
        )
        right = answer["status"] == 201 and bool(self.approval) and sentence in {"", SENTENCE}
        return Act(3, told, answer["status"], right)

    def tries_more(self) -> Act:
        """Act 4: more than was approved, again, or by another."""
        more = answer_of(self.stage.bot("order", "300", self.approval))
        twice = answer_of(self.stage.bot("order", "30", self.approval))
        other = answer_of(self.stage.bot("order", "30", self.approval, name="delivery-bot"))
        told = f"The same approval with 300 → {how(more)}; twice → {how(twice)}; by another agent → {how(other)}."
        refused = all(400 <= answer["status"] < 500 for answer in (more, twice, other))
        return Act(4, told, more["status"], refused)

    def taken_back(self) -> Act:
        """Act 7: what was given is taken back, and ends everywhere."""
        if self.thumb is None:
            self.say(f"Now take it back: {self.stage.at('server')}/agents")
            answer = self._until_refused()
            return Act(7, f"You took the mandate back; the bot's next call → {how(answer)}.", answer["status"], ok=True)
        watching = self.stage.bot("watch")
        time.sleep(1)  # it is reading by now, again and again
        reading = watching.poll() is None
        self.thumb.take_back("pharmacy-bot")
        begun = time.monotonic()
        answer = answer_of(watching)
        took = time.monotonic() - begun
        told = f"Alice takes the mandate back while the bot reads; next → {how(answer)}, {round(took * 1000)} ms later."
        return Act(7, told, answer["status"], reading and answer["status"] == 403 and took < 1)

    def _until_refused(self) -> dict[str, Any]:
        end = time.monotonic() + PERSON_SECONDS
        while time.monotonic() < end:
            answer = answer_of(self.stage.bot("read"))
            if answer["status"] == 403:
                return answer
            time.sleep(1)
        raise Fault("nothing was taken back")

    def timeline(self) -> Act:
        """Act 8: who, for whom, what, why."""
        lines = timeline(self.stage.folder / "var")
        for line in lines:
            self.say(line)
        wanted = ("ask opened", "ask allowed", "ask collected", "standing taken back")
        told = f"{len(lines)} events tell who did what for whom, and why it was allowed or refused."
        return Act(8, told, 200, all(any(word in line for line in lines) for word in wanted))


class Tale(Protocol):
    """A story: its acts, each told when it has happened."""

    def acts(self) -> Iterator[Act]: ...


Tales = dict[str, tuple[tuple[str, ...], Callable[[Stage, Thumb | None, Callable[[str], None]], Tale]]]
TALES: Final[Tales] = {"": (("pharmacy", "gateway"), Story), "mandate": (("clinic",), Errand)}
"""By the name of the act that is asked for: who plays beside the server, and what happens."""


def tell(*, me: bool, as_json: bool, act: str = "") -> int:
    """Tell the story, or one act that stands for itself; 0 only if everything went as told."""
    if act not in TALES:
        raise Fault(f"{act!r} is no act: {', '.join(filter(None, TALES))}")
    others, tale = TALES[act]
    out = Console(highlight=False)
    watched = sys.stdout.isatty() and not as_json
    well = True
    with staged(*others) as stage:
        people = json.loads((stage.folder / "var/dev/people.json").read_text())
        thumb = None
        if me:
            _invite(Console(stderr=as_json), stage, people["alice"]["password"])
        else:
            thumb = Thumb(stage.at("server"), "alice", people["alice"]["password"])
            thumb.sign_in()
        if not as_json:
            where = "\n".join(f"{name:9} {stage.at(name)}" for name in ("server", *others))
            out.print(Panel(f"{where}\nfiles     {stage.folder}", title="Deputize: everything real, on this machine"))
        story = tale(stage, thumb, (lambda _: None) if as_json else lambda line: out.print(f"   {line}", style="dim"))
        for one in story.acts():
            well = well and one.ok
            if as_json:
                line = {"act": one.act, "told": one.told, "status": one.status, "ok": one.ok}
                print(json.dumps(line, ensure_ascii=False), flush=True)
            else:
                out.print(f"[bold]Act {one.act}[/] {'[green]✓[/]' if one.ok else '[red]✗ not as told[/]'} ", end="")
                out.print(one.told, markup=False)
        if watched:
            _stay(out, stage, people["alice"]["password"])
    return 0 if well else 1


def _invite(out: Console, stage: Stage, password: str) -> None:
    link = f"{stage.at('server')}/inbox"
    out.print(Panel(f"You are Alice. Open {link}\nSign in as alice with {password}", title="--me"))
    segno.make(link, micro=False).terminal(out=cast("TextIO", out.file), compact=True)


def _stay(out: Console, stage: Stage, password: str) -> None:
    out.print(f"\nLeft running for you: {stage.at('server')}/inbox  (alice, {password}).  Ctrl-C ends it.")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
