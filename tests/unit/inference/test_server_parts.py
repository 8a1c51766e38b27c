"""The parts of the server, without a socket."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inference.server import (
    GONE,
    Activity,
    Call,
    Log,
    Options,
    Queue,
    Reply,
    Service,
    StartError,
    error_reply,
    functions_file,
    hung_up,
)


class _Lines(Log):
    """A log that keeps its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def __call__(self, event: str, **details: Any) -> None:
        self.lines.append({"event": event, **details})


def _functions(**changes: Any) -> SimpleNamespace:
    functions = {
        "input_fn": lambda body, content_type: (body, content_type),
        "predict_fn": lambda data, model: (*data, model),
        "output_fn": lambda prediction, accept: (json.dumps([str(prediction), accept]), "application/json"),
    }
    return SimpleNamespace(**{**functions, **changes})


def _service(**changes: Any) -> tuple[Service, _Lines]:
    lines = _Lines()
    return Service(Queue(0), lines, functions=_functions(**changes), model="model"), lines


def test_options_default_to_sagemakers() -> None:
    """An empty environment gives what SageMaker expects of a container."""
    assert Options.from_environment({}) == Options(Path("/opt/ml/model"), "0.0.0.0", 8080, 4)  # noqa: S104 the default


@pytest.mark.parametrize("port", ["-1", "65536", "80 80", "http", "٣"])
def test_wrong_port_is_refused(port: str) -> None:
    """A port that is none is told before anything is bound."""
    with pytest.raises(
        StartError, match=r"SAGEMAKER_BIND_TO_PORT is .*; wanted a whole number from 0 to 65535"
    ):
        Options.from_environment({"SAGEMAKER_BIND_TO_PORT": port})


def test_deployed_functions_win(tmp_path: Path) -> None:
    """What the archive brings is served; without it, what the image has."""
    own = tmp_path / "own"

    assert functions_file(tmp_path, own) == own / "inference.py"

    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").touch()

    assert functions_file(tmp_path, own) == tmp_path / "code" / "inference.py"


def test_answer_passes_through_the_functions_in_order() -> None:
    """Body, content type and accept reach the function that wants them."""
    service, _ = _service()

    reply = service.invoke(b"body", "text/x", "application/y", Call())

    assert reply.status == 200
    assert json.loads(reply.body) == ["(b'body', 'text/x', 'model')", "application/y"]


@pytest.mark.parametrize(
    ("answer", "accept", "body", "content_type"),
    [
        pytest.param("ä", "text/plain", "ä".encode(), "text/plain", id="text-is-what-was-accepted"),
        pytest.param("ä", None, "ä".encode(), "application/json", id="text-is-json-otherwise"),
        pytest.param(b"x", None, b"x", "application/json", id="bytes"),
        pytest.param((bytearray(b"x"), "text/x"), "text/y", b"x", "text/x", id="pair"),
    ],
)
def test_output_functions_may_return_what_the_toolkit_takes(
    answer: Any, accept: str | None, body: bytes, content_type: str
) -> None:
    """A body, or a body with its content type, as text or bytes."""
    service, _ = _service(output_fn=lambda _prediction, _accept: answer)

    reply = service.invoke(b"", None, accept, Call())

    assert (reply.body, reply.content_type) == (body, content_type)


class Refusal(Exception):
    """An exception with a status, as the toolkit has them."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status_code = status
        self.message = '{"error": {}}'


def _raise(error: Exception) -> Any:
    def function(*_: Any) -> Any:
        raise error

    return function


@pytest.mark.parametrize("name", ["input_fn", "predict_fn", "output_fn"])
def test_refusal_has_its_own_status(name: str) -> None:
    """An exception of the toolkit's kind is answered with its status and its body."""
    service, lines = _service(**{name: _raise(Refusal(422))})

    reply = service.invoke(b"", None, None, Call())

    assert (reply.status, reply.body) == (422, b'{"error": {}}')
    assert lines.lines == []


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("secret shape"), id="any"),
        pytest.param(Refusal(200), id="status-that-is-no-error"),
        pytest.param(Refusal(999), id="status-that-is-none"),
    ],
)
def test_failure_is_a_500_and_the_log_tells_where(error: Exception) -> None:
    """The client learns what happened, the log where in the code; an error's words may quote a prompt."""
    service, lines = _service(predict_fn=_raise(error))

    reply = service.invoke(b"", None, None, Call())

    answer = json.loads(reply.body)["error"]
    assert reply.status == 500
    assert answer["message"] == f"{type(error).__name__}: {error}"
    assert "Traceback" not in reply.body.decode()
    assert "test_server_parts.py" in lines.lines[0]["where"][-1]
    assert "secret" not in str(lines.lines)


