"""The generator of small models: the file format alone, without llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest

from examples.tiny_gguf import ANSWER, CORPUS, main, sentence_tokens, write_tiny_gguf

if TYPE_CHECKING:
    from pathlib import Path


def _field(reader: gguf.GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    assert field is not None
    return field.contents()


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    """The file is reproducible, and the seed matters."""
    first = write_tiny_gguf(tmp_path / "a.gguf", seed=1).read_bytes()
    again = write_tiny_gguf(tmp_path / "b.gguf", seed=1).read_bytes()
    other = write_tiny_gguf(tmp_path / "c.gguf", seed=2).read_bytes()

    assert first == again
    assert first != other


def test_header_says_what_was_asked_for(tmp_path: Path) -> None:
    """The sizes and the name arrive in the metadata, where the pipeline reads them."""
    path = write_tiny_gguf(
        tmp_path / "m.gguf", name="harbour", layers=3, embd=256, vocab=600, ctx=512, tensor_type="q8_0"
    )

    reader = gguf.GGUFReader(path)
    assert _field(reader, "general.architecture") == "llama"
    assert _field(reader, "general.name") == "harbour"
    assert _field(reader, "llama.block_count") == 3
    assert _field(reader, "llama.embedding_length") == 256
    assert _field(reader, "llama.context_length") == 512
    assert _field(reader, "general.file_type") == gguf.LlamaFileType.MOSTLY_Q8_0
    assert len(_field(reader, "tokenizer.ggml.tokens")) == 600
    assert "<|assistant|>" in _field(reader, "tokenizer.chat_template")


@pytest.mark.parametrize(
    ("tensor_type", "kind"),
    [
        pytest.param("f32", gguf.GGMLQuantizationType.F32, id="f32"),
        pytest.param("f16", gguf.GGMLQuantizationType.F16, id="f16"),
        pytest.param("q8_0", gguf.GGMLQuantizationType.Q8_0, id="q8_0"),
    ],
)
def test_greedy_walk_through_the_stored_weights_is_the_answer(
    tmp_path: Path, tensor_type: str, kind: gguf.GGMLQuantizationType
) -> None:
    """Read back from the file, the matrices alone lead from the assistant token through the whole answer."""
    reader = gguf.GGUFReader(write_tiny_gguf(tmp_path / "m.gguf", tensor_type=tensor_type))
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    embedding, output = (
        gguf.quants.dequantize(tensors[name].data, tensors[name].tensor_type)
        for name in ("token_embd.weight", "output.weight")
    )
    texts = _field(reader, "tokenizer.ggml.tokens")

    walk: list[str] = []
    token = texts.index("<|assistant|>")
    while texts[token] != "</s>" and len(walk) < 100:
        token = int(np.argmax(output @ embedding[token]))
        walk.append(texts[token])

    assert tensors["output.weight"].tensor_type == kind
    assert walk == [*sentence_tokens(ANSWER), "</s>"]


def test_only_words_that_repeat_on_purpose_repeat() -> None:
    """A word with two successors would make a sentence jump into another; "ping" alone may."""
    successors: dict[str, set[str]] = {}
    for sentence in CORPUS:
        tokens = sentence_tokens(sentence)
        for before, after in zip(tokens, [*tokens[1:], ""], strict=True):
            successors.setdefault(before, set()).add(after)

    assert [token for token, after in successors.items() if len(after) > 1] == ["\u2581ping"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({"embd": 100}, "multiple of 128", id="embedding"),
        pytest.param({"layers": 0}, "layers=0", id="layers"),
        pytest.param({"vocab": 100}, "a vocabulary of 100 tokens; wanted at least", id="vocabulary"),
        pytest.param({"tensor_type": "q4_k"}, "'q4_k'; wanted one of f32, f16, q8_0", id="type"),
    ],
)
def test_impossible_sizes_are_refused(tmp_path: Path, arguments: dict[str, Any], words: str) -> None:
    """Nothing is written when the sizes cannot hold the chain."""
    with pytest.raises(ValueError, match=words):
        write_tiny_gguf(tmp_path / "m.gguf", **arguments)

    assert not (tmp_path / "m.gguf").exists()


def test_command_line_writes_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says what it wrote, and a mistake is one line and status 2."""
    path = tmp_path / "m.gguf"

    main([str(path), "--name", "harbour", "--type", "f32"])

    assert _field(gguf.GGUFReader(path), "general.name") == "harbour"
    assert str(path.stat().st_size) in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main([str(path), "--embd", "1"])
    assert caught.value.code == 2
