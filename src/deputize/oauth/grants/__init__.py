"""The table of grants. To add one: write its file, and add its row here."""

from typing import Final

from deputize.oauth import families
from deputize.oauth.grant import Grant
from deputize.oauth.grants import authorization_code, ciba, client_credentials, refresh_token, token_exchange


def table(refresh: families.Settings) -> tuple[Grant, ...]:
    """All rows, each made with its settings."""
    return (
        authorization_code.GRANT,
        client_credentials.GRANT,
        ciba.GRANT,
        token_exchange.GRANT,
        refresh_token.grant(refresh),
    )


GRANTS: Final[tuple[Grant, ...]] = table(families.Settings())
