"""What a GGUF is for, by its header: what nothing serves is refused by its name, the rest is asked as suits it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import sealift_purpose
from pipeline.archive.build.pack import pack
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.s3 import bare
from pipeline.archive.s3.sources import BytesSource
from pipeline.errors import InvalidArchive
from pipeline.gguf import architectures, purpose
from pipeline.gguf.header import TENSOR_TYPES, GGUFHeader, GGUFParser, GGUFProblem, TensorInfo, Value
from pipeline.planning import archive_rules
from pipeline.sizing import images

from .conftest import Forge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pipeline.archive.checks.report import ArchiveReport

RULES = Rules(zip_deployable=True, code_required=False)
WEIGHT = ("token_embd.weight", (32, 4), 0)


def model(
    metadata: Mapping[str, object],
    *tensors: str,
    forge: Forge = Forge(),  # noqa: B008 it has no state
) -> bytes:
    """Return a GGUF of these metadata, and of tensors of these names or of a language model's."""
    named = [(name, (32, 4), 0) for name in tensors] or [WEIGHT]
    return forge.model(metadata=metadata, tensors=named)


def header(data: bytes) -> GGUFHeader:
    """Return the header of a GGUF."""
    parser = GGUFParser()
    parser.feed(data)
    assert parser.header is not None
    return parser.header


def of(architecture: str, **facts: Value) -> GGUFHeader:
    """Return the header of a model of an architecture, `facts` being its own keys."""
    own = {f"{architecture}.{key.replace('__', '.')}": value for key, value in facts.items()}
    return GGUFHeader(
        version=3,
        metadata={"general.architecture": architecture, **own},
        tensors=(TensorInfo("token_embd.weight", (32, 4), TENSOR_TYPES[0], 0),),
        alignment=32,
        data_offset=0,
    )


STRANGERS = [
    pytest.param(
        model({"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora"}),
        "adapter (LoRA)",
        "llama-export-lora",
        id="adapter",
    ),
    pytest.param(
        model({"general.architecture": "llama"}, "blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b"),
        "adapter (LoRA)",
        "llama-export-lora",
        id="adapter that says model",
    ),
    pytest.param(
        model({"general.type": "imatrix", "imatrix.chunk_size": 512}, "blk.0.attn_q.weight.in_sum2"),
        "importance matrix: it is for quantizing",
        "--imatrix",
        id="imatrix",
    ),
    pytest.param(
        model({"general.name": "x"}, "blk.0.ffn_up.weight.in_sum2", "blk.0.ffn_up.weight.counts"),
        "importance matrix",
        "--imatrix",
        id="imatrix by its tensors",
    ),
    pytest.param(
        model({"general.type": "mmproj", "general.architecture": "clip"}, "v.blk.0.attn_q.weight"),
        "projector",
        "language model's own GGUF",
        id="mmproj",
    ),
    pytest.param(
        model({"general.architecture": "clip"}, "v.patch_embd.weight"),
        "projector",
        "language model's own GGUF",
        id="clip",
    ),
    pytest.param(
        model({"general.architecture": "llama"}, "v.blk.0.attn_q.weight", "mm.0.weight"),
        "projector",
        "language model's own GGUF",
        id="a projector under its model's name",
    ),
    pytest.param(
        model({"general.architecture": "controlvector"}, "direction.1"),
        "control vector",
        "without it",
        id="control vector",
    ),
    pytest.param(model({"general.architecture": "t5encoder"}), "T5", "language model", id="t5 encoder"),
    pytest.param(model({"general.architecture": "t5"}), "encoder-decoder", "decoder-only", id="t5"),
    pytest.param(
        model({"general.architecture": "wavtokenizer-dec", "wavtokenizer-dec.attention.causal": False}),
        "audio codec",
        "llama-tts",
        id="wavtokenizer",
    ),
    pytest.param(model({"general.architecture": "pockettts"}), "text-to-speech", "llama-tts", id="tts"),
    pytest.param(
        model({"general.architecture": "kokoro"}, "kokoro.decoder.0"),
        "text-to-speech",
        "program",
        id="kokoro",
    ),
    pytest.param(model({"general.architecture": "eagle3"}), "draft model", "drafts for", id="draft"),
    pytest.param(
        model({"general.architecture": "whisper"}, "encoder.conv1.weight"),
        "speech recognition",
        "whisper.cpp",
        id="whisper",
    ),
    pytest.param(
        model({"general.name": "x"}, "encoder.conv1.weight", "decoder.positional_embedding"),
        "speech recognition",
        "whisper.cpp",
        id="whisper without an architecture",
    ),
    *(
        pytest.param(
            model({"general.architecture": name}, "double_blocks.0.img_attn.qkv.weight"),
            "image or video generator",
            "stable-diffusion.cpp",
            id=name,
        )
        for name in ("flux", "sd1", "sdxl", "sd3", "wan", "qwen_image", "lumina2", "FLUX")
    ),
    *(
        pytest.param(
            model(metadata, f"{prefix}.0.weight"), "image or video", "ComfyUI", id=f"{prefix} {len(metadata)}"
        )
        for prefix in ("model.diffusion_model", "joint_blocks", "first_stage_model", "transformer_blocks")
        # As stable-diffusion.cpp writes them, without one; and with one that is not its own.
        for metadata in ({"general.name": "x"}, {"general.name": "x", "general.architecture": "llama"})
    ),
    pytest.param(
        model({"general.architecture": "bert", "bert.pooling_type": 4}, "token_embd.weight"),
        "without a classifier",
        "jina-bert-v2",
        id="reranker without a head",
    ),
    pytest.param(
        model(
            {"general.architecture": "llama", "llama.pooling_type": 4},
            "token_embd.weight",
            "cls.output.weight",
        ),
        "without a classifier",
        "jina-bert-v2",
        id="a reranker whose head llama.cpp does not load",
    ),
    pytest.param(
        model({"general.architecture": "somebodys"}, "stem.weight"),
        "another program",
        "program",
        id="unknown",
    ),
    pytest.param(
        model({"general.architecture": "llama", "general.type": "dataset"}),
        "'dataset'",
        "model",
        id="a new type",
    ),
]


