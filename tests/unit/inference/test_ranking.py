"""A request to rank, and its answer in both forms, with a ranker that is only a script."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift_engine import Limits
from sealift_ranking import RankingModel, Scores, ranking, scores, squashed
from sealift_request import MOST_TEXTS, BadRequest, Request, parse_request

FOR_EVER = Limits(lambda: float("inf"))
DOCUMENTS = ["tide", "crane ship", "a"]


class _Scripted:
    """Scores a pair by its number of tokens: a word is one."""

    def __init__(
        self, *, most: int = 9, template: str | None = None, ends_after: int = 99, score: float | None = None
    ) -> None:
        self.most = most
        self.template = template
        self.left = ends_after
        self.says = score
        self.pairs: list[list[int]] = []
        self.calls: list[str] = []

    def tokens(self, text: str, *, special: bool) -> list[int]:
        return [100 + len(word) + 100 * special for word in text.split()]

    def around(self) -> tuple[list[int], list[int], list[int]]:
        return [1], [2, 3], [2]

    def score(self, tokens: list[int]) -> float | None:
        self.left -= 1
        self.pairs.append(tokens)
        if self.left < 0:
            return None
        return float(len(tokens)) if self.says is None else self.says

    def interrupt(self) -> None:
        self.calls.append("interrupt")

    def resume(self) -> None:
        self.calls.append("resume")


def _model(**changes: Any) -> tuple[_Scripted, RankingModel]:
    ranker = _Scripted(**changes)
    return ranker, RankingModel(ranker, "harbour", 60)


def _answer(document: dict[str, Any], **changes: Any) -> Any:
    request = parse_request(document)
    return ranking(request, scores(_model(**changes)[1], request, FOR_EVER, queued_s=0.25), "harbour")


def test_documents_are_ranked_in_the_form_of_jina_and_cohere() -> None:
    """The best first, with the tokens of all pairs; documents are told where that is asked."""
    answer = _answer({"query": "q", "documents": DOCUMENTS, "top_n": 2, "return_documents": True})

    timings = answer.pop("timings")
    assert answer == {
        "object": "list",
        "model": "harbour",
        "results": [
            {"index": 1, "relevance_score": 7.0, "document": {"text": "crane ship"}},
            {"index": 0, "relevance_score": 6.0, "document": {"text": "tide"}},
        ],
        "usage": {"prompt_tokens": 19, "total_tokens": 19},
    }
    assert (timings["queue_ms"], timings["prompt_n"]) == (250.0, 19)


def test_texts_are_ranked_in_the_form_of_teis_server() -> None:
    """A bare list; equal scores stay in the order of the texts."""
    assert _answer({"query": "q", "texts": DOCUMENTS, "return_text": True}) == [
        {"index": 1, "score": 7.0, "text": "crane ship"},
        {"index": 0, "score": 6.0, "text": "tide"},
        {"index": 2, "score": 6.0, "text": "a"},
    ]


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [({}, 6.0), ({"raw_scores": True}, 6.0), ({"raw_scores": False}, 1 / (1 + math.exp(-6)))],
)
def test_scores_are_the_models_own_unless_asked_otherwise(raw: dict[str, Any], wanted: float) -> None:
    """As llama-server tells them; who asks for others aloud gets them between 0 and 1."""
    (one,) = _answer({"query": "q", "texts": ["a"], **raw})

    assert one == {"index": 0, "score": pytest.approx(wanted)}


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8))
def test_squashed_scores_keep_their_order(found: list[float]) -> None:
    """Between 0 and 1, whatever a model says."""
    made = [squashed(score) for score in sorted(found)]

    assert made == sorted(made)
    assert 0 <= made[0] <= made[-1] <= 1


def test_a_document_may_be_an_object_with_its_text() -> None:
    """As Jina and Cohere write it; 0 of top_n is vLLM's word for all."""
    request = parse_request({"query": "q", "documents": [{"text": "a"}, "b"], "top_n": 0})

    assert (request.texts, request.top_n, request.form) == (("a", "b"), None, "query")


