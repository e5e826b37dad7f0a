"""The table of credentials: off unless something is in it, and told of its mistakes all at once."""

import dataclasses
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from deputize.compose.credentials import credentials_of
from deputize.compose.settings import Mistakes, Settings, load
from deputize.core.rules import Fault
from deputize.core.values import Seconds
from deputize.oauth.client import Client, Resource
from deputize.server.credentials import ANONYMOUS, Asked, Issued, mistakes
from deputize.server.credentials import Settings as Table
from tests.support.world import a_world

QUERY: dict[str, Any] = {"credentials": [{"id": "d", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:d"]}}]}
TOML = """
[server]
issuer = "https://as.example"
[credentials]
anonymous = true
[credentials.issued.diploma]
vct = "urn:d"
scope = "diploma"
hides = ["name"]
[credentials.asked.degree]
purpose = "To see it."
[[credentials.asked.degree.query.credentials]]
id = "d"
format = "dc+sd-jwt"
meta = { vct_values = ["urn:d"] }
claims = [{ path = ["degree", "title"] }]
"""


def test_a_table_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "deputize.toml"
    file.write_text(TOML)
    table = load(file).credentials
    assert table.on
    assert table.issued["diploma"] == Issued(vct="urn:d", scope="diploma", hides=("name",))
    assert table.asked["degree"].query["credentials"][0]["claims"] == [{"path": ["degree", "title"]}]
    assert not Settings().credentials.on
    file.write_text(TOML.replace("urn:d", "").replace("[credentials]", "[credentials]\nbatch = 0\nhaip = true"))
    with pytest.raises(Mistakes) as told:
        load(file)
    assert len(told.value.lines) >= 5


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (Table(issued={"a b": Issued(vct="x")}), "a name has"),
        (Table(issued={"a": Issued(vct="x", life=Seconds(1))}), "a minute to a year"),
        (Table(issued={"a": Issued(vct="x", scope="s"), "b": Issued(vct="y", scope="s")}), "have one scope"),
        (Table(asked={"requests": Asked(purpose="p", query=QUERY)}), "another name"),
        (Table(asked={"a": Asked(purpose="p", query={})}), "A query is an object"),
        (
            Table(
                asked={
                    "a": Asked(
                        purpose="p",
                        query={
                            "credentials": [
                                QUERY["credentials"][0]
                                | {"trusted_authorities": [{"type": "etsi_tl", "values": ["x"]}]}
                            ]
                        },
                    )
                }
            ),
            "aki alone",
        ),
        (Table(trusted={"http://x.example": ("v",)}), "http is for loopback"),
        (Table(interval=Seconds(0)), "a second or more"),
        (Table(offer_life=Seconds(1)), "ten seconds"),
        (Table(certificate="x"), "come together"),
        (Table(encrypted_only=True), "needs credentials.request_key"),
        (Table(haip=True, anonymous=True), "anonymous is off"),
    ],
)
def test_each_mistake_is_told(table: Table, says: str) -> None:
    assert any(says in line for line in mistakes(table))


async def test_what_the_table_needs_is_made(tmp_path: Path) -> None:
    place = tmp_path / "request.jwk"
    table = Table(issued={"d": Issued(vct="urn:d", scope="d")}, request_key=str(place), encrypted_only=True)
    async with a_world() as world:
        here = dataclasses.replace(world.here, anonymous=ANONYMOUS)
        for scopes in ("d", "e"):
            issued = {"d": Issued(vct="urn:d", scope=scopes)}
            settings = Settings(credentials=dataclasses.replace(table, issued=issued))
            made = await credentials_of(settings, here, world.env)
            assert made is not None
            kept = await world.store.read(Resource, made.name)
            assert kept is not None
            assert set(kept.scopes) == {scopes}
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert made is not None
        assert made.requests.keys[0].kid == json.loads(place.read_text())["kid"]
        assert await world.store.read(Client, ANONYMOUS) is not None
        assert await credentials_of(Settings(), here, world.env) is None
        for wrong in (
            Table(issued=issued, certificate="nowhere", key="nowhere"),
            Table(issued=issued, request_key="/nowhere/x"),
        ):
            with pytest.raises(Fault, match=r"credentials\."):
                await credentials_of(Settings(credentials=wrong), here, world.env)
