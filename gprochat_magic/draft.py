"""What a prompt is sent as: the window of turns, the pictures and the options, as one request.

The one place where that is decided, so that what is looked at beforehand is what is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gprochat_magic import config, wire
from gprochat_magic.conversation import Conversation, Window
from gprochat_magic.messages import ImagePart, Message, text_of
from gprochat_magic.provider import GPROChat, wire_of
from gprochat_magic.transport import Ask

if TYPE_CHECKING:
    from gprochat_magic.sending import Options


@dataclass(frozen=True)
class Draft:
    """What a prompt is sent as: the earlier turns that go along, and what is asked."""

    window: Window
    ask: Ask

    @property
    def request(self) -> dict[str, Any]:
        """The body of the request, without its time and signature. Raises as sending would."""
        ask = self.ask
        return wire.preview(ask.messages, wire=ask.wire, model=ask.model, options=ask.options)


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
    messages = [*window.messages[:-1], _with_images(window.messages[-1], options.images)]
    return Draft(
        window,
        Ask(
            messages,
            wire=wire_of(wire_name(settings)),
            model=model,
            options=_parameters(options, settings),
        ),
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
