"""Every setting: default, help, environment variable."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Coroutine
from typing import Any

import traitlets
from traitlets.config import Configurable

from gprochat_magic.errors import ConfigError
from gprochat_magic.secret import Secret as Secret
from gprochat_magic.secret import Url as Url
from gprochat_magic.secret import has_password as has_password
from gprochat_magic.secret import host_of as host_of
from gprochat_magic.secret import is_address as is_address

PREFIX = "GPROCHAT_"
DEFAULT_MODEL = "gemini-1.5-pro"
"""The model of the protocol where none is named."""

Waiter = Callable[[Coroutine[Any, Any, None]], object]
"""Runs a coroutine to its end in this thread, with whatever else its loop has to do."""
Shower = Callable[[Any], Callable[[str], object]]
"""Shows a widget; what it gives puts a text in the widget's place."""


class FromEnvironment(traitlets.TraitType[Any, Any]):
    """A trait whose default is the variable `GPROCHAT_` + its name in capitals, where it is set."""

    def default(self, obj: Any = None) -> Any:
        """The variable's value, else the trait's own. Raises `ConfigError` if it does not fit."""
        variable = PREFIX + str(self.name).upper()
        raw = os.environ.get(variable, "")
        if not raw or obj is None:
            return super().default(obj)
        try:
            return self._validate(obj, self.from_string(raw))
        except (ValueError, traitlets.TraitError):
            shown = "its value" if isinstance(self, SecretKey) else repr(Url(raw))
            raise ConfigError(
                f"{variable}: {shown} does not fit: {self.info()} is needed",
                hint=f"Correct or unset {variable}.",
            ) from None


class Text(FromEnvironment, traitlets.Unicode[str, str]):
    """A setting that is text."""


class Whole(FromEnvironment, traitlets.Int[int, int]):
    """A setting that is a whole number."""

    def info(self) -> str:
        """What fits, for people."""
        return _within("a whole number", self.min, self.max)


class Number(FromEnvironment, traitlets.Float[float, float]):
    """A setting that is a number."""

    def info(self) -> str:
        """What fits, for people."""
        return _within("a number", self.min, self.max)


def _within(kind: str, least: float | None, most: float | None) -> str:
    if most is not None and most < math.inf:
        return f"{kind} from {least:g} to {most:g}"
    return f"{kind}, {least:g} or more" if least is not None else kind


class Choice(FromEnvironment, traitlets.Enum):  # type: ignore[type-arg]  # traitlets' stub is not generic at run time
    """A setting that is one of a few words."""

    def info(self) -> str:
        """What fits, for people."""
        return "one of " + ", ".join(each or '""' for each in self.values or ())


class Address(Text):
    """A setting that is an http or https address, or empty."""

    info_text = "an address like http://host:port/path"

    def validate(self, obj: Any, value: Any) -> str:
        """The address. Raises `TraitError` for what no client could post to."""
        text = super().validate(obj, value)
        if text and not is_address(text):
            # The value may hold a password, so it is not repeated.
            raise traitlets.TraitError(f"{self.name} must be {self.info_text}")
        return Url(text)


class Proxy(Text):
    """A setting that is the address of a proxy, or empty; whether it serves is seen at sending."""

    def validate(self, obj: Any, value: Any) -> str:
        """The address."""
        return Url(super().validate(obj, value))


class Names(FromEnvironment, traitlets.Dict):
    """A setting that gives names other names: `NAME=OTHER,NAME=OTHER` in the environment."""

    def info(self) -> str:
        """What fits, for people."""
        return "NAME=MODEL,NAME=MODEL"

    def from_string(self, s: str) -> dict[str, str]:
        """The names in a text. Raises `ValueError` where one has nothing to stand for."""
        pairs = [part.partition("=") for part in s.split(",") if part.strip()]
        found = {name.strip(): other.strip() for name, _, other in pairs}
        if not all(found) or not all(found.values()):
            raise ValueError(s)
        return found


class SecretKey(FromEnvironment, traitlets.TraitType[Secret, "Secret | str"]):
    """A setting that is kept as a `Secret`, so that listing the settings never shows it."""

    info_text = "text"
    default_value = Secret()

    def validate(self, obj: Any, value: Any) -> Secret:
        """The value as a `Secret`. Raises `TraitError` without repeating the value."""
        if isinstance(value, str):
            return Secret(value)
        if isinstance(value, Secret):
            return value
        raise traitlets.TraitError("secret_key must be text")

    def from_string(self, s: str) -> Secret:
        """A `Secret` from the command line or the environment."""
        return Secret(s)


