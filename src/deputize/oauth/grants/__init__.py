"""The table of grants. To add one: write its file, and add its row here."""

from typing import Final

from deputize.oauth import device, families
from deputize.oauth.grant import Grant
from deputize.oauth.grants import (
    authorization_code,
    ciba,
    client_credentials,
    device_code,
    pre_authorized_code,
    refresh_token,
    token_exchange,
)

NO_DEVICES: Final = device.Settings()


def table(
    refresh: families.Settings, devices: device.Settings = NO_DEVICES, *, credentials: bool = False
) -> tuple[Grant, ...]:
    """All rows, each made with its settings; those of devices and of offers where they are on."""
    return (
        authorization_code.GRANT,
        client_credentials.GRANT,
        ciba.GRANT,
        token_exchange.GRANT,
        refresh_token.grant(refresh),
        *((device_code.GRANT,) if devices.on else ()),
        *((pre_authorized_code.GRANT,) if credentials else ()),
    )


GRANTS: Final[tuple[Grant, ...]] = table(families.Settings())