def test_loading_is_503() -> None:
    """Until the model is there, both paths say so."""
    service = Service(Queue(0), _Lines())

    assert service.health().status == 503
    assert service.invoke(b"", None, None, Call()).status == 503


def test_failed_load_is_500_with_the_reason(tmp_path: Path) -> None:
    """A load that failed never looks healthy, and says why."""
    lines = _Lines()
    service = Service(Queue(0), lines)
    functions = tmp_path / "inference.py"
    functions.write_text(
        "def model_fn(model_dir):\n    raise RuntimeError('no model in ' + model_dir)\n", "utf-8"
    )

    service.load(functions, tmp_path / "m")

    for reply in (service.health(), service.invoke(b"", None, None, Call())):
        assert reply.status == 500
        assert f"RuntimeError: no model in {tmp_path / 'm'}" in json.loads(reply.body)["error"]["message"]
    assert "Traceback" in next(line for line in lines.lines if line["event"] == "load_failed")["traceback"]


def test_module_that_does_not_import_is_told(tmp_path: Path) -> None:
    """An import error in the deployed code is the reason, not a dead process."""
    functions = tmp_path / "inference.py"
    functions.write_text("import nowhere_to_be_found\n", "utf-8")
    service = Service(Queue(0), _Lines())

    service.load(functions, tmp_path)

    assert "No module named 'nowhere_to_be_found'" in (service.failure or "")


def test_health_is_logged_when_it_changes() -> None:
    """A ping every fifth of a second does not fill the log."""
    lines = _Lines()
    service = Service(Queue(0), lines)

    service.health()
    service.health()
    service.functions = _functions()
    service.health()
    service.health()

    assert [line["status"] for line in lines.lines if line["event"] == "health"] == [503, 200]


def _hold(queue: Queue) -> tuple[threading.Thread, threading.Event]:
    """Take the turn in another thread until the event is set."""
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with queue.turn(Call()):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    return thread, leave


def test_queue_refuses_beyond_its_places() -> None:
    """With no place to wait, a second request is told to come back."""
    queue = Queue(0)
    thread, leave = _hold(queue)

    with queue.turn(Call()) as refusal:
        assert refusal is not None
        assert refusal.status == 429
        assert ("Retry-After", "1") in refusal.headers

    leave.set()
    thread.join()
    with queue.turn(Call()) as refusal:
        assert refusal is None


def test_queue_gives_up_waiting() -> None:
    """A request that waits too long is told so, and gives its place back."""
    queue = Queue(1, patience=0.01)
    thread, leave = _hold(queue)

    for _ in range(2):
        with queue.turn(Call()) as refusal:
            assert refusal is not None
            assert refusal.status == 503

    leave.set()
    thread.join()


def test_queue_gives_places_back_when_the_work_fails() -> None:
    """An exception in a turn does not block the next."""
    queue = Queue(0)

    with pytest.raises(ValueError, match="work"), queue.turn(Call()):
        raise ValueError("work")

    with queue.turn(Call()) as refusal:
        assert refusal is None


def test_activity_ends_with_the_last_of_it() -> None:
    """The process may end when nothing is being done, also after a failure, or when the time is up."""
    activity = Activity()

    with activity.one():
        with contextlib.suppress(ValueError), activity.one():
            raise ValueError
        assert not activity.ends_within(0.01)

    assert activity.ends_within(0)


