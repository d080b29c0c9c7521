"""Actors on the workers of a cluster: placing partitions, asking all of them at once, and what happens to lost workers.

Answers are waited for in short turns, so that Ctrl-C is heard, and between turns the scheduler is asked who is there. A
worker that is gone is replaced: its partitions are made again from their graph, on the workers that are left, and the
question is asked again. One that is there and does not answer a ping is reported, because its partitions cannot be
told from a slow computation otherwise.
"""

import logging
import time

from backprop.dask._worker import Partitions

logger = logging.getLogger("backprop")

TURN_SECONDS = 0.2       # between looks at the scheduler
SILENCE_SECONDS = 30.0   # a worker that does not answer a ping for so long is reported
EMPTY_SECONDS = 40.0     # a cluster without workers is reported after this
PATIENCE_SECONDS = 2.0   # after a failed call, for the scheduler to notice a loss
MAX_LOSSES = 3           # workers lost in a row, without an answer in between


class _Lost(Exception):
    """A worker with partitions is gone."""


class Cluster:
    """Partitions on the workers of a client.

    Parameters
    ----------
    client : distributed.Client
    network : Network
        Its kind; parameters are sent with each question.
    partitions : list of Delayed
        Each gives (X, Y, weights or None).
    """

    def __init__(self, client, network, partitions):
        self.client, self.network = client, network
        self.futures, self.actors = client.compute(partitions), {}
        try:
            self._guarded(lambda: None)
        except BaseException:
            self.close()
            raise

    def ask(self, method, *arguments):
        """The answers of all partitions that are not empty, in the order of the partitions."""
        answers = self._guarded(lambda: self._answers(method, arguments))
        return [answers[number] for number in sorted(answers)]

    def close(self):
        """Let the workers forget the partitions."""
        self.actors, self.futures = {}, []

    def _guarded(self, action):
        """action() with actors in place, made anew after a loss."""
        lost = 0
        while True:
            try:
                if not self.actors:
                    self._place()
                return action()
            except _Lost as error:
                self.actors, lost = {}, lost + 1
                logger.warning("%s; its partitions are computed again", error)
                if lost > MAX_LOSSES:
                    raise RuntimeError(f"{lost} workers in a row were lost, the last with: {error}; too little memory "
                                       "for their partitions, most likely") from None

    # ---- placing -----------------------------------------------------------------------------------------------------

    def _workers(self):
        """{address: threads} of the workers that the scheduler knows; waits a while for the first."""
        deadline = time.monotonic() + EMPTY_SECONDS
        while True:
            if self.client.status != "running":
                raise RuntimeError(f"the connection to the Dask scheduler is lost (client {self.client.status})")
            workers = self.client.nthreads()
            if workers:
                return workers
            if time.monotonic() > deadline:
                raise RuntimeError(f"the Dask cluster has had no workers for {EMPTY_SECONDS:g} s")
            time.sleep(TURN_SECONDS)

    def _place(self):
        """Actors: each partition where it lies, no worker with more than its even share."""
        for number, future in enumerate(self.futures):
            self._wait(future, f"partition {number}")
        workers, where = self._workers(), self.client.who_has(self.futures)
        share = -(-len(self.futures) // len(workers))
        given = {address: [] for address in workers}
        for number, future in enumerate(self.futures):
            near = [address for address in where.get(future.key, ())
                    if address in given and len(given[address]) < share]
            address = min(near or given, key=lambda address: len(given[address]))
            given[address].append((number, future))
        created = {
            address: self.client.submit(Partitions, self.network, part, workers[address], actor=True, pure=False,
                                        workers=[address], allow_other_workers=False)
            for address, part in given.items() if part}
        failed = []
        for address, future in created.items():
            try:
                self._wait(future, f"the partitions of {address}", address)
            except (ValueError, TypeError) as error:
                failed.append(error)
        if failed:                               # the first partition's, whichever worker has it
            raise min(failed, key=lambda error: getattr(error, "partition", -1))
        self.actors = {address: future.result() for address, future in created.items()}

    def _wait(self, future, what, address=None):
        """Until a future is done; raises what it raises."""
        while not future.done():
            try:
                future.result(timeout=TURN_SECONDS)
            except TimeoutError:
                if address is not None and address not in self._workers():
                    raise _Lost(f"the worker {address} is lost") from None
                self._workers()
            except Exception:
                break
        if future.status in ("lost", "cancelled"):
            self._workers()                      # or it is the client that is gone
            raise RuntimeError(f"{what}: its data are lost with a worker, or cancelled, and cannot be computed again")
        if future.status == "error":
            error = future.exception()
            if type(error).__name__ == "KilledWorker":
                raise RuntimeError(f"{what}: {error}")
            raise error

    # ---- asking ------------------------------------------------------------------------------------------------------

    def _answers(self, method, arguments):
        """{number: answer} of all actors."""
        answers, pending = {}, {}
        try:
            for address, actor in self.actors.items():
                pending[address] = self._call(address, actor, method, arguments)
            pings, asked = {}, time.monotonic()
            while pending:
                address, future = next(iter(pending.items()))
                try:
                    answers.update(self._result(address, future))
                    del pending[address]
                except TimeoutError:
                    self._look_at(pending)
                    if time.monotonic() - asked > SILENCE_SECONDS / 2:
                        pings, asked = self._ping(pending, pings), time.monotonic()
        except BaseException:
            for address in pending:
                self._stop(address)
            raise
        return answers

    def _call(self, address, actor, method, arguments):
        try:
            return getattr(actor, method)(*arguments)
        except RuntimeError as error:
            raise _Lost(f"the worker {address} is lost ({error})") from None

    def _result(self, address, future):
        """The answer, TimeoutError where it is not there yet, or _Lost."""
        try:
            return future.result(timeout=TURN_SECONDS)
        except TimeoutError:
            if future.done():                    # the answer has come just now, or is itself this error
                return future.result()
            raise
        except (OSError, RuntimeError):          # on the way, perhaps; the scheduler may hear of a loss later than we
            deadline = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < deadline:
                if address not in self._workers():
                    raise _Lost(f"the worker {address} is lost") from None
                time.sleep(TURN_SECONDS)
            raise

    def _look_at(self, pending):
        workers = self._workers()
        for address in pending:
            if address not in workers:
                raise _Lost(f"the worker {address} is lost")

    def _ping(self, pending, pings):
        """New pings, after those before have been answered."""
        for address, ping in pings.items():
            if address in pending and not ping.done():
                raise RuntimeError(f"the Dask worker {address} has not answered for {SILENCE_SECONDS / 2:g} s; is its "
                                   "process stopped, or its machine overloaded?")
        return {address: self.actors[address].alive() for address in pending}

    def _stop(self, address):
        try:
            self.actors[address].stop()
        except Exception:                        # it is being given up: what was first to fail is what counts
            logger.debug("the worker %s cannot be told to stop", address)
