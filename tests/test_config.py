"""Settings: where they come from, what is refused, and the secret that never shows."""

from __future__ import annotations

import copy
import logging
import pickle

import pytest
from traitlets import TraitError
from traitlets.config import Config

from gprochat_magic import config
from gprochat_magic.config import Secret, Settings
from gprochat_magic.errors import ConfigError

CANARY = "canary-4f1d-do-not-show"


def test_code_wins_over_environment_and_environment_over_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The three sources in their order."""
    assert Settings().model == "gemini-1.5-pro"
    monkeypatch.setenv("GPROCHAT_MODEL", "from-environment")
    assert Settings().model == "from-environment"
    assert Settings(config=Config({"Settings": {"model": "from-code"}})).model == "from-code"


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("turns", "7", 7),
        ("timeout", "2.5", 2.5),
        ("retries", "0", 0),
        ("wire", "flat", "flat"),
        ("api_endpoint", "https://host:1/path", "https://host:1/path"),
        ("system", "Be брief", "Be брief"),
        ("model", "", "gemini-1.5-pro"),
    ],
)
def test_every_setting_has_a_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, raw: str, value: object
) -> None:
    """GPROCHAT_ and its name in capitals; an empty one counts as not set."""
    monkeypatch.setenv(f"GPROCHAT_{name.upper()}", raw)

    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(
    ("name", "raw", "needed"),
    [
        ("turns", "many", "a whole number, 0 or more"),
        ("turns", "-1", "a whole number, 0 or more"),
        ("timeout", "0", "a number, 0.001 or more"),
        ("timeout", "soon", "a number, 0.001 or more"),
        ("temperature", "3", "a number from 0 to 2"),
        ("wire", "round", 'one of "", flat, turns'),
        ("wait", "sideways", "one of block, nested"),
        ("aliases", "fast", "NAME=MODEL"),
        ("api_endpoint", "ftp://host", "an address like http://host:port/path"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, raw: str, needed: str
) -> None:
    """The error says which variable it was, with what, and what is needed."""
    variable = f"GPROCHAT_{name.upper()}"
    monkeypatch.setenv(variable, raw)

    with pytest.raises(ConfigError, match=variable) as info:
        getattr(Settings(), name)
    assert raw in info.value.message
    assert f"{needed} is needed" in info.value.message


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("http://localhost:8080/api", True),
        ("https://host/", True),
        ("http://[::1]:80/x", True),
        ("http://host:0/", False),
        ("http://host:99999/", False),
        ("http:///path", False),
        ("host/path", False),
        ("ftp://host", False),
        ("", False),
        ("http://[::1", False),
        ("http://пример.рф./", True),
        (f"http://{'a' * 63}.example/", True),
        (f"http://{'a' * 64}.example/", False),
        (f"http://{'a.' * 127}example/", False),
        ("http://a..b/", False),
        (f"http://{'я' * 60}.example/", False),
    ],
)
def test_addresses(text: str, sound: bool) -> None:
    """Only what a client could post to is an address."""
    assert config.is_address(text) is sound


def test_a_refused_address_is_not_repeated() -> None:
    """It may hold a password."""
    with pytest.raises(TraitError) as info:
        Settings().api_endpoint = f"ftp://user:{CANARY}@host"

    assert CANARY not in str(info.value)


def test_F06_addresses_show_without_their_secrets() -> None:
    """Listing the settings shows neither a user and password nor a query; sending uses them."""
    settings = Settings()
    settings.proxy = f"http://user:{CANARY}@proxy:3128"
    settings.api_endpoint = f"https://user:{CANARY}@host/path?key={CANARY}"

    shown = f"{settings.proxy!r} {settings.api_endpoint!r} {Settings.class_get_help(settings)}"
    assert CANARY not in shown
    assert "proxy:3128" in shown
    assert CANARY in settings.proxy
    assert settings.api_endpoint.endswith(f"?key={CANARY}")


def test_hosts_are_shown_without_credentials() -> None:
    """For people there is the host and port only."""
    assert config.host_of(f"https://user:{CANARY}@host:1/path?q={CANARY}") == "host:1"


class TestSecret:
    """The key that never shows."""

    def test_however_it_is_printed(self, caplog: pytest.LogCaptureFixture) -> None:
        """F127: repr, str, format, containers, %-formatting, logs."""
        secret = Secret(CANARY)
        logging.getLogger("test").warning("%s %r", secret, [secret])
        shown = f"{secret} {secret!r} {secret!s:>30} {[secret]} {vars(Settings)} {caplog.text}"

        assert CANARY not in shown
        assert "Secret(****)" in shown

    def test_pickles_hold_none(self) -> None:
        """F127: a pickle knows nothing of it; a copy within the process does."""
        secret = Secret(CANARY)

        assert CANARY.encode() not in pickle.dumps(secret)
        assert pickle.loads(pickle.dumps(secret)).reveal() == ""
        assert copy.deepcopy(secret).reveal() == copy.copy(secret).reveal() == CANARY

    def test_settings_keep_it_masked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """F127: from the environment or from code it lists as stars."""
        monkeypatch.setenv("GPROCHAT_SECRET_KEY", CANARY)
        settings = Settings()

        assert settings.secret_key.reveal() == CANARY
        assert CANARY not in Settings.class_get_help(settings)
        settings.secret_key = CANARY + "2"  # type: ignore[assignment]
        assert settings.secret_key.reveal() == CANARY + "2"
        assert CANARY not in repr(settings.trait_values())

    def test_a_refused_value_is_not_repeated(self) -> None:
        """F127: neither is one of the wrong type."""
        with pytest.raises(TraitError) as info:
            Settings().secret_key = [CANARY]  # type: ignore[assignment]

        assert CANARY not in str(info.value)

    def test_equal_and_empty(self) -> None:
        """Equal by value, false when empty."""
        assert Secret("a") == Secret("a") != Secret("b")
        assert Secret("a") != "a"
        assert len({Secret("a"), Secret("a")}) == 1
        assert not Secret()


def test_the_settings_in_force_are_the_last_put_there() -> None:
    """Those of the loaded extension; after it is unloaded the environment's again."""
    one, two = Settings(model="one"), Settings(model="two")
    config.put_in_force(one)
    config.put_in_force(two)
    try:
        assert config.current() is two
        config.withdraw(two)
        config.withdraw(two)
        assert config.current() is one
    finally:
        config.withdraw(one)

    assert config.current().model == "gemini-1.5-pro"
