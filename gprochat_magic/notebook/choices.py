"""What Tab offers as a value: models, aliases, settings and theirs, backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gprochat_magic import config
from gprochat_magic.notebook import backends

if TYPE_CHECKING:
    from gprochat_magic.notebook.magics import GPROChatMagics


def offered(magics: GPROChatMagics, kind: str, before: list[str]) -> list[str]:
    """The values of a kind; `before` are the words between the subcommand and the cursor."""
    return _KINDS[kind](magics, before) if kind in _KINDS else []


def _models(magics: GPROChatMagics, before: list[str]) -> list[str]:
    from gprochat_magic.provider import GPROChat  # brings aiohttp, which loading must not

    known = [
        *magics.aliases,
        *GPROChat.get_models(),
        *backends.seen_models(magics),
        magics.model,
    ]
    return list(dict.fromkeys(known))


def _aliases(magics: GPROChatMagics, before: list[str]) -> list[str]:
    return [] if before else [f"{name}=" for name in magics.aliases]


def _settings(magics: GPROChatMagics, before: list[str]) -> list[str]:
    settings = type(magics).class_own_settings()
    if not before:
        return [name for name in settings if name != "secret_key"]
    trait = settings.get(before[0])
    if before[1:] or trait is None:
        return []
    if isinstance(trait, config.Choice):
        return [each for each in trait.values or () if each]
    kind = before[0] if before[0] in ("model", "backend") else ""
    return offered(magics, kind, [])


def _backends(magics: GPROChatMagics, before: list[str]) -> list[str]:
    from gprochat_magic.gateway.backends import TABLE

    if before:
        return []
    provider, slash, _ = magics.backend.partition("/")
    own = [f"{provider}/{model}" for model in magics.models_seen] if provider in TABLE else []
    return [*TABLE, *(own if slash else [])]


def _parameters(magics: GPROChatMagics, before: list[str]) -> list[str]:
    from gprochat_magic.provider import OPTIONS

    return [f"{name}=" for name in sorted(OPTIONS)]


def _cache(magics: GPROChatMagics, before: list[str]) -> list[str]:
    return [] if before else ["clear"]


_KINDS: dict[str, Callable[[GPROChatMagics, list[str]], list[str]]] = {
    "model": _models,
    "alias": _aliases,
    "setting": _settings,
    "backend": _backends,
    "parameter": _parameters,
    "cache": _cache,
}
