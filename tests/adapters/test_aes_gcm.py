"""Sealed keys: opened by whom they were sealed for, and by nobody else."""

import pytest

from slackwater.adapters.sealing.aes_gcm import AesGcmSealer, id_of
from slackwater.ports import CannotOpen

OLD, NEW = b"o" * 32, b"n" * 32
SECRET = "sk-a-secret"


def test_a_key_is_changed_without_losing_anything() -> None:
    """The newest seals, both open; the old one alone does not open what is new, and says which key is missing."""
    before, between = AesGcmSealer([OLD]), AesGcmSealer([NEW, OLD])
    sealed = before.seal(SECRET, about="red/gpu")
    assert SECRET not in sealed
    assert between.open(sealed, about="red/gpu") == SECRET
    assert before.is_newest(sealed)
    assert not between.is_newest(sealed)
    anew = between.seal(SECRET, about="red/gpu")
    assert AesGcmSealer([NEW]).open(anew, about="red/gpu") == SECRET
    with pytest.raises(CannotOpen, match=id_of(NEW)):
        before.open(anew, about="red/gpu")


def test_the_same_secret_is_never_sealed_the_same() -> None:
    """Whoever sees two rows does not see that they have one key."""
    sealer = AesGcmSealer([NEW])
    assert sealer.seal(SECRET, about="a") != sealer.seal(SECRET, about="a")


@pytest.mark.parametrize(
    "tampered",
    [
        lambda sealed: sealed[:-6] + "AAAAAA",
        lambda sealed: sealed[:12],
        lambda sealed: sealed + "!",
        lambda sealed: "2" + sealed[1:],
        lambda sealed: "",
    ],
)
def test_what_was_changed_opens_nothing(tampered: object) -> None:
    """In one sentence that has nothing of the secret in it."""
    sealer = AesGcmSealer([NEW])
    with pytest.raises(CannotOpen) as caught:
        sealer.open(tampered(sealer.seal(SECRET, about="a")), about="a")  # type: ignore[operator]
    assert SECRET not in str(caught.value)


def test_a_seal_opens_in_its_own_row_alone() -> None:
    """Whoever may write the table of one tenant cannot use another's key by copying its seal."""
    sealer = AesGcmSealer([NEW])
    with pytest.raises(CannotOpen, match="give it anew"):
        sealer.open(sealer.seal(SECRET, about="red/gpu"), about="blue/gpu")
