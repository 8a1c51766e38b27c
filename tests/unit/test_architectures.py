"""The architectures that the runtime loads: how its source is read, and that the library has what was read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline import architectures, resources

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tools"), str(TOP / "tools" / "runtime")]

import architectures as generator  # noqa: E402
import recipe  # noqa: E402

ARCH = """\
static const std::map<llm_arch, const char *> LLM_ARCH_NAMES = {
    { LLM_ARCH_CLIP,    "clip"        }, // dummy
    { LLM_ARCH_LLAMA,   "llama"       },
    { LLM_ARCH_BERT,    "bert-2"      },
    { LLM_ARCH_GPTJ,    "gptj"        },
    { LLM_ARCH_UNKNOWN, "(unknown)"   },
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
"""
FILES = {"llama-arch.cpp": ARCH, "llama-model.cpp": MODEL}


def rendered(files: dict[str, str]) -> dict[str, object]:
    """Return what the module of these sources has."""
    module: dict[str, object] = {}
    exec(generator.render(files, "1.2.3"), module)  # noqa: S102 what was rendered is a module
    return module


def test_each_set_has_the_names_that_its_function_answers_for() -> None:
    """Cases that fall to one answer share it, and those of another answer are not among them."""
    module = rendered(FILES)

    assert module["RUNTIME"] == "llama-cpp-python 1.2.3"
    assert module["KNOWN"] == {"clip", "llama", "bert-2"}
    assert module["NAMED_ONLY"] == {"gptj"}
    assert module["RECURRENT"] == {"llama", "bert-2"}
    assert module["HYBRID"] == {"clip"}
    assert module["DIFFUSION"] == module["ENCODERS"] == module["WITHOUT_CACHE"] == {"bert-2"}


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        pytest.param("llama-arch.cpp", '"llama" ', "NAME_OF_LLAMA ", id="a name that is no literal"),
        pytest.param("llama-arch.cpp", "LLM_ARCH_UNKNOWN", "LLM_ARCH_NONE", id="no end of the table"),
        pytest.param("llama-arch.cpp", "llm_arch_is_hybrid", "is_hybrid", id="a function by another name"),
        pytest.param("llama-model.cpp", "res = nullptr", "return {}", id="another way to have no memory"),
    ],
)
def test_a_source_laid_out_otherwise_is_an_error(file: str, before: str, after: str) -> None:
    """Never a shorter list."""
    with pytest.raises(generator.SourceError):
        generator.render({**FILES, file: FILES[file].replace(before, after)}, "1")


def test_the_module_is_of_the_pinned_runtime() -> None:
    """A new pin needs `make architectures`."""
    pins = recipe.pins((TOP / "inference" / "requirements.txt").read_text(encoding="utf-8"))

    assert f"llama-cpp-python {pins['llama-cpp-python'].version}" == architectures.RUNTIME


def test_the_library_has_every_name() -> None:
    """In libllama.so, as a string or as the end of one, which is how linkers keep both."""
    library = (resources.runtime() / "llama_cpp" / "lib" / "libllama.so").read_bytes()
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
    assert not architectures.NAMED_ONLY & architectures.KNOWN
    assert not architectures.RECURRENT & (architectures.HYBRID | architectures.WITHOUT_CACHE)
