"""Both drivers run the same flow: they make the calls, wait, and tell what went wrong."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.core.values import Seconds
from deputize.core.wire import Call, Reply
from deputize.sdk.flow import Flow, Wait, arun, run


def twice() -> Flow[tuple[int, int]]:
    first = yield Call(method="GET", url="https://as.example/1")
    yield Wait(Seconds(0))
    try:
        second = yield Call(method="GET", url="https://as.example/2")
    except Fault:
        return first.status, 0
    return first.status, second.status


@dataclass
class Answers:
    left: list[Reply | Fault]
    asked: list[str] = field(default_factory=list)

    def __call__(self, call: Call) -> Reply:
        self.asked.append(call.url)
        answer = self.left.pop(0)
        if isinstance(answer, Fault):
            raise answer
        return answer

    async def fetch(self, call: Call) -> Reply:
        return self(call)


def env_with(answers: Answers) -> Env:
    ports: dict[str, Any] = dict.fromkeys(Env.__dataclass_fields__)
    return Env(**{**ports, "fetch": answers.fetch})


@pytest.mark.parametrize(
    ("answers", "result"),
    [
        ([Reply(status=201), Reply(status=202)], (201, 202)),
        ([Reply(status=201), Fault("no route to host")], (201, 0)),
    ],
)
async def test_a_flow_runs_the_same_in_both_drivers(answers: list[Reply | Fault], result: tuple[int, int]) -> None:
    sync, later = Answers(list(answers)), Answers(list(answers))
    waited: list[float] = []
    assert run(twice(), sync, waited.append) == result
    assert await arun(twice(), env_with(later)) == result
    assert sync.asked == later.asked == ["https://as.example/1", "https://as.example/2"]
    assert waited == [0]


async def test_what_a_flow_does_not_catch_comes_out() -> None:
    with pytest.raises(Fault):
        run(twice(), Answers([Fault("no route to host")]))
    with pytest.raises(Fault):
        await arun(twice(), env_with(Answers([Fault("no route to host")])))
