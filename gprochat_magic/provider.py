"""GPROChat, the signed asynchronous generator, with the two bases that g4f's callers expect."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeGuard, cast

from gprochat_magic import config, embedded, engine, wire
from gprochat_magic.clock import Clock
from gprochat_magic.config import Secret, Settings
from gprochat_magic.errors import ConfigError
from gprochat_magic.limits import Limits
from gprochat_magic.messages import Messages, well_formed
from gprochat_magic.target import Pool, Target
from gprochat_magic.transport import Ask, Exchange

OPTIONS = frozenset({"temperature", "max_tokens", "top_p", "stop", "seed"})
"""Keywords that are sent to the model where the wire carries options."""

clock = Clock()
"""The clock of this process: all its sends, whatever started them, must sign rising times."""


class AsyncGeneratorProvider:
    """A source of replies as an asynchronous generator, and what follows from one."""

    supports_stream: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def create_async_generator(
        cls, model: str, messages: Messages, proxy: str | None = None, **kwargs: Any
    ) -> AsyncIterator[str]:
        """The reply, piece by piece."""

    @classmethod
    async def create_async(cls, model: str, messages: Messages, **kwargs: Any) -> str:
        """The whole reply."""
        return "".join(
            [piece async for piece in cls.create_async_generator(model, messages, **kwargs)]
        )

    @classmethod
    def create_completion(cls, model: str, messages: Messages, **kwargs: Any) -> Iterator[str]:
        """The reply, piece by piece, from synchronous code, also where a loop is running."""

        def source(emit: object) -> AsyncGenerator[str]:
            return cast(AsyncGenerator[str], cls.create_async_generator(model, messages, **kwargs))

        yield from engine.shared().stream(source)


class ProviderModelMixin:
    """Names of models: a default, a list, aliases."""

    default_model: ClassVar[str] = ""
    models: ClassVar[list[str]] = []
    model_aliases: ClassVar[dict[str, str]] = {}

    @classmethod
    def get_models(cls, **kwargs: Any) -> list[str]:
        """The models that are known by name; the default one where none is listed."""
        return cls.models or [cls.default_model]

    @classmethod
    def get_model(cls, model: str, **kwargs: Any) -> str:
        """The model that a name or alias means; the default for an empty one."""
        return cls.model_aliases.get(model, model) or cls.default_model


class GPROChat(AsyncGeneratorProvider, ProviderModelMixin):
    """Sends messages signed and yields the reply as it arrives.

    With no endpoint configured the embedded gateway of this process answers. Usable wherever a g4f
    provider is:

        async for piece in GPROChat.create_async_generator(model="", messages=messages):
            print(piece, end="")
    """

    label = "GPROChat"
    url = "https://gprochat.com"
    api_endpoint = url + wire.PATH
    working = False
    supports_stream = True
    supports_message_history = True
    default_model = config.DEFAULT_MODEL

    @staticmethod
    def generate_signature(timestamp: int, message: str, secret_key: str | None = None) -> str:
        """The lower-case hex SHA-256 of `{timestamp}:{message}:{secret_key}` in UTF-8.

        `timestamp` is in milliseconds since the epoch. Without `secret_key` the configured one
        signs; raises `ConfigError` if none is.
        """
        secret = Secret(secret_key) if secret_key is not None else config.current().secret_key
        return wire.sign(timestamp, well_formed(message), needed(secret).reveal())

    @classmethod
    async def create_async_generator(
        cls, model: str, messages: Messages, proxy: str | None = None, **kwargs: Any
    ) -> AsyncGenerator[str]:
        """The reply, piece by piece, never an empty one.

        `messages` have the roles system, user and assistant. Keywords: `api_endpoint`,
        `secret_key`, `timeout` (seconds for the whole reply), `connect_timeout`,
        `first_byte_timeout`, `idle_timeout`, `retries`, `session` (an aiohttp one, left open),
        `wire` ("flat" or "turns"), `trust_env`, `ssl_context`; under `wire="turns"` also
        `temperature`, `max_tokens`, `top_p`, `stop`, `seed`. Others, which g4f's callers pass to
        every provider, do nothing. Raises `GPROChatError`s.
        """
        settings = config.current()
        # Not left in a local variable: verbose tracebacks print those.
        secret = Secret(kwargs.pop("secret_key", None) or "")
        target = await cls._target(settings, kwargs.get("api_endpoint") or "", secret)
        ask = Ask(
            messages,
            wire=wire_of(kwargs.get("wire", "flat")),
            model=cls.get_model(model),
            options={name: kwargs[name] for name in OPTIONS if kwargs.get(name) is not None},
        )
        async with contextlib.aclosing(Pool()) as pool:
            open_session = functools.partial(pool.session, trust_env=bool(kwargs.get("trust_env")))
            exchange = Exchange(
                target,
                ask,
                session=kwargs.get("session") or open_session,
                clock=clock,
                limits=limits_of(settings, kwargs),
                proxy=proxy_of(settings.proxy if proxy is None else proxy, target),
                ssl_context=kwargs.get("ssl_context"),
            )
            async with contextlib.aclosing(exchange.stream()) as pieces:
                async for piece in pieces:
                    yield piece

    @classmethod
    async def _target(cls, settings: Settings, endpoint: str, secret: Secret) -> Target:
        if not endpoint and cls.api_endpoint != GPROChat.url + wire.PATH:
            endpoint = cls.api_endpoint  # a subclass names its own service
        if secret and not endpoint and not settings.api_endpoint:
            endpoint = cls.api_endpoint  # a key without an address is the public service's
        return await target_of(settings, endpoint=endpoint, secret=secret, url=cls.url)


async def target_of(
    settings: Settings,
    *,
    endpoint: str = "",
    secret: Secret = Secret(),  # noqa: B008  # it cannot change
    url: str = GPROChat.url,
) -> Target:
    """Where a send goes: the endpoint given, else the configured one, else the embedded gateway.

    Raises `ConfigError` for an address nobody could post to, and for one without a secret.
    """
    endpoint = endpoint or settings.api_endpoint
    if not endpoint:
        return _renewed_there(await engine.shared().elsewhere(_embedded_target(settings.backend)))
    if not config.is_address(endpoint):
        raise ConfigError("the endpoint is not an http or https address", hint=_ENDPOINT_HINT)
    return Target(endpoint, needed(secret or settings.secret_key), url=url)


async def _embedded_target(backend: str) -> Target:
    return await embedded.shared().target(backend)


def _renewed_there(target: Target) -> Target:
    """The same target, renewed on the engine, where its gateway lives, whoever sends to it."""
    renew = target.renew
    if renew is None:
        return target
    return dataclasses.replace(target, renew=lambda: engine.shared().elsewhere(_made_by(renew)))


async def _made_by(renew: Callable[[], Awaitable[Target]]) -> Target:
    return await renew()


def needed(secret: Secret) -> Secret:
    """The secret, which must not be empty: an empty one signs nothing. Raises `ConfigError`."""
    if not secret:
        raise ConfigError(
            "an endpoint is configured, or a signature asked for, but there is no secret key",
            hint="Set GPROCHAT_SECRET_KEY before the kernel starts, or pass secret_key=.",
        )
    return secret


def limits_of(settings: Settings, given: Mapping[str, Any]) -> Limits:
    """The limits in force, each replaced by what was given. Raises `ConfigError` for no number."""

    def number(name: str, configured: float) -> float:
        value = given.get(name)
        if value is None:
            return configured
        if not _is_number(value) or value <= 0:
            raise ConfigError(f"{name} must be a number of seconds above 0, not {value!r}")
        return float(value)

    retries = settings.retries if given.get("retries") is None else given["retries"]
    if not _is_number(retries) or retries < 0 or retries != int(retries):
        raise ConfigError(f"retries must be a whole number, 0 or more, not {retries!r}")

    return Limits(
        total=number("timeout", settings.timeout),
        connect=number("connect_timeout", settings.connect_timeout),
        first_byte=number("first_byte_timeout", settings.first_byte_timeout),
        idle=number("idle_timeout", settings.idle_timeout),
        retries=int(retries),
    )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def proxy_of(proxy: str, target: Target) -> str:
    """The proxy for a target; nothing stands between us and the embedded gateway."""
    return "" if target.renew else checked_proxy(proxy)


def checked_proxy(proxy: str) -> str:
    """The proxy. Raises `ConfigError` for a scheme that the client would misread as http."""
    if proxy and not config.is_address(proxy):
        raise ConfigError(
            "the proxy must be an http:// or https:// address",
            hint="A socks proxy needs an http front, such as privoxy.",
        )
    return proxy


def wire_of(name: str) -> wire.Wire:
    """The wire of that name. Raises `ConfigError` for one that there is not."""
    if name not in ("flat", "turns"):
        raise ConfigError(f"wire must be flat or turns, not {name!r}")
    return cast(wire.Wire, name)


_ENDPOINT_HINT = "It looks like https://host/api/generate."
