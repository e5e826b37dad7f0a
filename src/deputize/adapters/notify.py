"""How people are told: for now, a line where the process writes its log."""

import structlog

from deputize.core.ports import Notice


class ConsoleNotify:
    """Writes who is to look, and at what. `about` names a page that only this person may open; it is no secret."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("deputize.notify")

    async def tell(self, notice: Notice) -> None:
        self._log.info("notice", person=notice.person, about=notice.about, at=notice.at)
