"""The story, told live: real processes on loopback, a database file, signatures; only Alice's thumb is scripted."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO, cast

import httpx2
import segno
from rich.console import Console
from rich.panel import Panel

from deputize.cli.thumb import Thumb
from deputize.cli.timeline import timeline
from deputize.core.rules import Fault

PORTS: Final = {"server": 9400, "management": 9401, "gateway": 9410, "pharmacy": 9420}
READY_SECONDS: Final = 20
PERSON_SECONDS: Final = 600
SENTENCE: Final = (
    "pharmacy-bot wants to order 30 × Ibuprofen 400 mg for €12.40 from Madrid Pharmacy, once, within 5 minutes."
)


@dataclass(frozen=True, slots=True)
class Act:
    """One act: what was told, the status that decided it, and whether it went as it should."""

    act: int
    told: str
    status: int
    ok: bool


@dataclass(slots=True)
class Stage:
    """Where the story plays: addresses, processes, files."""

    folder: Path
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def at(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    @property
    def environment(self) -> dict[str, str]:
        told = {
            "DEPUTIZE_SERVER__ISSUER": self.at("server"),
            "DEPUTIZE_SERVER__PORT": str(self.ports["server"]),
            "DEPUTIZE_SERVER__MANAGEMENT_PORT": str(self.ports["management"]),
            "DEPUTIZE_OAUTH__ASKING__INTERVAL": "1",
            "DEPUTIZE_DEV_PHARMACY": self.at("pharmacy"),
            "DEPUTIZE_DEV_GATEWAY": self.at("gateway"),
            "PYTHONUNBUFFERED": "1",
        }
        return {**os.environ, **told}

    def begin(self, name: str, *command: str) -> None:
        """Start a process."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(  # noqa: S603 (our own program)
                [sys.executable, *command], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )

    def wait_for(self, name: str, healthy: str) -> None:
        """Wait until a process answers."""
        end = time.monotonic() + READY_SECONDS
        with httpx2.Client(trust_env=False) as http:
            while time.monotonic() < end and self.processes[name].poll() is None:
                with contextlib.suppress(httpx2.HTTPError):
                    if http.get(healthy).status_code < 500:
                        return
                time.sleep(0.02)
        raise Fault(f"the {name} did not start; it said:\n{(self.folder / f'{name}.log').read_text()[-2000:]}")

    def bot(self, *words: str, name: str = "pharmacy-bot") -> "subprocess.Popen[str]":
        """Let an agent do something, as a process of its own that has only its own file."""
        command = [sys.executable, str(examples() / "pharmacy_bot.py"), f"var/dev/{name}.json", *words]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, text=True)  # noqa: S603 (our own program)

    def close(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def examples() -> Path:
    """The folder of the examples: beside the sources, or in the installed package."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_examples", package.parent.parent / "examples"):
        if folder.is_dir():
            return folder
    raise Fault("the examples are not there")


def answer_of(bot: "subprocess.Popen[str]") -> dict[str, Any]:
    said, _ = bot.communicate(timeout=PERSON_SECONDS)
    if bot.returncode:
        raise Fault("the bot did not come back with an answer")
    told: dict[str, Any] = json.loads(said)
    return told


@contextlib.contextmanager
def staged() -> Iterator[Stage]:
    """Everything started; everything stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="deputize-demo-"))
    stage = Stage(folder, {name: _free(port) for name, port in PORTS.items()})
    try:
        stage.begin("server", "-m", "deputize.cli.main", "serve", "--dev")
        stage.wait_for("server", f"{stage.at('management')}/readyz")
        pharmacy = (str(examples() / "pharmacy_api.py"), "var/dev/pharmacy.json")
        stage.begin("pharmacy", *pharmacy)
        stage.begin("gateway", "-m", "deputize.cli.main", "gateway")
        stage.wait_for("pharmacy", f"{stage.at('pharmacy')}/.well-known/oauth-protected-resource")
        stage.wait_for("gateway", f"{stage.at('gateway')}/healthz")
        yield stage
    finally:
        stage.close()


def _free(port: int) -> int:
    """The usual port; another one where that is taken."""
    for wanted in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", wanted))
                found: int = probe.getsockname()[1]
                return found
    raise Fault("no port is free")


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
        told = f"The same approval with 300 → {_how(more)}; twice → {_how(twice)}; by another agent → {_how(other)}."
        refused = all(400 <= answer["status"] < 500 for answer in (more, twice, other))
        return Act(4, told, more["status"], refused)

    def taken_back(self) -> Act:
        """Act 7: what was given is taken back, and ends everywhere."""
        if self.thumb is None:
            self.say(f"Now take it back: {self.stage.at('server')}/agents")
            answer = self._until_refused()
            return Act(
                7, f"You took the mandate back; the bot's next call → {_how(answer)}.", answer["status"], ok=True
            )
        watching = self.stage.bot("watch")
        time.sleep(1)  # it is reading by now, again and again
        reading = watching.poll() is None
        self.thumb.take_back("pharmacy-bot")
        begun = time.monotonic()
        answer = answer_of(watching)
        took = time.monotonic() - begun
        told = (
            f"Alice takes the mandate back while the bot reads; next → {_how(answer)}, {round(took * 1000)} ms later."
        )
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


def _how(answer: dict[str, Any]) -> str:
    body = answer["body"]
    return f"{answer['status']} {body.get('error', '') if isinstance(body, dict) else ''}".strip()


def tell(*, me: bool, as_json: bool) -> int:
    """Tell the story; 0 only if every act went as told."""
    out = Console(highlight=False)
    watched = sys.stdout.isatty() and not as_json
    well = True
    with staged() as stage:
        people = json.loads((stage.folder / "var/dev/people.json").read_text())
        thumb = None
        if me:
            _invite(Console(stderr=as_json), stage, people["alice"]["password"])
        else:
            thumb = Thumb(stage.at("server"), "alice", people["alice"]["password"])
            thumb.sign_in()
        if not as_json:
            where = "\n".join(f"{name:9} {stage.at(name)}" for name in ("server", "gateway", "pharmacy"))
            out.print(Panel(f"{where}\nfiles     {stage.folder}", title="Deputize: everything real, on this machine"))
        story = Story(stage, thumb, (lambda _: None) if as_json else lambda line: out.print(f"   {line}", style="dim"))
        for act in story.acts():
            well = well and act.ok
            if as_json:
                line = {"act": act.act, "told": act.told, "status": act.status, "ok": act.ok}
                print(json.dumps(line, ensure_ascii=False), flush=True)
            else:
                out.print(f"[bold]Act {act.act}[/] {'[green]✓[/]' if act.ok else '[red]✗ not as told[/]'} ", end="")
                out.print(act.told, markup=False)
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
