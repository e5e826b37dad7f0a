"""The table of grants. To add one: write its file, and add its row here."""

from typing import Final

from deputize.oauth.grant import Grant
from deputize.oauth.grants import ciba, client_credentials, token_exchange

GRANTS: Final[tuple[Grant, ...]] = (client_credentials.GRANT, ciba.GRANT, token_exchange.GRANT)
