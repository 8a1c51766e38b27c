"""One process of bench_runtime: loads a model with whatever llama_cpp it finds, and reports tokens per second.

    python benchmarks/speed.py MODEL THREADS [--first]

With `--first` it ends at the first token. Imports nothing that an endpoint's worker would not.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter

from amx import renounce_amx  # beside this file

PROMPT_TOKENS = 256
ANSWER_TOKENS = 32


def main() -> None:
    """Measure and print one JSON object."""
    import llama_cpp

    model, threads = sys.argv[1], int(sys.argv[2])
    if b"AMX_INT8 = 1" in llama_cpp.llama_print_system_info():
        renounce_amx()
    llama = llama_cpp.Llama(
        model,
        n_ctx=2 * PROMPT_TOKENS,
        n_threads=threads,
        n_threads_batch=threads,
        use_mmap=False,
        verbose=False,
    )
    report: dict[str, object] = {"path": llama_cpp.__file__}
    if "--first" not in sys.argv:
        llama.eval(range(100, 132))  # threads and memory are there now
        llama.reset()
        begun = perf_counter()
        llama.eval(range(1000, 1000 + PROMPT_TOKENS))
        report["prompt"] = PROMPT_TOKENS / (perf_counter() - begun)
        begun = perf_counter()
        for token in range(ANSWER_TOKENS):
            llama.eval([2000 + token])
        report["answer"] = ANSWER_TOKENS / (perf_counter() - begun)
    else:
        llama.eval([1000])
        llama.sample(temp=0)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
