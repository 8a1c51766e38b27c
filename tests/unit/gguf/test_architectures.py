"""The architectures that the runtime loads: how its source is read, and that the library has what was read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline import package_files
from pipeline.gguf import architectures, hyperparameters

TOP = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(TOP / "tools"), str(TOP / "tools" / "runtime")]

import architectures as generator  # noqa: E402
import llama_source  # noqa: E402
import recipe  # noqa: E402

ARCH = """\
static const std::map<llm_arch, const char *> LLM_ARCH_NAMES = {
    { LLM_ARCH_CLIP,    "clip"        }, // dummy
    { LLM_ARCH_LLAMA,   "llama"       },
    { LLM_ARCH_BERT,    "bert-2"      },
    { LLM_ARCH_GPTJ,    "gptj"        },
    { LLM_ARCH_UNKNOWN, "(unknown)"   },
};
static const std::map<llm_kv, const char *> LLM_KV_NAMES = {
    { LLM_KV_BLOCK_COUNT,  "%s.block_count" },
    { LLM_KV_HEADS,        "%s.heads" },
    { LLM_KV_EPS,          "%s.eps" }, // never { LLM_KV_EPS, "this" }
    { LLM_KV_SECTIONS,     "%s.sections" },
    { LLM_KV_NAMED,        "general.named" },
    { LLM_KV_FLAG,         "%s.flag" },
    { LLM_KV_LAYERS,       "%s.layers" },
    { LLM_KV_ATTENTION_SLIDING_WINDOW_PATTERN, "%s.pattern" },
    { LLM_KV_TOKENIZER_MODEL, "tokenizer.model" },
    { LLM_KV_TOKENIZER_BOS_ID, "tokenizer.bos" },
};
bool llm_arch_is_recurrent(const llm_arch & arch) {
    switch (arch) {
        case LLM_ARCH_LLAMA:
        case LLM_ARCH_BERT:
            return true;
        default:
            return false;
    }
}
bool llm_arch_is_hybrid(const llm_arch & arch) {
    switch (arch) { case LLM_ARCH_GPTJ: return false; case LLM_ARCH_CLIP: return true; default: return false; }
}
bool llm_arch_is_diffusion(const llm_arch & arch) { switch (arch) { case LLM_ARCH_BERT: return true; } }
"""
MODEL = """\
static llama_model * llama_model_mapping(llm_arch arch, const llama_model_params & params) {
    switch (arch) {
        case LLM_ARCH_CLIP: return new llama_model_clip(params);
        case LLM_ARCH_LLAMA: return new llama_model_llama(params);
        case LLM_ARCH_BERT: return new llama_model_bert(params);
        default: throw std::runtime_error("unsupported");
    }
}
llama_memory_i * llama_model::create_memory(const llama_memory_params & params) const {
    switch (arch) {
        case LLM_ARCH_BERT:
            { res = nullptr; } break;
        case LLM_ARCH_LLAMA:
            { if (x) { res = new llama_kv_cache(nullptr); break; } } break;
    }
}
bool llama_model_has_encoder(const llama_model * model) {
    switch (model->arch) {
        case LLM_ARCH_BERT: return true;
        default:            return false;
    }
}
static const std::map<llama_rope_scaling_type, const char *> LLAMA_ROPE_SCALING_TYPES = { { A, "yarn" } };
void llama_model_base::load_hparams(llama_model_loader & ml) {
    if (hparams.vocab_only) { return; }
    ml.get_key(LLM_KV_BLOCK_COUNT, hparams.n_layer_all);
    std::string named("x");
    ml.get_key(LLM_KV_NAMED, named, false);
}
"""
CLASSES = """\
struct llama_model_clip : public llama_model_base { };
struct llama_model_bert : public llama_model_llama { };
"""
LLAMA = """\
void llama_model_clip::load_arch_hparams(llama_model_loader &) { }
void llama_model_llama::load_arch_hparams(llama_model_loader & ml) {
    auto lambda = [&](int il) { ml.get_key(LLM_KV_FLAG, hparams.flag); };
    ml.get_key(LLM_KV_EPS, hparams.eps); // ml.get_key(LLM_KV_FLAG, hparams.flag);
    { ml.get_key_or_arr(LLM_KV_HEADS, hparams.n_head_arr, hparams.n_layer_all, /* required */ false); }
    if (ml.get_key_or_arr(LLM_KV_SECTIONS, hparams.sections, 4, true)) {
        ml.get_key(LLM_KV_FLAG, hparams.flag);
    } else if (x) ml.get_key(LLM_KV_FLAG, hparams.flag);
    else { ml.get_key(LLM_KV_FLAG, hparams.flag); }
    for (int i = 0; i < 3; ++i) ml.get_key(LLM_KV_FLAG, hparams.flag);
    ml.get_key(LLM_KV_BLOCK_COUNT, n_vocab, false) || ml.get_key(LLM_KV_FLAG, hparams.flag);
    std::vector<llama_token> layers;
    ml.get_arr(LLM_KV_LAYERS, layers);
    uint32_t n_vocab = 0;
    load_swa_pattern(ml, 4);
}
"""
VOCABULARY = """\
struct llama_vocab::impl {
    std::string tokenizer_model;
};
void llama_vocab::impl::load(llama_model_loader & ml, const LLM_KV & kv) {
    {
        ml.get_key(LLM_KV_TOKENIZER_MODEL, tokenizer_model);
        if (tokenizer_model == "none") { return; }
        if (tokenizer_pre == "odd") { }
    }
    { const pairs special_token_types = { { LLM_KV_TOKENIZER_BOS_ID, special_bos_id }, }; }
}
"""
HYPERPARAMETERS = """\
    uint32_t n_layer_all;
    float eps = 1e-5f;
    bool flag = false;
    std::array<uint32_t, LLAMA_MAX_LAYERS> n_head_arr;
    std::array<int, 4> sections;