class Settings(Configurable):
    """What can be set: in code, with %config GPROChatMagics, or by GPROCHAT_ variables."""

    kernel = ""
    """The id of the kernel that these settings are in force in; it outlives a restart."""
    notebook = ""
    """The path of the notebook that the kernel was started for, as a label."""

    def waiter(self) -> Waiter | None:
        """How this thread waits for a reply where other work goes on meanwhile; None: it blocks."""
        return None

    def shower(self) -> Shower | None:
        """How a widget is shown that a text is to replace; None: as it shows itself."""
        return None

    @classmethod
    def class_own_settings(cls) -> dict[str, Any]:
        """The traits that are ours, by name."""
        return {
            name: trait
            for name, trait in cls.class_traits(config=True).items()
            if name in vars(Settings)
        }

    api_endpoint = Address("", help="Where prompts go. Empty: the embedded gateway.").tag(
        config=True
    )
    secret_key = SecretKey(
        help="The key that signs requests to api_endpoint; never shown. "
        "Set GPROCHAT_SECRET_KEY rather than typing it."
    ).tag(config=True)
    model = Text(DEFAULT_MODEL, help="The model that is asked.").tag(config=True)
    aliases = Names(
        key_trait=traitlets.Unicode(),
        value_trait=traitlets.Unicode(),
        help="Short names for models: %gprochat alias NAME=MODEL.",
    ).tag(config=True)
    backend = Text(
        "demo",
        help="Who answers behind the embedded gateway; %gprochat backend lists whom there is.",
    ).tag(config=True)
    proxy = Proxy("", help="An http proxy for a configured endpoint.").tag(config=True)
    wire = Choice(
        ["", "flat", "turns"],
        default_value="",
        help="How turns are sent: turns (roles kept) or flat (one prompt). "
        "Empty: turns with the embedded gateway, flat with a configured endpoint.",
    ).tag(config=True)
    store = Text(
        "",
        help="The file that keeps conversations; :memory: for none. "
        "Empty: history.sqlite in the user's data folder.",
    ).tag(config=True)
    wait = Choice(
        ["block", "nested"],
        default_value="block",
        help="What a call does while its reply comes: block, or nested, which keeps the asyncio "
        "tasks of the notebook running (needs nest-asyncio2, which then patches asyncio).",
    ).tag(config=True)
    system = Text("", help="Instructions sent before every prompt.").tag(config=True)
    temperature = Number(
        None,
        min=0.0,
        max=2.0,
        allow_none=True,
        help="How freely the model writes; empty leaves it to the model.",
    ).tag(config=True)
    max_tokens = Whole(
        None, min=1, allow_none=True, help="The longest reply, in tokens; empty leaves it open."
    ).tag(config=True)
    turns = Whole(20, min=0, help="How many earlier turns a prompt carries.").tag(config=True)
    token_budget = Whole(
        32_000, min=1, help="About how many tokens earlier turns and prompt may hold together."
    ).tag(config=True)
    timeout = Number(1800.0, min=0.001, help="Seconds for a whole reply.").tag(config=True)
    connect_timeout = Number(5.0, min=0.001, help="Seconds for one connection.").tag(config=True)
    first_byte_timeout = Number(120.0, min=0.001, help="Seconds until a reply begins.").tag(
        config=True
    )
    idle_timeout = Number(60.0, min=0.001, help="Seconds that a reply may be silent.").tag(
        config=True
    )
    retries = Whole(2, min=0, help="How often a request that got no answer is repeated.").tag(
        config=True
    )
    refresh_rate = Number(
        10.0, min=0.1, max=20.0, help="Updates of a growing reply a second, at most."
    ).tag(config=True)


_in_force: list[Settings] = []


def current() -> Settings:
    """The settings in force: the loaded extension's, else those of the environment."""
    return _in_force[-1] if _in_force else Settings()


def put_in_force(settings: Settings) -> None:
    """Make these the settings of this process; `withdraw` ends it."""
    _in_force.append(settings)


def withdraw(settings: Settings) -> None:
    """Undo `put_in_force`."""
    if settings in _in_force:
        _in_force.remove(settings)