@pytest.mark.parametrize(("data", "words", "fix"), STRANGERS)
def test_what_nothing_serves_is_refused_by_its_name_wherever_it_is(
    data: bytes, words: str, fix: str, forge: Forge, tmp_path: Path
) -> None:
    """In a tar.gz and a zip, at the first look and the whole one, bare, for an instance, and when it is packed."""
    file = tmp_path / "model.gguf"
    file.write_bytes(data)
    archive, zipped = (
        BytesSource(forge.tar_gz({"model.gguf": data}), "model.tar.gz"),
        BytesSource(forge.zip({"model.gguf": data}), "model.zip"),
    )
    reports: Iterable[ArchiveReport] = (
        *(look(source, rules=RULES) for look in (inspect, verify) for source in (archive, zipped)),
        inspect(BytesSource(data, "model.gguf"), rules=RULES),
        bare.check([BytesSource(data, "model.gguf")], rules=RULES),
    )
    with pytest.raises(InvalidArchive) as refusal:
        pack(file, tmp_path / "model.tar.gz", code={}, rules=RULES)

    told = [*(report.problems for report in reports), refusal.value.problems]
    for (problem,) in told:
        assert problem.error == purpose.NOT_A_LANGUAGE_MODEL
        assert words in problem.seen
        assert fix in problem.fix


def test_a_vocabulary_only_is_said_to_be_one(forge: Forge) -> None:
    """llama.cpp's own ggml-vocab-*.gguf, and what --vocab-only makes."""
    with pytest.raises(GGUFProblem, match="a vocabulary only") as refusal:
        header(forge.model(tensors=()))

    assert refusal.value.problem.error == "GGUFNoTensors"


@pytest.mark.parametrize("odd", ["blk.0.attn_q.weight.lora_a", "blk.0.w.counts", "direction.1"])
def test_one_odd_tensor_makes_no_stranger(odd: str) -> None:
    """All of an adapter's tensors are an adapter's."""
    read = header(model({"general.architecture": "llama"}, "blk.0.attn_q.weight", odd))

    assert purpose.refusal(read) is None


def test_a_first_shard_is_judged_by_what_it_says_alone() -> None:
    """The token embedding may lie in another file; that it is an image model's is said in the first."""
    split = {"split.count": 2, "split.no": 0}

    assert header(model({"general.architecture": "somebodys", **split}, "stem.weight")).shard_count == 2
    with pytest.raises(GGUFProblem, match="image or video"):
        header(model({"general.architecture": "wan", **split}, "blocks.0.weight"))