"""
FILES = {
    "llama-arch.cpp": ARCH,
    "llama-model.cpp": MODEL,
    "llama-model.h": "",
    "llama-hparams.h": HYPERPARAMETERS,
    "llama-vocab.cpp": VOCABULARY,
    "llama-vocab.h": "struct normalizer_options { bool lowercase = true; };",
    "models/models.h": CLASSES,
    "models/llama.cpp": LLAMA,
}


def rendered(name: str) -> dict[str, object]:
    """Return what the module of this name has, of these sources."""
    module: dict[str, object] = {"__name__": name}
    exec(generator.modules(FILES, "1.2.3")[f"pipeline/gguf/{name}.py"], module)  # noqa: S102 what was rendered is a module
    return module


def test_each_set_has_the_names_that_its_function_answers_for() -> None:
    """Cases that fall to one answer share it, and those of another answer are not among them."""
    module = rendered("architectures")

    assert module["RUNTIME"] == "llama-cpp-python 1.2.3"
    assert module["KNOWN"] == {"clip", "llama", "bert-2"}
    assert module["NAMED_ONLY"] == {"gptj"}
    assert module["RECURRENT"] == {"llama", "bert-2"}
    assert module["HYBRID"] == {"clip"}
    assert module["DIFFUSION"] == module["ENCODERS"] == module["WITHOUT_CACHE"] == {"bert-2"}


def test_keys_are_those_that_are_always_loaded() -> None:
    """Not what stands in a comment, a lambda, a branch, a loop or behind an ||; a class may have its base's."""
    module = rendered("hyperparameters")

    assert module["COMMON"] == (
        ("%s.block_count", "uint32", (), "", True),
        ("general.named", "string", (), "", False),
    )
    integers = ("bool", "int32", "uint32")
    ours = (
        ("%s.eps", "float32", (), "", True),
        ("%s.heads", "uint32", integers, "block_count", False),
        ("%s.sections", "int32", integers, "4", True),
        ("%s.block_count", "uint32", (), "", False),
        ("%s.layers", "", ("int32", "uint32"), "", True),
        ("%s.pattern", "uint32", integers, "at most 512", False),
    )
    assert module["BY_ARCHITECTURE"] == {"clip": (), "llama": ours, "bert-2": ours}
    assert module["VOCABULARY"] == (("tokenizer.model", "string", (), "", True),)
    assert module["TOKEN_IDS"] == ("tokenizer.bos",)
    assert (module["TOKENIZERS"], module["PRE_TOKENIZERS"]) == (("none",), ("odd",))
    assert module["ROPE_SCALINGS"] == ("yarn",)


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        pytest.param("llama-arch.cpp", '"llama" ', "NAME_OF_LLAMA ", id="a name that is no literal"),
        pytest.param("llama-arch.cpp", '"%s.eps" ', "NAME_OF_EPS ", id="a key that is no literal"),
        pytest.param("llama-arch.cpp", "LLM_ARCH_UNKNOWN", "LLM_ARCH_NONE", id="no end of the table"),
        pytest.param("llama-arch.cpp", "llm_arch_is_hybrid", "is_hybrid", id="a function by another name"),
        pytest.param("llama-model.cpp", "res = nullptr", "return {}", id="another way to have no memory"),
        pytest.param("llama-hparams.h", "float eps", "half eps", id="a type that GGUF has not"),
        pytest.param(
            "models/llama.cpp", "hparams.eps", "hparams.other", id="a variable that nobody declares"
        ),
        pytest.param("models/llama.cpp", "LLM_KV_EPS", "LLM_KV_OTHER", id="a key without a name"),
        pytest.param(
            "models/llama.cpp", "llama_model_llama::", "llama_model_x::", id="a class without its function"
        ),
        pytest.param("llama-vocab.cpp", 'tokenizer_pre == "odd"', "pre(odd)", id="no pre-tokenizers"),
    ],
)
def test_a_source_laid_out_otherwise_is_an_error(file: str, before: str, after: str) -> None:
    """Never a shorter list."""
    assert before in FILES[file]
    with pytest.raises(llama_source.SourceError):
        generator.modules({**FILES, file: FILES[file].replace(before, after)}, "1")


def test_the_module_is_of_the_pinned_runtime() -> None:
    """A new pin needs `make architectures`."""
    pins = recipe.pins((TOP / "inference" / "requirements.txt").read_text(encoding="utf-8"))

    assert f"llama-cpp-python {pins['llama-cpp-python'].version}" == architectures.RUNTIME


def test_the_library_has_every_name() -> None:
    """In libllama.so, as a string or as the end of one, which is how linkers keep both."""
    library = (package_files.runtime() / "llama_cpp" / "lib" / "libllama.so").read_bytes()
    called = architectures.KNOWN | architectures.NAMED_ONLY

    assert {name for name in called if name.encode() + b"\0" not in library} == set()
    assert {"llama", "gemma3", "qwen2", "mamba", "bert", "gpt-oss"} <= called


def test_what_is_told_of_architectures_is_told_of_known_ones() -> None:
    """And none is two things at once that exclude each other."""
    sets = (
        architectures.RECURRENT,
        architectures.HYBRID,
        architectures.DIFFUSION,
        architectures.ENCODERS,
        architectures.WITHOUT_CACHE,
    )

    assert all(each <= architectures.KNOWN for each in sets)
    assert set(hyperparameters.BY_ARCHITECTURE) == architectures.KNOWN
    assert not architectures.NAMED_ONLY & architectures.KNOWN
    assert not architectures.RECURRENT & (architectures.HYBRID | architectures.WITHOUT_CACHE)
