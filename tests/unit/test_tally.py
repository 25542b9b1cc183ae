"""What a device process counts, and that it ends where a run never does."""

import subprocess
import sys
import threading
import time

from common.vision.workers.tally import Tally
from common.vision.workers.workload import DeviceLoad, ModelLoad


def test_runs_items_and_places_are_counted_by_model() -> None:
    tally = Tally()
    for items, places in [(3, 4), (3, 4), (16, 16)]:
        with tally.run("detector", items, places):
            pass
    with tally.run("recogniser", 1, 1):
        pass
    models = tally.load.models
    assert models["detector"] == ModelLoad({3: 2, 16: 1}, 24)
    assert models["detector"].items == 22
    assert models["recogniser"] == ModelLoad({1: 1}, 1)
    assert tally.changed.is_set()


def test_models_that_run_at_once_are_busy_once() -> None:
    tally = Tally()
    started = time.perf_counter()
    with tally.run("detector", 1, 1), tally.run("recogniser", 1, 1):
        time.sleep(0.05)
        assert tally.longest_s >= 0.05
        assert tally.load.busy_s > 0
    took = time.perf_counter() - started
    assert 0.05 <= tally.load.busy_s <= took
    assert tally.longest_s == 0
    busy_s = tally.load.busy_s
    assert tally.load.busy_s == busy_s


def test_a_process_that_follows_another_goes_on_counting() -> None:
    first = DeviceLoad(1.5, {"detector": ModelLoad({1: 2, 4: 1}, 6)})
    second = DeviceLoad(0.5, {"detector": ModelLoad({4: 2}, 8), "recogniser": ModelLoad({1: 1}, 1)})
    expected = {"detector": ModelLoad({1: 2, 4: 3}, 14), "recogniser": ModelLoad({1: 1}, 1)}
    assert first + second == DeviceLoad(2.0, expected)


STUCK = """
import threading
from common.vision.workers.device import start_thread, tell
from common.vision.workers.tally import Tally

tally = Tally()
start_thread(lambda: tell(tally, print, stuck_s=0.2))
with tally.run("detector", 1, 1):
    threading.Event().wait()
"""


def test_a_process_whose_run_never_ends_does() -> None:
    run = subprocess.run([sys.executable, "-c", STUCK], stderr=subprocess.PIPE, text=True)
    assert run.returncode == 1
    assert "the device is stuck" in run.stderr


def test_runs_of_many_threads_are_all_counted() -> None:
    tally = Tally()

    def work(model: str) -> None:
        for _ in range(500):
            with tally.run(model, 2, 4):
                pass

    threads = [threading.Thread(target=work, args=(f"model-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [load.items for load in tally.load.models.values()] == [1000] * 4