def test_errors_have_one_form() -> None:
    """The server's own refusals look like the model's."""
    reply = error_reply(405, "GET; wanted POST", "method_not_allowed", close=True, Allow="POST")

    assert isinstance(reply, Reply)
    assert json.loads(reply.body) == {
        "error": {
            "message": "GET; wanted POST",
            "type": "invalid_request_error",
            "param": None,
            "code": "method_not_allowed",
        }
    }
    assert reply.headers == (("Allow", "POST"),)
    assert reply.close


@pytest.mark.parametrize("arguments", [["train"], ["serve", "x"]])
def test_other_arguments_than_serve_are_refused(arguments: list[str]) -> None:
    """An image that is started for something else says that it cannot."""
    with pytest.raises(StartError, match="wanted 'serve', or none"):
        Options.from_environment({}, arguments)


@pytest.mark.parametrize(
    ("timeout_s", "patience"), [pytest.param("60", 50, id="serverless"), pytest.param("4", 2, id="short")]
)
def test_queue_leaves_time_for_an_answer(timeout_s: str, patience: float) -> None:
    """Who waited so long that no answer could come in time is refused instead."""
    assert Options.from_environment({"SEALIFT_TIMEOUT_S": timeout_s}).patience == patience


def test_wait_counts_from_the_arrival() -> None:
    """What went by before the queue is part of the time that a request has."""
    queue = Queue(1, patience=60)
    thread, leave = _hold(queue)

    with queue.turn(Call(arrived=time.monotonic() - 61)) as refusal:
        assert refusal is not None
        assert json.loads(refusal.body)["error"]["code"] == "queue_timeout"

    leave.set()
    thread.join()


def test_turns_come_in_the_order_of_arrival() -> None:
    """Nobody is overtaken."""
    queue = Queue(8)
    thread, leave = _hold(queue)
    order: list[int] = []

    def wait(number: int) -> None:
        with queue.turn(Call()):
            order.append(number)

    threads = []
    for number in range(6):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        while len(queue._inside) < number + 2:
            threading.Event().wait(0.001)
    leave.set()
    for one in (thread, *threads):
        one.join()

    assert order == list(range(6))


def test_client_that_left_gets_no_turn() -> None:
    """It is passed over while it waits, and also when its turn comes at once."""
    queue = Queue(1)
    thread, leave = _hold(queue)

    with queue.turn(Call(gone=lambda: True)) as waiting:
        pass
    leave.set()
    thread.join()
    with queue.turn(Call(gone=lambda: True)) as first:
        pass

    assert waiting is GONE
    assert first is GONE


def test_context_goes_to_functions_that_take_one() -> None:
    """As the toolkit does: one parameter more than the contract's; the status that is set there is the answer's."""

    def predict(_data: Any, _model: Any, context: Call) -> str:
        context.set_response_status(code=418, phrase="I'm a Teapot")
        return str(context.deadline())

    service, _ = _service(predict_fn=predict, output_fn=lambda prediction, _accept: prediction)

    reply = service.invoke(b"", None, None, Call())

    assert (reply.status, reply.body) == (418, b"inf")


def test_answer_for_nobody_is_not_sent() -> None:
    """When the client has gone meanwhile there is nothing to answer."""
    looks = iter([False, True])
    service, _ = _service()

    assert service.invoke(b"", None, None, Call(gone=lambda: next(looks))) is GONE


def test_server_that_stops_takes_nothing_new() -> None:
    """After the time for the answers under way the rest of the queue is refused."""
    service, _ = _service()
    service.stop_by = time.monotonic() - 1

    reply = service.invoke(b"", None, None, Call())

    assert reply.status == 503
    assert json.loads(reply.body)["error"]["code"] == "stopping"


def test_hanging_up_is_seen() -> None:
    """A silent client is there, one that sent more is there, one that closed is not."""
    here, there = socket.socketpair()
    with here, there:
        silent = hung_up(here)
        there.sendall(b"more")
        sending = hung_up(here)
        here.recv(4)
        there.close()
        closed = hung_up(here)

    assert (silent, sending, closed) == (False, False, True)
    assert hung_up(here)
