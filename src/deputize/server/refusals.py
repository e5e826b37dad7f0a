"""What a person reads where something cannot be: why, and what to do now."""

from dataclasses import dataclass
from typing import Final

from deputize.oauth.reading import minutes
from deputize.server.views import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalView:
    """What cannot be, why, and what to do now: a link with its words."""

    status: int
    title: str
    says: str
    link: str = "/"
    link_says: str = "Go to the inbox"


WRONG: Final = "This login and password do not belong together. Please check both and try again."
WRONG_CODE: Final = "This code is not the one of now, or was used before. Please wait for the next one and type it."
NO_PASSKEY: Final = "This passkey could not be used here. Please try again, or use another way to sign in."
NO_NEW_PASSKEY: Final = "This passkey could not be added: it took too long, or the device has one already. Try again."
TOO_LATE: Final = "That took too long, or began in another window. Please sign in again."
BOTH: Final = "Please type your login and your password."


def unfit(length_min: int) -> str:
    """To be told of a new password that will not do."""
    return f"Please take a longer or less common password: at least {length_min} characters, three or four words."


def too_fast(seconds: str) -> str:
    """To be told after too many failures."""
    return f"There were too many attempts. Please wait {minutes(int(seconds))}, then try again."


_OUT_OF_DATE: Final = (
    "The page that this came from is out of date, or was not one of ours. Nothing was changed. "
    "Please open the page again and repeat what you wanted to do."
)

REFUSALS: Final[dict[int, RefusalView]] = {
    view.status: view
    for view in (
        RefusalView(
            status=400,
            title="That did not arrive whole",
            says="Something in what your browser sent could not be read. Nothing was changed. Please try again.",
        ),
        RefusalView(status=403, title="Nothing was changed", says=_OUT_OF_DATE),
        RefusalView(
            status=404,
            title="There is nothing here",
            says="This address leads nowhere, or to something that is not yours. Questions also disappear from here "
            "some time after they were answered.",
        ),
        RefusalView(status=405, title="Nothing was changed", says="This page cannot be used that way."),
        RefusalView(
            status=429,
            title="Not so fast",
            says="There were too many attempts. Please wait a little, then try again.",
        ),
        RefusalView(
            status=500,
            title="Something went wrong here",
            says="The mistake is ours, and it was noted. If you were answering a question, look into your inbox to see "
            "whether your answer arrived.",
        ),
        RefusalView(
            status=503,
            title="Please try again in a moment",
            says="The server cannot do this right now. If you were answering a question, look into your inbox to see "
            "whether your answer arrived.",
        ),
    )
}


def refusal_view(status: int) -> RefusalView:
    return REFUSALS.get(status) or REFUSALS[500 if status >= 500 else 400]


UNANSWERABLE: Final = RefusalView(
    status=400,
    title="This cannot be answered",
    says="The app that sent you here asked in a way that is not safe to answer, so nothing was sent back to it. If you "
    "trust it, tell whoever makes it what was found wrong:",
)
ANSWERED: Final = RefusalView(
    status=409,
    title="This was already answered, or its time is over",
    says="Nothing more has happened. If you still want to go on, go back to the app and start there again.",
)


def unfit_ending(because: str) -> RefusalView:
    """To be told where a client asks for a sign-out in a way that is not answered."""
    return RefusalView(
        status=400,
        title="You were not signed out",
        says="The app that sent you here asked for it in a way that is not safe to follow. You can sign out by the "
        f"button above, where you are signed in. What was found wrong: {because}",
    )


TAKEN_BACK: Final = RefusalView(
    status=403,
    title="This cannot be allowed at the moment",
    says="You have taken back what this app may do. To allow it anything, first let it ask again under My agents.",
    link="/agents",
    link_says="Go to My agents",
)
MISMATCHED: Final = RefusalView(
    status=403,
    title="Nothing was allowed",
    says="The link that brought you here belongs to another device than yours, and that device was turned away. If "
    "somebody sent you the link, they may have wanted to act in your name.",
)
BAD_LINK: Final = RefusalView(
    status=403,
    title="This link opens nothing any more",
    says="It was used before, is too old, or is not whole. Please ask your administrator for a new one.",
    link="/sign-in",
    link_says="Go to the sign-in",
)


def taken_back_view(who: str) -> RefusalView:
    """The person wants to allow what they have stopped."""
    return RefusalView(
        status=403,
        title="This cannot be allowed at the moment",
        says=f"You have taken back what {shown(who)} may do. To allow this, first let it ask again under My agents.",
        link="/agents",
        link_says="Go to My agents",
    )
