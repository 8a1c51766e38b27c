"""What the test of the image is made with: Debian's packages, the Dockerfile's reader, trees that are compared."""

from __future__ import annotations

import io
import marshal
import os
from pathlib import Path

import pytest

from tools.image_test import base, dockerfile, tools, trees


def context(tmp_path: Path, ignore: str = "") -> Path:
    """Return a folder as `docker build` gets it."""
    folder = tmp_path / "context"
    (folder / "server" / "__pycache__").mkdir(parents=True)
    (folder / ".dockerignore").write_text(ignore, encoding="utf-8")
    for name in ("one.py", "two.py", "server/main.py", "server/__pycache__/main.pyc"):
        (folder / name).write_text(name, encoding="utf-8")
    return folder


def built(tmp_path: Path, text: str, ignore: str = "") -> dockerfile.Stage:
    """Carry a Dockerfile out over empty bases."""
    count = 0

    def unpack() -> Path:
        nonlocal count
        count += 1
        root = tmp_path / f"root{count}"
        root.mkdir()
        return root

    return dockerfile.build(text, unpack, context(tmp_path, ignore))


def paths(stage: dockerfile.Stage) -> set[str]:
    """Return the files of a stage."""
    return {path.relative_to(stage.root).as_posix() for path in stage.root.rglob("*") if path.is_file()}


class TestDockerfile:
    """The reader of `inference/Dockerfile`."""

    def test_lines_that_go_on_are_one_instruction(self) -> None:
        """A comment, even between two parts of an instruction, is nothing."""
        text = "# first\nFROM a AS b\nENV A=1 \\\n  # between\n  B=2\n\nUSER 65534:65534\n"

        assert dockerfile.parse(text) == [
            dockerfile.Instruction("FROM", "a AS b"),
            dockerfile.Instruction("ENV", "A=1 B=2"),
            dockerfile.Instruction("USER", "65534:65534"),
        ]

    def test_copies_files_and_what_is_in_folders(self, tmp_path: Path) -> None:
        """As Docker does: a folder's content, not the folder; a file under its name where the target ends in /."""
        stage = built(
            tmp_path, "FROM a\nCOPY one.py two.py /app/\nCOPY server/ /app/server/\nCOPY one.py /x.py\n"
        )

        assert paths(stage) == {
            "app/one.py",
            "app/two.py",
            "app/server/main.py",
            "app/server/__pycache__/main.pyc",
            "x.py",
        }

    def test_what_docker_would_not_send_is_not_copied(self, tmp_path: Path) -> None:
        """The last rule of .dockerignore that fits decides, and leaves no empty folder."""
        stage = built(tmp_path, "FROM a\nCOPY server/ /app/\n", "*\n!server\n**/__pycache__\n")

        assert paths(stage) == {"app/main.py"}
        assert not (stage.root / "app" / "__pycache__").exists()

    def test_takes_from_an_earlier_stage(self, tmp_path: Path) -> None:
        """COPY --from copies of the stage of that name, and of the last stage its own lines alone are kept."""
        text = "FROM a AS built\nCOPY one.py two.py /app/\nENV A=1\nFROM a\nCOPY --from=built /app /opt/app\nENV B=2\n"

        stage = built(tmp_path, text)

        assert paths(stage) == {"opt/app/one.py", "opt/app/two.py"}
        assert stage.configuration == {"Env": {"B": "2"}}

    def test_says_how_a_container_is_started(self, tmp_path: Path) -> None:
        """What it says of that becomes what an image's configuration says."""
        text = 'FROM a\nUSER 1:1\nWORKDIR /tmp\nEXPOSE 8080\nENTRYPOINT ["python", "/a"]\nCMD ["serve"]\nLABEL a=b\n'

        assert built(tmp_path, text).configuration == {
            "User": "1:1",
            "WorkingDir": "/tmp",  # noqa: S108
            "ExposedPorts": {"8080/tcp": {}},
            "Entrypoint": ["python", "/a"],
            "Cmd": ["serve"],
            "Labels": {"a": "b"},
        }

    @pytest.mark.parametrize("line", ["ADD one.py /", "COPY --chmod=0644 one.py /", "HEALTHCHECK NONE"])
    def test_what_it_does_not_know_is_refused(self, tmp_path: Path, line: str) -> None:
        """None is passed over: the tree would be another than Docker's."""
        with pytest.raises(dockerfile.Unknown):
            built(tmp_path, f"FROM a\n{line}\n")


