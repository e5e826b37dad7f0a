"""The listener on loopback takes the one answer that it waits for, and stays up until then."""

import threading
from collections.abc import Callable

import httpx2
import pytest

from deputize.core.rules import Fault, Refusal
from deputize.core.values import Seconds, Secret
from deputize.sdk.flow import Visit
from deputize.sdk.loopback import WEB_PAGE, LoopbackReceiver
from tests.support.proofs import lets_through, stops


def asks(receiver: LoopbackReceiver, url: str = "https://as.example/authorize?x=1") -> Visit:
    return Visit(url, f"{receiver.base}/c1", Secret("the-state"))


def browser(work: Callable[[], None]) -> Callable[[str], object]:
    """A browser that does this when it is opened."""

    def opened(_: str) -> None:
        threading.Thread(target=work, daemon=True).start()

    return opened


def get(url: str, method: str = "GET", **headers: str) -> int:
    return httpx2.request(method, url, headers=headers, trust_env=False).status_code


@lets_through(WEB_PAGE)
async def test_sk_09_only_the_right_answer_is_taken_and_only_once() -> None:
    statuses: list[int] = []
    finished = threading.Event()

    def come() -> None:
        at = f"{receiver.base}/c1"
        good = f"{at}?code=c&state=the-state"
        statuses.append(get(f"{receiver.base}/c2?code=c&state=the-state"))
        statuses.append(get(f"{at}?code=c"))
        statuses.append(get(f"{at}?code=c&state=other"))
        statuses.append(get(f"{good}&state=the-state"))
        statuses.append(get(good, host="evil.example"))
        statuses.append(get(good, origin="https://evil.example"))
        statuses.append(get(good, **{"sec-fetch-mode": "no-cors"}))
        statuses.append(get(good, "POST"))
        statuses.append(get(good))
        statuses.append(get(good))
        finished.set()

    with LoopbackReceiver(open_page=browser(come)) as receiver:
        arrived = await receiver.avisit(asks(receiver))
        assert finished.wait(5)
    assert arrived == f"{receiver.base}/c1?code=c&state=the-state"
    assert statuses == [400] * 7 + [501, 200, 400]


def test_sk_09_before_anybody_is_asked_nothing_is_taken() -> None:
    with LoopbackReceiver() as receiver:
        assert get(f"{receiver.base}/c1?code=c&state=the-state") == 400


def test_who_does_not_come_back_is_not_waited_for_for_ever() -> None:
    with LoopbackReceiver(open_page=lambda _: None, patience=Seconds(0)) as receiver, pytest.raises(Fault):
        receiver.visit(asks(receiver))


@stops(WEB_PAGE)
@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///etc/passwd", "--remote", "vbscript:x", "data:text/html,x"]
)
def test_sk_04_only_a_web_page_is_opened(url: str) -> None:
    opened: list[str] = []
    with LoopbackReceiver(open_page=opened.append) as receiver, pytest.raises(Refusal):
        receiver.visit(asks(receiver, url))
    assert not opened
