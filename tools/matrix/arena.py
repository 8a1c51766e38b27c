"""Where races are run: a world in which two uploads are told of at once and every call may be held up.

Owns the running of a race. Refuses to decide what comes when, and what must hold: `races` does.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tools.matrix import invariants, races
from tools.matrix.races import NEW, OLD, UPLOADS, Race, Raced
from tools.matrix.world import Scenario, World, key_of

if TYPE_CHECKING:
    from local_cloud.calls import AwsCall
    from tools.matrix.invariants import Outcome

TIME_SCALE = 0.004
"""Slower than the matrix': what one deployment waits for is another one at work, which takes its real time."""

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("race"),
        Scenario("race, alias", alias=True),
        Scenario("race in place", {"strategy": "in_place"}),
    )
}


class Arena(World):
    """The cloud for races; a context manager."""

    def __init__(self) -> None:
        # Longer than all calls of a look are held up together: in AWS an update takes minutes, and a look does not.
        super().__init__(
            SCENARIOS,
            changing_s=8 * max(races.PAUSES_S),
            contents=(b"earlier", OLD.encode(), NEW.encode()),
            time_scale=TIME_SCALE,
        )
        self._urls: dict[tuple[str, str], str] = {}
        """Where each upload's archive is once it is assembled, by scenario and upload."""

    def race(self, race: Race) -> Raced:
        """Run a race, then repeat the upload that has won; return what did not hold."""
        begun = time.monotonic()
        scenario = SCENARIOS[race.scenario]
        self._learn(scenario)
        before = self._start_from(scenario, earlier=race.earlier)
        self._wrong_urls = {self._urls[scenario.name, upload] for upload in race.wrong}
        outcomes, executions = self._run(race, scenario)
        found = races.judge(race, before, outcomes, self.snapshot(scenario), executions)
        if race.winner is not None:
            repeated = self._deploy(scenario, self._version(scenario, race.winner))
            found += invariants.not_repeated(repeated, self.snapshot(scenario))
        return Raced(race, outcomes, tuple(found), time.monotonic() - begun)

    def _version(self, scenario: Scenario, upload: str) -> str:
        return self._versions[scenario.name][1 + UPLOADS.index(upload)]

    def _learn(self, scenario: Scenario) -> None:
        """Deploy each upload once, to know where its archive comes to lie."""
        for upload in UPLOADS:
            if (scenario.name, upload) not in self._urls:
                self._start_from(scenario, earlier=False)
                plan = self._deploy(scenario, self._version(scenario, upload)).plan
                container = plan["requests"]["create_model"]["PrimaryContainer"]
                self._urls[scenario.name, upload] = container["ModelDataUrl"]

    def _run(self, race: Race, scenario: Scenario) -> tuple[dict[str, Outcome], int]:
        self._published().clear()
        items = {upload: self._item(key_of(scenario), self._version(scenario, upload)) for upload in UPLOADS}
        started: dict[str, set[str]] = {upload: set() for upload in UPLOADS}
        counted: Counter[tuple[str, str]] = Counter()
        lock = threading.Lock()

        def hold_up(caller: str, call: AwsCall) -> None:
            if caller not in self._tasks:
                return
            with lock:
                nth = counted[caller, call.operation]
                counted[caller, call.operation] += 1
            time.sleep(race.hold_up(self._tasks[caller], call.operation, nth))

        def tell(upload: str) -> None:
            arn = self._hand_over(items[upload])
            if arn is not None:
                started[upload].add(arn)

        self.cloud.before_call(hold_up)
        threads = []
        for gap, upload in race.events:
            time.sleep(gap)
            threads.append(threading.Thread(target=tell, args=(upload,)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        with ThreadPoolExecutor(len(UPLOADS)) as pool:
            outcomes = dict(
                zip(
                    UPLOADS,
                    pool.map(lambda upload: self._ended(next(iter(started[upload]))), UPLOADS),
                    strict=True,
                )
            )
        self.cloud.before_call(None)
        return outcomes, sum(map(len, started.values()))