class TestTrees:
    """Two folders, path by path."""

    def trees(self, tmp_path: Path) -> tuple[Path, Path]:
        """Return two folders that are alike."""
        for side in ("left", "right"):
            folder = tmp_path / side / "folder"
            folder.mkdir(parents=True)
            (folder / "file").write_text("content", encoding="utf-8")
            (folder / "link").symlink_to("file")
        return tmp_path / "left", tmp_path / "right"

    def test_alike(self, tmp_path: Path) -> None:
        """Times count for nothing."""
        left, right = self.trees(tmp_path)
        os.utime(right / "folder" / "file", (1, 1))

        assert trees.differences(trees.read(left), trees.read(right)) == []

    def test_each_difference_is_a_line(self, tmp_path: Path) -> None:
        """Mode, content, kind, target and whatever is in one of them alone."""
        left, right = self.trees(tmp_path)
        (right / "folder" / "file").write_text("other", encoding="utf-8")
        (right / "folder" / "file").chmod(0o600)
        (right / "folder" / "link").unlink()
        (right / "folder" / "link").symlink_to("elsewhere")
        (right / "more").mkdir()
        (left / "before").touch()

        found = trees.differences(trees.read(left), trees.read(right))

        assert [line.partition(" '")[0] for line in found] == [
            "before: only in the first",
            "folder/file: content",
            "folder/file: mode",
            "folder/link: content",
            "more: only in the second",
        ]

    def test_bytecode_of_the_same_code_is_alike(self, tmp_path: Path) -> None:
        """However it was written down; other code is not."""
        code = compile("x in {'a', 'b'}", "file.py", "exec")
        for name, content in {
            "one": marshal.dumps(code),
            "other": marshal.dumps(code, 2),  # without references: other bytes of the same
            "third": marshal.dumps(compile("x in {'a', 'c'}", "file.py", "exec")),
        }.items():
            (tmp_path / f"{name}.pyc").write_bytes(bytes(16) + content)
        one, other, third = (trees.digest(tmp_path / f"{name}.pyc") for name in ("one", "other", "third"))

        assert (tmp_path / "one.pyc").read_bytes() != (tmp_path / "other.pyc").read_bytes()
        assert one == other
        assert one != third


class TestDebian:
    """What is installed, and the base that is made of Debian's packages."""

    def test_what_is_missing_is_named_by_its_package(self, tmp_path: Path) -> None:
        """The keyring is a file, the others programs."""
        keyring = tmp_path / "keyring"
        keyring.touch()

        assert tools.missing(lambda _: None, keyring, ("runc", "crun")) == ["runc", *tools.PACKAGES]
        assert tools.missing(lambda name: None if name == "umoci" else "/usr/bin/x", keyring) == ["umoci"]
        assert tools.missing(lambda _: "/usr/bin/x", tmp_path / "none") == ["debian-archive-keyring"]

    def test_any_runtime_will_do_unless_one_is_named(self, tmp_path: Path) -> None:
        """Where there is crun already, no runc is installed."""
        keyring = tmp_path / "keyring"
        keyring.touch()

        def but_runc(name: str) -> str | None:
            return None if name == "runc" else "/usr/bin/x"

        assert tools.runtimes(None) == ("runc", "crun")
        assert tools.runtimes("crun") == ("crun",)
        assert tools.missing(but_runc, keyring, ("runc", "crun")) == []
        assert tools.missing(but_runc, keyring, ("runc",)) == ["runc"]

    def test_the_same_root_is_the_same_layer(self, tmp_path: Path) -> None:
        """Times and the order in which files were made are not in it."""
        packed = []
        for names in (("a", "b"), ("b", "a")):
            root = tmp_path / f"root-{names[0]}"
            root.mkdir()
            for name in names:
                (root / name).write_text(name, encoding="utf-8")
                os.utime(root / name, (len(packed), len(packed)))
            file = io.BytesIO()
            packed.append((base.pack(root, file), file.getvalue()))

        assert packed[0] == packed[1]

    def test_another_recipe_lies_elsewhere(self) -> None:
        """By the machine as well."""
        keys = {
            base.PYTHON.key("x86_64"),
            base.PYTHON.key("aarch64"),
            base.Recipe(packages=("python3",)).key("x86_64"),
            base.Recipe(suite="trixie").key("x86_64"),
            base.Recipe(revision=2).key("x86_64"),
        }

        assert len(keys) == 5