@given(st.sampled_from(sorted(architectures.KNOWN - set(purpose._BY_ARCHITECTURE))))
def test_every_other_architecture_of_the_runtime_is_served(architecture: str) -> None:
    """None is refused by mistake: the names of what serves and of what does not share none."""
    assert purpose.refusal(of(architecture)) is None
    assert purpose.unserved(of(architecture), embeddings=True, runtime=architectures.KNOWN) is None


@given(st.text(min_size=1, max_size=40), st.lists(st.text(max_size=40), max_size=4, unique=True))
def test_no_name_is_too_odd_to_be_judged(architecture: str, tensors: list[str]) -> None:
    """Every header gets an answer, and what it names is shown as Python shows a text: escapes reach nobody."""
    names = {name.encode()[:60].decode("utf-8", "ignore"): None for name in tensors}
    parser, refused = GGUFParser(), ""
    try:
        parser.feed(model({"general.architecture": architecture}, *names))
    except GGUFProblem as refusal:
        refused = str(refusal)
    read = parser.header

    assert refused.isprintable()
    if read is None:
        return
    assert purpose.of(read) in purpose.Purpose
    unknown = purpose.unserved(read, embeddings=False, runtime=architectures.KNOWN)
    assert (unknown is not None) == (
        architecture not in architectures.KNOWN or purpose.of(read) is purpose.Purpose.EMBEDDING
    )


# -- what serves