@pytest.mark.parametrize(
    ("document", "param", "words"),
    [
        pytest.param({"query": "q"}, "query", "nothing to rank", id="nothing"),
        pytest.param({"query": "q", "texts": ["a"], "documents": ["a"]}, "query", "and 'texts'", id="both"),
        pytest.param({"query": "q", "documents": []}, "documents", "0 texts", id="empty"),
        pytest.param({"query": "q", "documents": "a"}, "documents", "wanted a list", id="a-text"),
        pytest.param({"query": "q", "documents": [1]}, "documents[0]", "wanted a text", id="a-number"),
        pytest.param(
            {"query": "q", "documents": [{"a": 1}]}, "documents[0]", "wanted a text", id="an-object"
        ),
        pytest.param({"query": "", "documents": ["a"]}, "query", "not empty", id="no-query"),
        pytest.param({"query": ["q"], "documents": ["a"]}, "query", "wanted a text", id="queries"),
        pytest.param({"query": "q", "documents": ["a"], "top_n": -1}, "top_n", "from 0", id="top"),
        pytest.param(
            {"query": "q", "documents": ["a"], "prompt": "b"}, None, "'prompt' and 'query'", id="more"
        ),
        pytest.param(
            {"prompt": "q", "documents": ["a"]}, "documents", "goes with 'query' only", id="elsewhere"
        ),
        pytest.param({"query": "q", "documents": ["a"], "stream": True}, "stream", "goes with", id="stream"),
    ],
)
def test_what_cannot_be_ranked_is_told(document: dict[str, Any], param: str | None, words: str) -> None:
    """One clear refusal that names the field."""
    with pytest.raises(BadRequest) as caught:
        parse_request(document)
    assert words in caught.value.reason
    assert json.loads(caught.value.message)["error"]["param"] == param


@pytest.mark.parametrize(("count", "right"), [(MOST_TEXTS, True), (MOST_TEXTS + 1, False)])
def test_texts_are_bounded(count: int, *, right: bool) -> None:
    """As those to embed are."""
    document = {"query": "q", "texts": ["a"] * count}
    if right:
        assert len(parse_request(document).texts) == count
    else:
        with pytest.raises(BadRequest, match="wanted 1 to"):
            parse_request(document)


def test_a_pair_is_set_as_the_models_template_says() -> None:
    """What stands in a query is no place for the document."""
    ranker, model = _model(template="judge {query} against {document} now", most=20)
    request = parse_request({"query": "{document} q", "documents": ["{query}"]})

    scores(model, request, FOR_EVER)

    assert ranker.pairs == [ranker.tokens("judge {document} q against {query} now", special=True)]


def test_without_a_template_separators_stand_around_both() -> None:
    """Nothing in the texts themselves is special."""
    ranker, model = _model()

    scores(model, parse_request({"query": "q", "documents": ["crane ship"]}), FOR_EVER)

    assert ranker.pairs == [[1, 101, 2, 3, 105, 104, 2]]


def test_a_pair_may_fill_the_context_and_no_more() -> None:
    """One token more is refused by its document's name."""
    request = parse_request({"query": "q", "documents": ["a", "a b"]})

    assert scores(_model(most=7)[1], request, FOR_EVER).tokens == 13
    with pytest.raises(
        BadRequest, match=r"documents\[1\] has 7 tokens .* may have 6; .*'truncate'"
    ) as refusal:
        scores(_model(most=6)[1], request, FOR_EVER)
    assert (refusal.value.status_code, refusal.value.code) == (400, "context_length_exceeded")


def test_a_long_text_is_cut_where_that_is_asked() -> None:
    """As much of it as there is room for; a query that leaves no room is refused all the same."""
    ranker, model = _model(most=7)

    scores(model, parse_request({"query": "q", "texts": ["a bb ccc dddd"], "truncate": True}), FOR_EVER)

    assert ranker.pairs == [[1, 101, 2, 3, 101, 102, 2]]
    with pytest.raises(BadRequest, match="9 tokens"):
        scores(model, parse_request({"query": "q q q q", "texts": ["a"], "truncate": True}), FOR_EVER)


def test_time_that_is_over_and_scores_that_are_none_are_told() -> None:
    """There is no ranking of some of the texts."""
    request = parse_request({"query": "q", "texts": DOCUMENTS})

    with pytest.raises(BadRequest, match="after 1 of 3") as late:
        scores(_model(ends_after=1)[1], request, FOR_EVER)
    with pytest.raises(BadRequest, match="no number") as broken:
        scores(_model(score=math.nan)[1], request, FOR_EVER)

    assert (late.value.status_code, broken.value.status_code) == (413, 500)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.integers(0, 14))
def test_a_ranking_has_the_best_of_all(found: list[float], top: int) -> None:
    """Each text once, by falling scores."""
    request = Request("query", texts=("x",) * len(found), query="q", top_n=top or None)

    results = ranking(request, Scores(tuple(found), 1, {}), "m")["results"]

    told = [one["relevance_score"] for one in results]
    assert told == sorted(found, reverse=True)[: top or None]
    assert len({one["index"] for one in results}) == len(results)
