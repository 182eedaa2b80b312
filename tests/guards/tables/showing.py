"""Guards of a stranger's text on its way to a reader."""

from tests.guards.guard import Guard

_MARKDOWN = "tests/test_markdown.py"
_TERMINAL = "tests/notebook/test_frontends.py"
_SNIPPETS = "tests/notebook/test_snippets.py"

GUARDS = (
    Guard(
        "control characters are taken out",
        "terminal.py",
        "return stream.feed(text) + stream.finish()",
        "return text",
        (_MARKDOWN + "::TestPlain::test_F56_sequences_are_taken_out_whole",),
    ),
    Guard(
        "a terminal gets no sequence of the model's",
        "notebook/cell.py",
        "self._write(self._plain.feed(self._new(self._form.streamed(self.text))))",
        "self._write(self._new(self._form.streamed(self.text)))",
        (
            "tests/notebook/test_frontends.py::TestTerminal::test_F56_control_sequences_are_not_passed_on",
        ),
    ),
    Guard(
        "only a part of a long reply is parsed at a time",
        "markdown.py",
        "while (end := at + max(_PORTION, len(rest))) < len(source):",
        "while (end := at + 10**9) < len(source):",
        (_MARKDOWN + "::TestBounds::test_a_long_reply_is_read_in_portions",),
    ),
    Guard(
        "a definition that a portion cuts is not kept",
        "markdown.py",
        '        if reference["map"][1] <= line\n',
        "",
        (_MARKDOWN + "::TestBounds::test_a_definition_cut_in_two_is_whole",),
    ),
    Guard(
        "a transcript adds nothing to the table of contents",
        "notebook/shown.py",
        "return _HEADING.sub(r'<p dir=\"auto\"><strong>\\1</strong></p>', ",
        "return str(",
        ("tests/panel/test_transcript.py::test_a_transcript_has_no_headings",),
    ),
    Guard(
        "the second wall: all passes nh3",
        "markup.py",
        "return _CLEANER.clean(html)",
        "return html",
        (_MARKDOWN,),
    ),
    Guard(
        "the second wall knows schemes",
        "markup.py",
        "    attribute_filter=_absolute,\n    url_schemes=",
        '    url_schemes={"javascript", "file"} | ',
        (_MARKDOWN,),
    ),
    Guard(
        "raw HTML is text",
        "markup.py",
        '"html": False',
        '"html": True',
        (_MARKDOWN,),
    ),
    Guard(
        "a link names a scheme of ours",
        "markup.py",
        "return links.target(url) is not None",
        "return True",
        (_MARKDOWN,),
    ),
    Guard(
        "a link's real host is shown",
        "links.py",
        "    return seen == where.lower() or",
        "    return True or",
        (_MARKDOWN,),
    ),
    Guard(
        "an image is a link",
        "markup.py",
        "    def image(self",
        "    def picture(self",
        (_MARKDOWN,),
    ),
    Guard(
        "code is escaped",
        "highlight.py",
        "HIDDEN.sub(_code_point, escape(source, quote=False))",
        "HIDDEN.sub(_code_point, source)",
        (_MARKDOWN,),
    ),
    Guard(
        "what is hidden in code is shown",
        "highlight.py",
        "HIDDEN.sub(_code_point, escape(source, quote=False))",
        "escape(source, quote=False)",
        (_MARKDOWN,),
    ),
    Guard(
        "nesting is bounded",
        "markup.py",
        '    md.block.ruler.before("table", "too_deep", _too_deep)\n',
        "",
        (_MARKDOWN,),
    ),
    Guard(
        "a page is in a sandbox",
        "notebook/frames.py",
        'sandbox="" ',
        'sandbox="allow-scripts allow-same-origin" ',
        (_SNIPPETS,),
    ),
    Guard(
        "a page's frame forbids the network",
        "notebook/frames.py",
        "{_attributes(_HEAD + page)}",
        "{_attributes(page)}",
        (_SNIPPETS,),
    ),
    Guard(
        "the frame around it does as well",
        "notebook/frames.py",
        'inner = f"{_HEAD}{_OUTER}',
        'inner = f"{_OUTER}',
        (_SNIPPETS,),
    ),
    Guard(
        "the policy begins with nothing",
        "notebook/frames.py",
        "default-src 'none'; ",
        "",
        (_SNIPPETS,),
    ),
    Guard(
        "a page has no hint to connect",
        "notebook/frames.py",
        '    page = _LINK.sub("<no-link", page)\n',
        "",
        (_SNIPPETS,),
    ),
    Guard(
        "a megabyte is not inserted",
        "notebook/insertion.py",
        'if (size := len(cell.encode("utf-8", "replace"))) > LARGEST:',
        'if (size := len(cell.encode("utf-8", "replace"))) < 0:',
        ("tests/notebook/test_formats.py::test_F125_a_megabyte_is_refused",),
    ),
    Guard(
        "only code goes into a cell",
        "notebook/insertion.py",
        "if not snippet.insertable:",
        "if False:",
        ("tests/notebook/test_formats.py::test_what_is_no_code_for_a_cell_is_only_shown",),
    ),
    Guard(
        "a block cannot leave its fence",
        "notebook/formats.py",
        'fence = "`" * max(3, longest + 1)',
        'fence = "```"',
        (_SNIPPETS,),
    ),
)
