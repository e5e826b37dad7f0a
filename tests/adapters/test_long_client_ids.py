"""The longest client id that is let in is one that every store can keep, with all that hangs on it."""

import random
import string

from deputize.adapters.stores import open_store
from deputize.core.ports import Add, Append, Event
from deputize.core.values import ClientId, Instant, Subject
from deputize.oauth import client_document as documents
from deputize.oauth import standing as standings
from deputize.oauth.client import Client, Document
from deputize.oauth.standing import Standing

# Letters by chance: a database packs those that repeat, and would make room for more than it has.
TAIL = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=documents.URL_MAX))
LONGEST = f"https://app.example/{TAIL}"[: documents.URL_MAX]


async def test_the_longest_client_id_is_kept_as_others_are(place: str) -> None:
    assert not any(one.must for one in documents.findings_of_url(LONGEST))
    assert [one.rule for one in documents.findings_of_url(LONGEST + "a")] == [documents.ID_URL]
    told = Document(fetched_at=Instant(1), fresh_until=Instant(2), digest="d", policy="p", spiffe_id="spiffe://a/b")
    client = Client(key=LONGEST, name="app.example", auth_method="none", grant_types=frozenset(), document=told)
    person = Subject("alice" * 40)
    standing = standings.allowing(None, person, ClientId(LONGEST), None, Instant(1), rests_on="d")
    assert isinstance(standing, Add)
    store = open_store(place, dev=True)
    try:
        event = Append(Event(key="", at=Instant(1), what="x", client=LONGEST, person=person))
        assert await store.commit(Add(client), standing, event)
        assert await store.read(Client, LONGEST) == client
        assert await store.select(Standing, "client", LONGEST) == [standing.record]
    finally:
        await store.close()
