"""Guards of a request on its way out, and of asking again."""

from tests.guards.guard import Guard

_BEFORE = "tests/faults/test_before_reply.py::"
_BODY = "tests/faults/test_body.py::"
_STATUSES = "tests/faults/test_statuses.py::"
_WIRE = "tests/test_wire.py::"

GUARDS = (
    Guard(
        "redirects are not followed",
        "attempt.py",
        "allow_redirects=False",
        "allow_redirects=True",
        (_STATUSES + "test_F29_redirect",),
    ),
    Guard(
        "no compression is asked for",
        "wire.py",
        '"accept-encoding": "identity"',
        '"accept-encoding": "gzip"',
        ("tests/test_provider.py::test_headers_on_the_wire",),
    ),
    Guard(
        "a prompt has a largest size",
        "wire.py",
        "    if len(body) > MAX_BODY:\n",
        "    if False:\n",
        (_BODY + "test_F59_prompt_too_large",),
    ),
    Guard(
        "lone surrogates are replaced",
        "messages.py",
        'text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")',
        "text",
        (_BODY + "test_F58_lone_surrogates", "tests/test_messages.py::test_well_formed"),
    ),
    Guard(
        "timestamps strictly rise",
        "clock.py",
        "max(self._last.get(server, 0) + 1, present)",
        "present",
        (_WIRE + "test_F95_timestamps_rise",),
    ),
    Guard(
        "roles go apart from the text",
        "wire.py",
        "            for message in messages\n        ]\n        content |=",
        '            for message in [{"role": "user", "content": prompt}]\n'
        "        ]\n        content |=",
        (_WIRE + "test_turns_keep_their_roles", _WIRE + "test_roles_cannot_be_forged_from_text"),
    ),
    Guard(
        "proxies and netrc of the environment are ignored",
        "target.py",
        "trust_env=trust_env,",
        "trust_env=True,",
        (_BEFORE + "test_F09_environment_is_ignored",),
    ),
    Guard(
        "loopback sees no proxy of the environment",
        "target.py",
        'trust_env and not is_loopback(urlsplit(target.endpoint).hostname or "")',
        "trust_env",
        (_BEFORE + "test_F09_loopback_never_sees_the_environment",),
    ),
    Guard(
        "the scheme of a proxy is checked",
        "provider.py",
        "if proxy and not config.is_address(proxy):",
        "if False:",
        (_BEFORE + "test_F08_proxy_that_is_no_http_proxy",),
    ),
    Guard(
        "an endpoint has a secret",
        "provider.py",
        "    if not secret:\n",
        "    if False:\n",
        ("tests/test_provider.py::test_endpoint_without_a_secret",),
    ),
    Guard(
        "certificates are checked",
        "attempt.py",
        "ssl=way.ssl_context or True,",
        "ssl=way.ssl_context or False,",
        (_BEFORE + "test_F04_certificate_not_to_be_trusted",),
    ),
    Guard(
        "no retry after the first byte",
        "transport.py",
        "                    return await self._attempt()\n",
        "                    body = await self._attempt()\n"
        "                    try:\n"
        "                        body.first += await self._read(body)\n"
        "                    except GPROChatError as error:\n"
        "                        body.close()\n"
        "                        error.retryable = True\n"
        "                        raise\n"
        "                    return body\n",
        (
            _BODY + "test_F41_chunked_without_terminator",
            _BODY + "test_F41_cut_in_the_first_character",
        ),
    ),
    Guard(
        "three attempts at most",
        "retry.py",
        "if self._left <= 0 or (error.kind in ONCE and self._used[error.kind]):",
        "if error.kind in ONCE and self._used[error.kind]:",
        (_STATUSES + "test_F28_server_errors_that_stay", "tests/test_retry.py::test_attempts"),
    ),
    Guard(
        "some errors are worth one retry",
        "retry.py",
        "if self._left <= 0 or (error.kind in ONCE and self._used[error.kind]):",
        "if self._left <= 0:",
        (_STATUSES + "test_F24_replay_that_stays",),
    ),
    Guard(
        "Retry-After is obeyed up to 60 s",
        "retry.py",
        "if delay > self._patience or (error.retry_after or 0) > LONGEST_WAIT:",
        "if delay > self._patience:",
        (_STATUSES + "test_F27_retry_after_too_long",),
    ),
    Guard(
        "waits add up to 90 s at most",
        "retry.py",
        "if delay > self._patience or (error.retry_after or 0) > LONGEST_WAIT:",
        "if (error.retry_after or 0) > LONGEST_WAIT:",
        (_STATUSES + "test_F27_waits_add_up",),
    ),
    Guard(
        "a stale connection is forgiven once",
        "transport.py",
        "            self._forgiven = True\n",
        "",
        (_BEFORE + "test_F13_is_forgiven_once",),
    ),
    Guard(
        "one server does not set another's clock",
        "clock.py",
        '    return f"{parts.scheme}://{parts.netloc}"\n',
        '    return parts.scheme and ""\n',
        (_STATUSES + "test_F22_one_server_does_not_set_the_clock_of_another",),
    ),
    Guard(
        "an error holds none of aiohttp's",
        "transport.py",
        "        error.__cause__ = error.__context__ = None\n",
        "",
        (_BEFORE + "test_F12_half_a_header_block", _BEFORE + "test_F06_proxy_refused"),
    ),
    Guard(
        "an error's frames hold no request",
        "transport.py",
        "return error.with_traceback(None)",
        "return error",
        (
            "tests/test_provider.py::test_no_secret_in_what_is_printed",
            _STATUSES + "test_F21_bad_signature",
            "tests/notebook/test_secret.py::test_F127_the_key_is_in_no_output_file_or_log",
        ),
    ),
    Guard(
        "aiohttp's words, with headers, are not shown",
        "refusal.py",
        'return ProtocolError(f"{where} does not answer as HTTP says")',
        'return ProtocolError(f"{where} does not answer as HTTP says: {error!r}")',
        (_BEFORE + "test_F14_answer_that_is_not_http", _BEFORE + "test_F12_half_a_header_block"),
    ),
    Guard(
        "a server cannot repeat the secret",
        "refusal.py",
        '        text = text.replace(secret, "****")\n',
        "        pass\n",
        (_STATUSES + "test_F20_server_that_repeats_the_secret",),
    ),
    Guard(
        "a secret's repr is masked",
        "secret.py",
        'return "Secret(****)" if self.__value else "Secret()"',
        "return repr(self.__value)",
        ("tests/test_config.py",),
    ),
    Guard(
        "a secret is in no pickle",
        "secret.py",
        "        return Secret, ()\n",
        "        return Secret, (self.__value,)  # type: ignore\n",
        ("tests/test_config.py",),
    ),
    Guard(
        "an address's repr is masked",
        "secret.py",
        '        if "://" not in self:\n',
        "        if True:\n",
        ("tests/test_config.py",),
    ),
    Guard(
        "errors show as two lines",
        "errors.py",
        'def _render_traceback_(self) -> list[str]:\n        """Two lines for IPython in place',
        'def _rendered_traceback_(self) -> list[str]:\n        """Two lines for IPython in place',
        ("tests/test_errors.py",),
    ),
)
