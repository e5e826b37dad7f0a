"""The same for httpx, where it is installed."""

from typing import Any

import pytest

from deputize.sdk.with_httpx import OAuth
from tests.sdk.person import READ, a_desk

httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed: its OAuth is not tried here")


async def test_a_call_by_httpx_is_let_in() -> None:
    async with a_desk() as desk:
        auth = OAuth(desk.access(scope=frozenset({READ})), fetch=desk.fetch, avisit=desk.visit)
        async with httpx.AsyncClient(base_url=desk.url, auth=auth, trust_env=False) as notes:
            for _ in range(2):
                assert (await notes.get("/notes")).status_code == 200
        assert len(desk.visits) == 1
