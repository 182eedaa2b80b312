"""`-i` in a real kernel: files and variables as pictures beside the prompt, and what is refused."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gprochat_magic.messages import images_of
from tests.gateways import Served, served
from tests.kernels import Kernel, kernel


@pytest.fixture(scope="module")
def far() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    picture = Image.new("RGB", (8, 6), "red")
    for kind in ("png", "jpeg", "gif", "webp", "bmp"):
        picture.save(folder / f"red.{kind}")
    picture.save(folder / "a red one.png")
    (folder / "text.png").write_text("no picture")
    (folder / "empty.png").touch()
    (folder / "half.png").write_bytes(b"\x89PNG\r\n")
    (folder / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 2_500_000)
    return folder


@pytest.fixture(scope="module")
def one_kernel(far: Served, folder: Path) -> Iterator[Kernel]:
    with kernel(**far.environment, GPROCHAT_WIRE="turns", MPLBACKEND="agg") as started:
        started.run(f"%cd -q {folder}")
        yield started


@pytest.fixture
def k(one_kernel: Kernel, far: Served) -> Kernel:
    one_kernel.run("%gprochat reset")
    far.backend.asked.clear()
    return one_kernel


def pictures(far: Served) -> list[tuple[str, bytes]]:
    """Type and bytes of the pictures in the last message that reached the model."""
    content: Any = far.backend.asked[-1][0][-1]["content"]
    if isinstance(content, str):
        return []
    parts = [part["inline_data"] for part in content if "inline_data" in part]
    return [(part["mime_type"], base64.b64decode(part["data"])) for part in parts]


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp"])
def test_a_file_goes_along_as_it_is(k: Kernel, far: Served, folder: Path, kind: str) -> None:
    """A file of each kind arrives byte for byte, under the type that its bytes show."""
    (folder / "misnamed.dat").write_bytes((folder / f"red.{kind}").read_bytes())
    ran = k.run("%gprochat -i misnamed.dat what is it?")

    assert pictures(far) == [(f"image/{kind}", (folder / f"red.{kind}").read_bytes())]
    assert f"with misnamed.dat, {kind}, 1 kB" in ran.shown[0]["text/html"]


@pytest.mark.parametrize(
    "code",
    [
        "open('red.png', 'rb').read()",
        "bytearray(open('red.png', 'rb').read())",
        "__import__('IPython.display').display.Image('red.png')",
        "__import__('PIL.Image').Image.open('red.gif')",
        "__import__('PIL.Image').Image.new('L', (3, 3))",
        "__import__('matplotlib.figure').figure.Figure()",
        "__import__('pathlib').Path('red.png')",
    ],
)
def test_a_variable_goes_along(k: Kernel, far: Served, code: str) -> None:
    """Bytes, an IPython or PIL image, a figure and the file at a path arrive as a png."""
    assert k.run(f"thing = {code}").status == "ok"
    assert k.run("%gprochat -q -i thing what is it?").status == "ok"

    [(kind, data)] = pictures(far)
    assert (kind, data[:8]) == ("image/png", b"\x89PNG\r\n\x1a\n")


def test_several_and_a_name_with_spaces(k: Kernel, far: Served) -> None:
    """-i may be given again; the prompt says below what went along."""
    k.run("%gprochat -q -i red.png -i 'a red one.png' -i red.webp compare")
    prompt: Any = far.backend.asked[-1][0][-1]["content"]
    assert [kind for kind, _ in pictures(far)] == ["image/png", "image/png", "image/webp"]
    said = (
        "compare\n\n(Pictures: red.png, png, 1 kB; a red one.png, png, 1 kB; red.webp, webp, 1 kB)"
    )
    assert prompt[0]["text"] == said


def sent(far: Served) -> list[int]:
    """How many pictures each message had that reached the model last."""
    return [len(images_of(message)) for message in far.backend.asked[-1][0]]


def test_a_picture_can_be_asked_about_again(k: Kernel, far: Served) -> None:
    """It goes along again with its turn, also in a copy of the conversation."""
    k.run("%gprochat -q -i red.png what is it?")
    k.run("%gprochat -q and which colour?")
    assert sent(far) == [1, 0, 0]
    assert far.backend.asked[-1][0][0] == far.backend.asked[-2][0][-1]

    k.run("%gprochat fork")
    k.run("%gprochat -q -i red.gif and this?")
    assert sent(far) == [1, 0, 0, 0, 1]
    assert "pictures: 2, " in k.run("%gprochat context").stdout


def test_pictures_that_do_not_go_along_again_are_told(k: Kernel, far: Served) -> None:
    """The newest have the first claim on the room; what is not known any more is as if too big."""
    k.run("big = b'\\x89PNG\\r\\n\\x1a\\n' + bytes(1_500_000)")
    k.run("%gprochat -q -i big first")
    k.run("%gprochat -q -i big second")
    ran = k.run("%gprochat third")
    assert sent(far) == [0, 0, 1, 0, 0]
    assert "1 earlier pictures left out" in str(ran.shown)

    k.run("%config GPROChatMagics.wire = 'flat'")
    assert "2 earlier pictures left out" in str(k.run("%gprochat fourth").shown)
    k.run("%config GPROChatMagics.wire = 'turns'")
    k.run("import gprochat_magic; gprochat_magic.Chat().conversation.album.clear()")
    assert "2 earlier pictures left out" in str(k.run("%gprochat fifth").shown)


def test_retry_sends_the_pictures_again(k: Kernel, far: Served) -> None:
    """`retry` sends the same pictures; where they are not known any more, it says so."""
    k.run("%gprochat -q -i red.png what is it?")
    first = pictures(far)
    k.run("%gprochat retry")
    assert pictures(far) == first
    assert len(far.backend.asked) == 2

    k.run("import gprochat_magic; gprochat_magic.Chat().conversation.album.clear()")
    ran = k.run("%gprochat retry")
    assert "the pictures of that prompt are not kept" in ran.stdout
    assert len(far.backend.asked) == 2


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("-i nope.png", "-i nope.png: no variable and no file is called that"),
        ("-i text.png", "-i text.png: it is no png, jpeg, gif or webp picture"),
        ("-i empty.png", "it is no png, jpeg, gif or webp picture"),
        ("-i half.png", "it is no png, jpeg, gif or webp picture"),
        ("-i red.bmp", "it is no png, jpeg, gif or webp picture"),
        ("-i large.png", "over 2.5 MB of pictures do not fit"),
        ("-i red.png -i large.png", "-i large.png: over 2.5 MB of pictures do not fit"),
        ("-i .", "-i .: no variable and no file is called that"),
        ("-i number", "-i number: a int is no picture"),
        ("-i words", "-i words: it is no png, jpeg, gif or webp picture"),
        ("-i linked", "-i linked: a Image is no picture"),
        ("-i raises", "-i raises: drawing it raised RuntimeError"),
        ("-i red.png -i nope", "-i nope: no variable"),
    ],
)
def test_what_is_no_picture_is_one_line(k: Kernel, far: Served, flags: str, expected: str) -> None:
    """A missing file, one that is no picture or too large, a wrong variable: nothing is sent."""
    k.run(
        "number, words = 3, b'words'\n"
        "linked = __import__('IPython.display').display.Image(url='http://127.0.0.1:9/x.png')\n"
        "class Raises:\n    def savefig(self, *a, **k): raise RuntimeError\n"
        "raises = Raises()"
    )
    ran = k.run(f"%gprochat {flags} hi")

    assert ran.reply["content"]["ename"] == "UsageError"
    assert expected in ran.stdout
    assert ran.stdout.count("\n") == 1
    assert far.backend.asked == []
    assert k.run("%gprochat history").stdout == "No turns yet.\n"


def test_the_flat_wire_refuses_pictures(k: Kernel, far: Served) -> None:
    """Under the flat wire -i is refused by name, before anything is sent or kept."""
    k.run("%config GPROChatMagics.wire = 'flat'")
    ran = k.run("%gprochat -i red.png hi")
    k.run("%config GPROChatMagics.wire = 'turns'")

    assert "pictures (-i) cannot go along" in ran.error["traceback"][0]
    assert far.backend.asked == []
    assert k.run("%gprochat history").stdout == "No turns yet.\n"


def test_the_largest_pictures_fit_a_request(k: Kernel, far: Served) -> None:
    """2.5 MB of pictures and all the context that may be still make a request that is accepted."""
    k.run(
        "big = b'\\x89PNG\\r\\n\\x1a\\n' + bytes(2_499_992)\n"
        "a, b, c = ('ж' * 10**5 + x for x in 'abc')"
    )
    ran = k.run("%gprochat -q -i big -x a -x b -x c hi")

    assert ran.status == "ok"
    assert len(pictures(far)[0][1]) == 2_500_000
