"""Tokens: who may pass, when a file changes, and how often a name may ask."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gateway.serving.guard import Allowance
from gateway.tokens import InvalidTokens, Tokens, read_tokens

FIRST, SECOND = "first-token-of-16", "second-token-of-16=="


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write(path: Path, *lines: str) -> Path:
    """A token file of these lines, put in place at once."""
    new = path.with_suffix(".new")
    new.write_text("\n".join(lines) + "\n")
    return new.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one token."""
    return write(tmp_path / "tokens", "# who may ask", "", f"web {FIRST}")


def basic(text: str) -> str:
    """Credentials as a browser sends them."""
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "sent", [f"Bearer {FIRST}", f"bearer {FIRST}", f"BEARER  {FIRST}", basic(f":{FIRST}"), basic(f"anybody:{FIRST}")]
)
def test_a_token_has_its_owner(path: Path, sent: str) -> None:
    """The scheme is case-insensitive (RFC 9110). As a password, beside any user name, a token is one too."""
    assert Tokens(path).owner(sent) == "web"


@pytest.mark.parametrize(
    "sent",
    [
        "",
        FIRST,
        "Bearer",
        f"Bearer {FIRST}x",
        f"Bearer {FIRST[:-1]}",
        f"Basic {FIRST}",
        "Basic ====",
        basic(FIRST),
        basic(f"{FIRST}:"),
        basic("web:\xff" + FIRST),
        f"Bearer {FIRST} more",
        "Bearer web",
    ],
)
def test_anything_else_has_none(path: Path, sent: str) -> None:
    """No token, half of one, another scheme."""
    assert Tokens(path).owner(sent) is None


def test_two_tokens_are_valid_at_once_and_a_change_is_seen(path: Path) -> None:
    """The next token beside the last one, then the next alone; nothing is restarted."""
    clock = Clock()
    tokens = Tokens(path, clock)
    seen = []
    for lines in ([f"web {FIRST}", f"web {SECOND}"], [f"web {SECOND}"]):
        write(path, *lines)
        clock.now += 1
        seen.append((tokens.owner(f"Bearer {FIRST}"), tokens.owner(f"Bearer {SECOND}")))
    assert seen == [("web", "web"), (None, "web")]


@pytest.mark.parametrize("wrong", [None, "", "web short", "web", f"we/b {FIRST}", f"{FIRST}"])
def test_a_file_that_became_unusable_admits_nobody_until_it_is_right(
    path: Path, wrong: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Gone, empty or garbled: shut; and the reason is logged without any token."""
    clock = Clock()
    tokens = Tokens(path, clock)
    path.unlink() if wrong is None else write(path, wrong)
    clock.now += 1
    assert tokens.owner(f"Bearer {FIRST}") is None
    assert "nobody is admitted" in caplog.text
    assert FIRST not in caplog.text
    write(path, f"web {FIRST}")
    clock.now += 1
    assert tokens.owner(f"Bearer {FIRST}") == "web"


@pytest.mark.parametrize(("text", "says"), [("", "no token"), (f"web {FIRST}\nweb tiny", "line 2"), ("\xff", "line 1")])
def test_an_unusable_file_is_named_at_the_start(tmp_path: Path, text: str, says: str) -> None:
    """With the line, and without what stands in it."""
    path = write(tmp_path / "tokens", text)
    with pytest.raises(InvalidTokens, match=says) as caught:
        read_tokens(path)
    assert "tiny" not in str(caught.value)


def test_an_allowance_is_a_burst_and_then_a_rate() -> None:
    """Three at once, then one each third of a second; each name for itself."""
    clock = Clock()
    allowance = Allowance(3, clock)
    assert [allowance.takes("web") for _ in range(5)] == [True, True, True, False, False]
    assert allowance.takes("batch")
    clock.now += 0.34
    assert [allowance.takes("web") for _ in range(2)] == [True, False]
    clock.now += 3600
    assert [allowance.takes("web") for _ in range(4)] == [True, True, True, False]


def test_no_rate_is_no_limit() -> None:
    """The default."""
    assert all(Allowance(0).takes("web") for _ in range(1000))
