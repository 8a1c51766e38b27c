"""Our servers against llama-server: tokens per second, time to the first token, prefix reuse, fixed cost, memory.

    python benchmarks/bench_inference.py [--server-python PYTHON] [--rounds 3] [--model tiny|small|1b] [--json FILE]
    python benchmarks/bench_inference.py --only callers        two minutes on two idle cores
    python benchmarks/bench_inference.py --soak 600

The sides of a row take turns, twice in each round, with the same file, slots, threads and batches; a row is the
median of the rounds and the median of their ratios, since other work comes and goes. CPU seconds are told beside
the wall's: they do not depend so much on who else computes.

    callers        1, 2, 4, 8 and 16 callers at once, 64 tokens each: `custom` (the adapter), and llama-server alone
                   with the very arguments that the adapter gives to its own
    first token    the time to the first event of a stream that has text in it, on the same two
    functions      a prompt, and an answer to it, for one caller: inference/server.py, and llama-server with one slot
    prefix reuse   the time to the first token behind a system prompt of 500 tokens, with the four functions:
                   evaluated before, evaluated and pushed out by another, and never seen
    fixed cost     one token of a model of 1 MB: inference/server.py, and `python -m llama_cpp.server`, which PYTHON
                   can import (no row without it)
    memory         at rest and with all slots full: `custom`, llama-server, the four functions, and the fit of each

`--soak` is another run: mixed traffic for so many seconds on `custom` and on the four functions, and whether memory,
files and threads are more at its end.

The models have random weights, and are written to a temporary folder and deleted. Whatever was started is ended.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import count
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import serving as sides
from benchmarks import shapes, soak
from examples.tiny_gguf import write_tiny_gguf
from pipeline.gguf.header import read_header
from pipeline.limits import MiB
from pipeline.sizing import fit, serving
from pipeline.sizing.llama_memory import Shape, footprint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.serving import Side

SHAPES: Final = {"tiny": shapes.LLAMA_TINY, "small": shapes.LLAMA_SMALL, "1b": shapes.LLAMA_1B}
N_CTX: Final = 1024
SLOTS: Final = 4
PARTS: Final = ("callers", "first token", "functions", "prefix reuse", "fixed cost", "memory")
CALLERS: Final = (1, 2, 4, 8, 16)
QUESTION: Final = 24
"""Tokens of each caller's prompt."""
SPOKEN: Final = 64
"""Tokens of each caller's answer."""
PROMPT: Final = 384
SYSTEM: Final = 500
FIRST_TOKENS: Final = 12
"""Streams that are begun, in a round."""
REQUESTS: Final = 100
"""Of one token, in a round."""
WANTED: Final = {"callers": 0.97, "decode": 0.97, "prompt": 0.95, "fixed cost": 2.0, "prefix": 5.0}
WANTED_FIRST_MS: Final = 3.0

Pair = tuple[float, float]
"""A figure of ours, and of what it is compared with."""


_begin = count()


