"""The act of the mandate: a bot shows it to a clinic without any tie to the server, until Alice takes it back."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx2

from deputize.cli.stage import Act, Stage, how
from deputize.cli.thumb import Thumb
from deputize.compose.dev import ERRAND_BOT
from deputize.core.rules import Fault
from deputize.vc.status_list import IS_VALID

SECONDS_MAX: Final = 4.0  # the list says how long it may be kept (a second here); the bot comes ten times a second


class Errand:
    """One errand of the bot's, from the yes to the no."""

    def __init__(self, stage: Stage, thumb: Thumb | None, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.thumb = thumb
        self.say = say

    def acts(self) -> Iterator[Act]:
        bot = self.stage.example("errand_bot.py", f"var/dev/{ERRAND_BOT}.json", self.stage.at("clinic"))
        try:
            sentence = self._allowed()
            first = _line(bot)
            yield self.given(first, sentence)
            yield self.taken(first)
            yield self.stolen(first["mandate"])
            yield self.taken_back(bot)
        finally:
            bot.kill()
            bot.communicate()

    def _allowed(self) -> str:
        if self.thumb is None:
            self.say(f"Your turn: {self.stage.at('server')}/inbox")
            return ""
        ask = self.thumb.next_ask(seconds_max=20)
        sentence = self.thumb.read(ask)
        self.say(f"Alice reads: “{sentence}” and allows it.")
        self.thumb.answer(ask, allow=True)
        return sentence

    def given(self, first: dict[str, Any], sentence: str) -> Act:
        """The mandate is a credential, bound to the bot's own key."""
        hidden = first["mandate"].count("~") - 1
        told = (
            f"Alice lets the bot “{_what(sentence)}”; it gets a mandate for that, bound to its own key, and shows of "
            f"its {hidden} hidden parts what it wants to."
        )
        return Act(1, told, 200, hidden == 2)

    def taken(self, first: dict[str, Any]) -> Act:
        """Whoever knows the issuer by name takes it."""
        body = first["body"]
        told = (
            f"A clinic that has no account at Alice's server takes it, by what that publishes for everybody: "
            f"{body.get('agent')} acts for {body.get('patient')}. “{body.get('advice')}”"
        )
        return Act(2, told, first["status"], first["status"] == 200 and body.get("patient") == "alice")

    def stolen(self, mandate: str) -> Act:
        """Who has the mandate and not the key has nothing."""
        with httpx2.Client(base_url=self.stage.at("clinic"), trust_env=False) as http:
            nonce = http.post("/nonce").json()["nonce"]
            reply = http.post("/advice", json={"nonce": nonce, "presentation": mandate})
        answer = {"status": reply.status_code, "body": reply.json()}
        told = f"Somebody copies the mandate, and has not the bot's key: the clinic says {how(answer)}."
        return Act(3, told, reply.status_code, reply.status_code == 403)

    def taken_back(self, bot: "subprocess.Popen[str]") -> Act:
        """Alice takes back what she allowed; the clinic learns of it from a list, and never asks about her."""
        if self.thumb is None:
            self.say(f"Now take it back: {self.stage.at('server')}/agents")
        else:
            self.thumb.take_back(ERRAND_BOT)
        begun = time.monotonic()
        last = _line(bot)
        took = time.monotonic() - begun
        told = (
            f"Alice takes it back at “my agents” while the bot comes again and again; the clinic reads the status list "
            f"and says {how(last)}, {round(took * 1000)} ms later. It never told anybody whom it was asked about."
        )
        right = last["body"].get("error_description") == IS_VALID.says and (self.thumb is None or took < SECONDS_MAX)
        return Act(4, told, last["status"], right)


def _what(sentence: str) -> str:
    """What she lets it do, out of the sentence that she has read."""
    return sentence.partition(" wants to ")[2].partition(", for ")[0] or "read your prescriptions"


def _line(bot: "subprocess.Popen[str]") -> dict[str, Any]:
    """The next line that the bot says."""
    if bot.stdout is None:
        raise AssertionError
    said = bot.stdout.readline()
    if not said:
        raise Fault("the bot broke off: nobody allowed it in time, or it was refused")
    told: dict[str, Any] = json.loads(said)
    return told
