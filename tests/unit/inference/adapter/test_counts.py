"""The adapter's own figures in Prometheus's text form."""

from __future__ import annotations

from adapter.counts import BUCKETS_S, Counts, Histogram


def test_a_histogram_counts_up_to_each_bound() -> None:
    """A value that is a bound belongs to it; the last bucket holds everything."""
    histogram = Histogram("n", "About.")
    for seconds in (0.005, 0.006, 0.01, 100.0):
        histogram.add(seconds)
    lines = list(histogram.lines())

    assert lines[:4] == [
        "# HELP n About.",
        "# TYPE n histogram",
        'n_bucket{le="0.005"} 1',
        'n_bucket{le="0.01"} 3',
    ]
    assert lines[-3:] == ['n_bucket{le="+Inf"} 4', "n_sum 100.021", "n_count 4"]
    assert len(lines) == len(BUCKETS_S) + 5


def test_the_text_has_each_metric_once() -> None:
    """With its help and type before its values, and ends with a line's end."""
    counts = Counts()
    counts.requests["gone"] += 2
    text = counts.text(waiting=3, running=1, slots=4, restarts=5)
    lines = text.split("\n")

    assert text.endswith("\n")
    assert 'sealift_requests_total{event="gone"} 2' in lines
    assert 'sealift_requests_total{event="answered"} 0' in lines
    assert "sealift_requests_waiting 3" in lines
    assert "sealift_requests_running 1" in lines
    assert "sealift_slots 4" in lines
    assert "sealift_llama_server_restarts_total 5" in lines
    named = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(set(named)) == len(named)
    for line in lines:
        if line and not line.startswith("#"):
            assert any(line.startswith(name) for name in named)
            float(line.rpartition(" ")[2])