def _fresh(tokens: int) -> str:
    """Return a prompt of so many tokens that begins as no other did."""
    number = next(_begin)
    return "".join(chr(ord("a") + number // 26**n % 26) for n in range(3)) + shapes.CHARACTER * (tokens - 4)


def _in_turn(rounds: int, ours: Side, theirs: Side, measure: Callable[[Side], float]) -> list[Pair]:
    """Measure each side twice in each round, once behind the other and once behind itself.

    Who is asked again at once answers up to a third slower than who has rested, with two threads on two cores.
    """
    found = []
    for number in range(rounds):
        first, second = (ours, theirs) if number % 2 else (theirs, ours)
        times: dict[str, list[float]] = {ours.name: [], theirs.name: []}
        for side in (first, second, second, first):
            times[side.name].append(measure(side))
        found.append((fmean(times[ours.name]), fmean(times[theirs.name])))
    return found


def _compared(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return the medians of both sides, that of the rounds' ratios, and that of their differences."""
    return {
        "ours": median(own for own, _ in pairs),
        "theirs": median(theirs for _, theirs in pairs),
        "ratio": median(own / theirs for own, theirs in pairs),
        "difference": median(own - theirs for own, theirs in pairs),
        "rounds": list(pairs),
    }


# -- the rows


def callers(custom: Side, alone: Side, rounds: int) -> dict[str, Any]:
    """Return tokens per second of both sides by how many call at once, and the CPU seconds for a thousand tokens."""
    found: dict[str, Any] = {}
    for calling in CALLERS:
        cpu: dict[str, list[float]] = {custom.name: [], alone.name: []}

        def rate(side: Side, calling: int = calling, cpu: dict[str, list[float]] = cpu) -> float:
            before = side.cpu_s()
            begun = time.perf_counter()
            with ThreadPoolExecutor(calling) as pool:
                answers = list(pool.map(lambda _: side.ask(_fresh(QUESTION), SPOKEN), range(calling)))
            took = time.perf_counter() - begun
            tokens = sum(answer["usage"]["completion_tokens"] for answer in answers)
            cpu[side.name].append((side.cpu_s() - before) / tokens * 1e3)
            return float(tokens / took)

        _say(f"{calling} callers")
        one = _compared(_in_turn(rounds, custom, alone, rate))
        own, theirs = median(cpu[custom.name]), median(cpu[alone.name])
        found[str(calling)] = {**one, "cpu_s": [own, theirs]}
    return found


def first_token(custom: Side, alone: Side, rounds: int) -> dict[str, Any]:
    """Return the milliseconds to the first token of a stream, each request on its own."""
    _say("first token")

    def took(side: Side) -> float:
        return median(side.first_token_s(_fresh(QUESTION)) for _ in range(FIRST_TOKENS)) * 1e3

    return _compared(_in_turn(rounds + 2, custom, alone, took))


def four_functions(functions: Side, alone: Side, rounds: int) -> dict[str, Any]:
    """Return tokens per second of prompt and answer, as each side's own clock tells them, and CPU seconds."""
    _say("four functions")
    rates: dict[str, dict[str, list[float]]] = {}

    def ask(side: Side) -> float:
        before = side.cpu_s()
        timings = side.ask(_fresh(PROMPT), SPOKEN)["timings"]
        found = rates.setdefault(side.name, {"prompt": [], "decode": [], "cpu_s": []})
        found["cpu_s"].append(side.cpu_s() - before)
        found["prompt"].append(timings["prompt_n"] / timings["prompt_ms"] * 1e3)
        found["decode"].append(timings["predicted_n"] / timings["predicted_ms"] * 1e3)
        return 0.0

    _in_turn(rounds, functions, alone, ask)
    return {
        row: _compared(list(zip(rates[functions.name][row], rates[alone.name][row], strict=True)))
        for row in ("prompt", "decode", "cpu_s")
    }


def prefix_reuse(server: Side, rounds: int) -> dict[str, Any]:
    """Return the milliseconds to the first token behind a system prompt: continued, fetched back, never seen."""
    _say("prefix reuse")
    found: dict[str, list[float]] = {"continued": [], "fetched": [], "new": []}

    def took(prompt: str) -> float:
        begun = time.perf_counter()
        server.ask(prompt, 1)
        return (time.perf_counter() - begun) * 1e3

    for number in range(rounds):
        one, other = _fresh(SYSTEM), _fresh(SYSTEM)
        questions = ["efghij"[n] * 12 for n in range(4)]
        found["new"].append(took(one + questions[number % 2]))
        found["continued"].append(took(one + questions[2]))
        took(other + questions[0])
        found["fetched"].append(took(one + questions[3]))
    new = found["new"]
    return {
        **{name: median(values) for name, values in found.items()},
        "ratio": median(first / again for first, again in zip(new, found["continued"], strict=True)),
        "fetched_ratio": median(first / again for first, again in zip(new, found["fetched"], strict=True)),
    }


def fixed_cost(folder: Path, python: Path, rounds: int) -> dict[str, Any]:
    """Return the milliseconds of a request for one token, on both servers."""
    _say("fixed cost")

    def latency(side: Side, requests: int = REQUESTS) -> float:
        took = []
        for number in range(requests):
            # Two prompts in turn: the same again would cost their library no evaluation at all.
            body = {
                "prompt": "The harbour opens" if number % 2 else "Our convoy waits for",
                "max_tokens": 1,
                "temperature": 0,
            }
            begun = time.perf_counter()
            side.sends(body)
            took.append((time.perf_counter() - begun) * 1e3)
        return median(took)

    with (
        sides.functions(folder, n_ctx=2048, n_threads=1) as own,
        sides.library_server(python, folder / "model.gguf") as theirs,
    ):
        for side in (own, theirs):
            latency(side, REQUESTS // 4)
        found = _compared(_in_turn(rounds, own, theirs, latency))
    return {**found, "ratio": median(theirs / own for own, theirs in found["rounds"])}


def memory_of(side: Side, slots: int) -> dict[str, int]:
    """Return the bytes that a side holds at rest, and after all slots were full at once."""
    rest = side.usage().resident
    with ThreadPoolExecutor(slots) as pool:
        for _ in range(2):
            list(pool.map(lambda _: side.ask(_fresh(N_CTX - 24), 16), range(slots)))
    return {"rest": rest, "full": side.usage().resident}


def predicted(model: Path, slots: int) -> int:
    """Return what the fit says of a model in so many slots of the image `custom`, before its reserve."""
    with model.open("rb") as file:
        header = read_header(lambda start, length: os.pread(file.fileno(), length, start))
    lines = footprint(Shape.from_json(header.to_json()), n_ctx=N_CTX, n_batch=512, n_parallel=slots)
    return sum(line.bytes for line in lines) + serving.OWN_SERVER.memory.bytes + fit.SAVED_MB * MiB


# -- what is said of them


def rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the table's rows: work, ours, against, ratio, wanted."""
    table: list[tuple[str, ...]] = []
    for calling, one in found.get("callers", {}).items():
        own, theirs = (f"{value:.1f}" for value in one["cpu_s"])
        what = f"{calling} caller{'s' if calling != '1' else ''}, {SPOKEN} tokens each, `custom`, tokens/s"
        figures = f"{one['ours']:.1f}", f"{one['theirs']:.1f}", f"{one['ratio']:.3f}"
        table.append((what, *figures, f"{WANTED['callers']}"))
        table.append(("the same, CPU seconds for 1,000 tokens", own, theirs, "", ""))
    if "functions" in found:
        table += _rows_of_functions(found["functions"])
    if "first token" in found:
        one = found["first token"]
        figures = f"{one['ours']:.1f}", f"{one['theirs']:.1f}", f"{one['difference']:+.1f} ms"
        table.append(("first token of a stream, `custom`, ms", *figures, f"+{WANTED_FIRST_MS:g} ms"))
    if "prefix reuse" in found:
        table += _rows_of_prefix(found["prefix reuse"])
    if "fixed cost" in found:
        one = found["fixed cost"]
        figures = f"{one['ours']:.2f}", f"{one['theirs']:.2f}", f"{one['ratio']:.1f}"
        table.append(("a request of 1 token, ms", *figures, f"{WANTED['fixed cost']}"))
    for name, held in found.get("memory", {}).items():
        against = f"{held['predicted'] / MiB:.0f} the fit" if "predicted" in held else ""
        share = f"{held['predicted'] / held['full']:.3f}" if "predicted" in held else ""
        table.append((f"memory at rest, {name}, MiB", f"{held['rest'] / MiB:.0f}", "", "", ""))
        full = f"{held['full'] / MiB:.0f}"
        table.append((f"memory with all slots full, {name}, MiB", full, against, share, "1" if share else ""))
    return table


def _rows_of_functions(found: dict[str, Any]) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = []
    for row, what in (("decode", f"{SPOKEN} tokens"), ("prompt", f"a prompt of {PROMPT} tokens")):
        one = found[row]
        figures = f"{one['ours']:.1f}", f"{one['theirs']:.1f}", f"{one['ratio']:.3f}"
        table.append((f"four functions, 1 caller, {what}, tokens/s", *figures, f"{WANTED[row]}"))
    cpu = found["cpu_s"]
    figures = f"{cpu['ours']:.2f}", f"{cpu['theirs']:.2f}", f"{cpu['ratio']:.3f}"
    return [*table, ("both, CPU seconds", *figures, "")]


def _rows_of_prefix(found: dict[str, Any]) -> list[tuple[str, ...]]:
    title = f"first token behind {SYSTEM} tokens"
    new = f"{found['new']:.0f} never seen"
    return [
        (
            f"{title} evaluated before, ms",
            f"{found['continued']:.0f}",
            new,
            f"{found['ratio']:.1f}",
            f"{WANTED['prefix']}",
        ),
        (
            f"{title} pushed out since, ms",
            f"{found['fetched']:.0f}",
            new,
            f"{found['fetched_ratio']:.1f}",
            "",
        ),
    ]


def missed(found: dict[str, Any]) -> list[str]:
    """Return the rows that are not as wanted."""
    ratios = {
        f"{calling} callers": (one["ratio"], WANTED["callers"])
        for calling, one in found.get("callers", {}).items()
    }
    if "functions" in found:
        for row in ("decode", "prompt"):
            ratios[f"functions, {row}"] = found["functions"][row]["ratio"], WANTED[row]
    if "prefix reuse" in found:
        ratios["prefix reuse"] = found["prefix reuse"]["ratio"], WANTED["prefix"]
    if "fixed cost" in found:
        ratios["fixed cost"] = (found["fixed cost"]["ratio"], WANTED["fixed cost"])
    for name, held in found.get("memory", {}).items():
        if "predicted" in held:
            ratios[f"memory, {name}"] = (held["predicted"] * (1 + fit.RESERVE) / held["full"], 1.0)
    short = [f"{name} {ratio:.3f}" for name, (ratio, wanted) in ratios.items() if ratio < wanted]
    late = found["first token"]["difference"] if "first token" in found else 0.0
    return short + ([f"first token +{late:.1f} ms"] if late > WANTED_FIRST_MS else [])


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what} ...", file=sys.stderr, flush=True)


def measure(folder: Path, rounds: int, threads: int, wanted: Sequence[str]) -> dict[str, Any]:
    """Measure the rows of one model that are wanted, by their names in `PARTS`."""
    settings = {"n_ctx": N_CTX, "n_batch": 512, "n_threads": threads, "max_tokens": SPOKEN}
    found: dict[str, Any] = {}
    with sides.adapter(folder, n_parallel=SLOTS, **settings) as custom:
        arguments = sides.arguments_of(custom)
        if {"callers", "first token"} & set(wanted):
            with sides.llama_server("llama-server", arguments) as alone:
                for side in (custom, alone):
                    side.ask(_fresh(QUESTION), 4)
                for part, rows_of in (("callers", callers), ("first token", first_token)):
                    if part in wanted:
                        found[part] = rows_of(custom, alone, rounds)
    if {"functions", "prefix reuse"} & set(wanted):
        with sides.functions(folder, prefix_cache_mb=64, **settings) as functions:
            if "functions" in wanted:
                one_slot = sides.one_slot(arguments, SLOTS, N_CTX)
                with sides.llama_server("llama-server, 1 slot", one_slot) as alone:
                    for side in (functions, alone):
                        side.ask(_fresh(QUESTION), 4)
                    found["functions"] = four_functions(functions, alone, rounds)
            if "prefix reuse" in wanted:
                found["prefix reuse"] = prefix_reuse(functions, rounds)
    if "memory" in wanted:
        found["memory"] = memory(folder, arguments, settings)
    return found


def memory(folder: Path, arguments: Sequence[str], settings: dict[str, int]) -> dict[str, Any]:
    """Return what each side holds.

    Each is started anew, so that what it holds is of these requests alone, and not beside another one: pages of the
    same file in two processes would count half for each.
    """
    _say("memory")
    found: dict[str, Any] = {}
    model = folder / "model.gguf"
    with sides.adapter(folder, n_parallel=SLOTS, **settings) as custom:
        found["custom"] = memory_of(custom, SLOTS) | {"predicted": predicted(model, SLOTS)}
    with sides.llama_server("llama-server", arguments) as alone:
        found["llama-server"] = memory_of(alone, SLOTS)
    with sides.functions(folder, **settings) as functions:
        found["four functions"] = memory_of(functions, 1) | {"predicted": predicted(model, 1)}
    return found


def main() -> int:
    """Measure, print the table, and say whether every row is as wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--server-python", type=Path, help="a Python that can run llama_cpp.server")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each row (default: 3)")
    parser.add_argument("--model", choices=SHAPES, default="small", help="its shape (default: small)")
    parser.add_argument(
        "--threads", type=int, default=min(4, len(os.sched_getaffinity(0))), help="of every side"
    )
    parser.add_argument(
        "--only",
        choices=PARTS,
        action="append",
        help="measure this, and what else is named so (default: all)",
    )
    parser.add_argument("--soak", type=int, metavar="SECONDS", help="mixed traffic for so long, instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args()
    if not sides.LLAMA_SERVER.exists():
        parser.error(f"no {sides.LLAMA_SERVER}; wanted llama-server: run `make llama-server`")
    # SIGTERM unwinds as Ctrl-C does: the servers end, and the folder goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="sealift-inference-") as place:
        tiny, large = Path(place, "tiny"), Path(place, "large")
        for folder in (tiny, large):
            folder.mkdir()
        write_tiny_gguf(tiny / "model.gguf")
        if given.soak:
            return _soaked(tiny, given.soak, given.json)
        shapes.write(SHAPES[given.model], large / "model.gguf")
        wanted = given.only or PARTS
        found = measure(large, given.rounds, given.threads, wanted)
        if given.server_python and "fixed cost" in wanted:
            found["fixed cost"] = fixed_cost(tiny, given.server_python.absolute(), given.rounds)
    found["machine"] = {"load before": load, "load after": os.getloadavg()[0], "threads": given.threads}
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))
    for row in (("work", "ours", "against", "ratio", "wanted"), ("---",) * 5, *rows(found)):
        print(f"| {' | '.join(row)} |")
    print(
        f"model {given.model}, {SLOTS} slots of {N_CTX} tokens, {given.threads} threads, {given.rounds} rounds, "
        f"{time.monotonic() - begun:.0f} s; load {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    )
    if short := missed(found):
        print(f"not as wanted: {'; '.join(short)}", file=sys.stderr)
    return 1 if short else 0


def _soaked(folder: Path, seconds: int, to: Path | None) -> int:
    found = {}
    lock = threading.Lock()
    for name, started in (
        ("custom", sides.adapter(folder, n_ctx=512, n_parallel=SLOTS, n_threads=1, prefix_cache_mb=4)),
        ("four functions", sides.functions(folder, n_ctx=512, n_threads=1, prefix_cache_mb=4)),
    ):
        _say(f"mixed traffic on {name}, {seconds // 2} s")
        with started as side:
            found[name] = soak.run(side, seconds // 2, lock)
        print(soak.line(name, found[name]), flush=True)
    if to:
        to.write_text(json.dumps({name: asdict(one) for name, one in found.items()}, indent=2))
    grown = {name: soak.growth(one) for name, one in found.items()}
    for name, what in grown.items():
        if what:
            print(f"not as wanted: {name}: {'; '.join(what)}", file=sys.stderr)
    return 1 if any(grown.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
