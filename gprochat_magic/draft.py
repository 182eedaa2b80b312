"""What a prompt is sent as: the window of turns, the pictures and the options, as one request.

The one place where that is decided, so that what is looked at beforehand is what is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gprochat_magic import caching, config, wire
from gprochat_magic.album import Album, size
from gprochat_magic.conversation import Conversation, Window
from gprochat_magic.errors import ConfigError
from gprochat_magic.messages import ImagePart, Message, text_of
from gprochat_magic.provider import GPROChat, checked_proxy, limits_of, wire_of
from gprochat_magic.transport import Ask

if TYPE_CHECKING:
    from gprochat_magic.sending import Options

PICTURES = 3_340_000
"""Characters of base64 that one request has room for, beside its text."""


@dataclass(frozen=True)
class Draft:
    """What a prompt is sent as: the earlier turns that go along, and what is asked.

    `pictures_left_out` counts those of the earlier turns that do not go along again.
    """

    window: Window
    ask: Ask
    pictures_left_out: int = 0

    @property
    def request(self) -> dict[str, Any]:
        """The body of the request, without its time and signature. Raises as sending would."""
        ask = self.ask
        return wire.preview(ask.messages, wire=ask.wire, model=ask.model, options=ask.options)


def checked(options: Options, settings: config.Settings) -> None:
    """Find what is wrong with the options while nothing has been sent. Raises `ConfigError`."""
    limits_of(settings, {"timeout": options.timeout})
    if options.cache not in caching.MODES:
        raise ConfigError(f"cache must be one of {caching.MODES}, not {options.cache!r}")
    if wire_name(settings) == "flat" and (beyond := _beyond_flat(options)):
        raise ConfigError(
            f"{', '.join(beyond)} cannot go along: the flat wire carries one text",
            hint="%config GPROChatMagics.wire = 'turns', if the endpoint understands turns.",
        )
    if options.proxy:
        checked_proxy(options.proxy)
        if not settings.api_endpoint:
            raise ConfigError(
                "a proxy cannot stand before the embedded gateway, which is in this process",
                hint="Leave --proxy out, or configure an endpoint.",
            )


def _beyond_flat(options: Options) -> list[str]:
    """What was given for one prompt that the flat wire has no place for, as its user knows it."""
    model = ["a model (-m)"] if options.model else []
    pictures = ["pictures (-i)"] if options.images else []
    return [*model, *options.parameters, *pictures]


def drafted(
    conversation: Conversation,
    prompt: str,
    options: Options,
    settings: config.Settings,
    *,
    after: str | None,
    model: str,
) -> Draft:
    """A prompt as it is sent behind the turn `after`, with the earlier turns that fit."""
    window = conversation.window(
        prompt,
        after=after,
        system=settings.system if options.system is None else options.system,
        turns=turns_of(options, settings),
        token_budget=settings.token_budget,
    )
    wire = wire_of(wire_name(settings))
    room = PICTURES - size(options.images) if wire == "turns" else 0
    messages, left_out = _illustrated(window, conversation.album, room)
    messages[-1] = _with_images(messages[-1], options.images)
    return Draft(
        window,
        Ask(messages, wire=wire, model=model, options=_parameters(options, settings)),
        left_out,
    )


def wire_name(settings: config.Settings) -> str:
    """The wire in force: roles are kept with the embedded gateway, unless the setting says."""
    return settings.wire or ("flat" if settings.api_endpoint else "turns")


def unsent(settings: config.Settings) -> list[str]:
    """The settings that were chosen for the model, and that the wire in force does not carry."""
    if wire_name(settings) != "flat":
        return []
    chosen = {
        "model": settings.model not in ("", GPROChat.default_model),
        "temperature": settings.temperature is not None,
        "max_tokens": settings.max_tokens is not None,
    }
    return [name for name, is_chosen in chosen.items() if is_chosen]


def _illustrated(window: Window, album: Album, room: int) -> tuple[list[Message], int]:
    """The messages, each with the pictures of its turn, and how many pictures found no room.

    The newest have the first claim. One that is not known any more found no room either.
    """
    messages, left_out = list(window.messages), 0
    place = len(messages) - 1
    for turn in reversed(window.kept):
        place -= 2
        images = album.of(turn.id)
        if len(images) < turn.pictures or size(images) > room:
            left_out += turn.pictures
            continue
        room -= size(images)
        messages[place] = _with_images(messages[place], images)
    return messages, left_out


def _with_images(message: Message, images: Sequence[ImagePart]) -> Message:
    if not images:
        return message
    return {"role": message["role"], "content": [{"text": text_of(message)}, *images]}


def _parameters(options: Options, settings: config.Settings) -> dict[str, Any]:
    """What the model is told beside the messages: the settings, then what was given."""
    configured = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
    known = {name: value for name, value in configured.items() if value is not None}
    return {**known, **options.parameters}


def turns_of(options: Options, settings: config.Settings) -> int | None:
    """How many earlier turns are wanted; None for all that fit."""
    if not options.history:
        return 0
    turns = settings.turns if options.turns is None else options.turns
    return None if turns < 0 else turns