@pytest.mark.parametrize(
    ("read", "wanted"),
    [
        pytest.param(of("llama"), "completion", id="no template"),
        pytest.param(
            header(model({"general.architecture": "llama", "tokenizer.chat_template": "{{ m }}"})),
            "chat",
            id="a template",
        ),
        pytest.param(
            header(model({"general.architecture": "llama", "tokenizer.chat_template": "{{ m }}" * 20_000})),
            "chat",
            id="a template that is too long to be held",
        ),
        pytest.param(
            header(model({"general.architecture": "llama", "tokenizer.chat_template": ""})),
            "completion",
            id="an empty template",
        ),
        *(
            pytest.param(of(name), "embedding", id=name)
            for name in (
                *("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "modern-bert"),
                *("neo-bert", "eurobert", "gemma-embedding", "llama-embed"),
            )
        ),
        *(
            pytest.param(of("qwen3", pooling_type=pooling), "embedding", id=f"qwen3 pooling {pooling}")
            for pooling in (1, 2, 3)
        ),
        *(
            pytest.param(of(name, pooling_type=4), "rerank", id=f"{name} ranks")
            for name in sorted(sealift_purpose.RANKERS)
        ),
        pytest.param(of("qwen3", pooling_type=0), "completion", id="qwen3 pooling none"),
        pytest.param(of("lfm2", attention__causal=False), "embedding", id="bidirectional"),
        pytest.param(of("lfm2", attention__causal=True), "completion", id="causal said"),
        *(
            pytest.param(of(name, attention__causal=False), "completion", id=name)
            for name in sorted(architectures.DIFFUSION)
        ),
    ],
)
def test_what_serves_is_asked_as_suits_it(read: GGUFHeader, wanted: str) -> None:
    """An embedding model by its architecture, its pooling or its attention; a base model by what it has not."""
    assert purpose.of(read) == wanted
    assert read.to_json()["purpose"] == wanted


@pytest.mark.parametrize(
    ("read", "wanted"),
    [
        pytest.param(of("qwen3", pooling_type=3), False, id="the last token of a generator's body"),
        pytest.param(of("qwen3", pooling_type=1), True, id="the mean"),
        pytest.param(of("qwen3", pooling_type=3, attention__causal=False), True, id="bidirectional"),
        pytest.param(of("bert", pooling_type=3), True, id="without a cache"),
        pytest.param(of("bert", pooling_type=4), True, id="an encoder that ranks"),
        pytest.param(of("qwen3", pooling_type=4), False, id="a generator's body that ranks"),
    ],
)
def test_a_text_is_evaluated_in_parts_where_that_is_the_same(read: GGUFHeader, *, wanted: bool) -> None:
    """Where each token sees only those before it, they are remembered, and the last one is taken."""
    assert purpose.whole(read) == wanted
    assert read.to_json()["evaluated_whole"] == wanted


def test_an_embeddings_width_is_the_headers() -> None:
    """A model may put out another width than it computes with."""
    assert purpose.width(of("bert", embedding_length=384)) == 384
    assert purpose.width(of("lfm2", embedding_length=1024, embedding_length_out=128)) == 128
    assert purpose.width(of("somebodys")) is None


@pytest.mark.parametrize(
    ("architecture", "pooling", "causal", "remembers", "diffuses", "wanted"),
    [
        ("llama", None, True, True, False, False),
        ("llama", sealift_purpose.MEAN, True, True, False, True),
        ("llama", sealift_purpose.LAST, True, True, False, True),
        ("llama", sealift_purpose.RANK, True, True, False, False),
        ("bert", sealift_purpose.RANK, False, False, False, False),
        ("llama", 0, True, True, False, False),
        ("llama", None, False, True, False, True),
        ("bert", None, True, False, False, True),
        ("dream", None, False, False, True, False),
        ("llama-embed", None, True, True, False, True),
    ],
)
def test_the_rule_is_the_containers_own(
    architecture: str, pooling: int | None, *, causal: bool, remembers: bool, diffuses: bool, wanted: bool
) -> None:
    """The same function judges in the endpoint, by what llama.cpp says of the loaded model."""
    found = sealift_purpose.embeds(
        architecture, pooling, causal=causal, remembers=remembers, diffuses=diffuses
    )

    assert found == wanted


@pytest.mark.parametrize("head", ["cls.weight", "cls.output.weight"])
def test_a_reranker_has_a_head(head: str) -> None:
    """One of two tensors; a shard may have it in another file. Only the image that chats does not take it."""
    facts = {"general.architecture": "bert", "bert.pooling_type": 4}
    read = header(model(facts, "token_embd.weight", head))
    shard = header(model({**facts, "split.count": 2, "split.no": 0}, "token_embd.weight"))

    assert purpose.of(read) is purpose.of(shard) is purpose.Purpose.RERANK
    refused = purpose.unserved(read, embeddings=False, runtime=None)
    assert refused is not None
    assert refused.error == "RankingsNotServed"
    assert purpose.unserved(read, embeddings=True, runtime=None) is None


@pytest.mark.parametrize(
    ("container", "code", "architecture", "error"),
    [
        ("pytorch", "sealift", "llama", None),
        ("pytorch", "sealift", "bert", None),
        ("pytorch", "sealift", "somebodys", "ArchitectureUnknown"),
        ("pytorch", "archive", "somebodys", None),
        ("llama-cpp", "sealift", "bert", "EmbeddingsNotServed"),
        ("llama-cpp", "sealift", "llama", None),
        ("llama-cpp", "sealift", "somebodys", None),
        ("custom", "sealift", "bert", None),
        ("custom", "sealift", "somebodys", None),
        ("custom", "archive", "bert", None),
    ],
)
def test_what_a_container_does_not_serve_is_refused_for_that_container(
    container: str, code: str, architecture: str, error: str | None, forge: Forge
) -> None:
    """Its own runtime is known; another image may have a newer one. AWS's llama.cpp image only chats."""
    rules = archive_rules.archive_rules(code, container=container)
    data = forge.tar_gz({**forge.code, "m.gguf": model({"general.architecture": architecture})})

    found = [problem.error for problem in verify(BytesSource(data, "model.tar.gz"), rules=rules).problems]

    assert found == ([error] if error else [])


@pytest.mark.parametrize(
    ("read", "words"),
    [
        pytest.param(of("llama"), "it completes, it does not chat", id="base"),
        pytest.param(of("bert", embedding_length=384), "with 384 numbers for each text", id="embedding"),
        pytest.param(of("bert", pooling_type=4), "a reranker: it answers", id="reranker"),
        pytest.param(of("llada"), "diffusion language model", id="diffusion"),
        pytest.param(of("somebodys"), "not known to", id="unknown"),
    ],
)
def test_what_is_asked_otherwise_has_a_note(read: GGUFHeader, words: str) -> None:
    """One that a person reads before the deployment is made."""
    assert words in " ".join(purpose.notes(read.to_json()))


def test_a_chat_model_has_no_note() -> None:
    """Nothing is to be known of it."""
    chats = header(model({"general.architecture": "llama", "tokenizer.chat_template": "{{ m }}"}))

    assert purpose.notes(chats.to_json()) == []


def test_a_base_model_in_an_image_that_only_chats_is_not_said_to_take_prompts() -> None:
    """AWS's image has no other way in."""
    facts = of("llama").to_json()

    assert '"prompt"' in purpose.notes(facts)[0]
    assert '"prompt"' not in purpose.notes(facts, messages_only=True)[0]
    assert images.LLAMA_CPP.requests == ("messages",)
