"""Passwords that are tried first: what everybody thinks of, whatever its length."""

from typing import Final

_WORDS: Final = frozenset(
    """
    password passwort passw0rd p@ssword p@ssw0rd qwerty qwertz azerty qwertyuiop qwertzuiop asdfghjkl zxcvbnm letmein
    iloveyou welcome monkey dragon football baseball basketball superman batman princess sunshine shadow master
    michael jordan jennifer trustno1 starwars whatever admin administrator root login secret changeme default guest
    testing internet computer samsung pokemon charlie liverpool chelsea arsenal barcelona mustang killer pepper
    correcthorsebatterystaple deputize thisismypassword mypassword iamyourfather letmeinplease opensesame
    abcdefghijklmnopqrstuvwxyz abcdefghijklmno 1q2w3e4r5t6y7u8i9o0p qazwsxedcrfvtgbyhnujmikolp
    """.split()  # noqa: SIM905 (words read best as words)
)
_ROWS: Final = ("01234567890" * 4, "abcdefghijklmnopqrstuvwxyz" * 2, "qwertyuiopasdfghjklzxcvbnm" * 2)


def is_common(password: str) -> bool:
    """Whether it is a common word, also said again and again or with figures at its ends, or a run of keys."""
    plain = "".join(password.casefold().split())
    if len(set(plain)) <= 3:
        return True
    if any(plain in row or plain in row[::-1] for row in _ROWS):
        return True
    core = plain.strip("0123456789!?.*#$-_")
    return any(core == word * max(1, len(core) // len(word)) for word in _WORDS) or not core
