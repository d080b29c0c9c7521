"""Actors on the workers of a cluster: placing partitions, asking all of them at once, and what happens to lost workers.

Answers are waited for in short turns, so that Ctrl-C is heard, and between turns the scheduler is asked who is there. A
worker that is gone is replaced: its partitions are made again from their graph, on the workers that are left, and the
question is asked again. One that is there and does not answer a ping is reported, because its partitions cannot be
told from a slow computation otherwise. A scheduler that does not answer, or is gone, is reported likewise.
"""

import gc
import logging
import time
from concurrent.futures import CancelledError

import distributed

from backprop.dask._worker import Partitions

logger = logging.getLogger("backprop")

TURN_SECONDS = 0.2       # between looks at the scheduler
SILENCE_SECONDS = 30.0   # a worker that does not answer a ping, or a scheduler that does not answer, is reported then
EMPTY_SECONDS = 40.0     # a cluster without workers is reported after this
PATIENCE_SECONDS = 2.0   # after a failed call, for the scheduler to notice a loss
MAX_LOSSES = 3           # workers lost in a row, without an answer in between
CANCELLED = "cancelled, as by client.cancel or client.restart, or data that cannot be made again are lost with a worker"


class _Lost(Exception):
    """A worker with partitions is gone."""


class Connection:
    """What is asked of a scheduler, and waited for no longer than it takes to tell that nothing will come.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client):
        self.client = client

    def results(self, delayed, what):
        """The values of a list of Delayed; `what` says of one of them, by its number, what it is."""
        return [self._value(future, f"{what} {number}") for number, future in enumerate(self.client.compute(delayed))]

    def _workers(self):
        """{address: threads} of the workers that the scheduler knows; waits a while for the first."""
        deadline = time.monotonic() + EMPTY_SECONDS
        while True:
            workers = self._of_scheduler("ncores")
            if workers:
                return workers
            if time.monotonic() > deadline:
                raise RuntimeError(f"the Dask cluster has had no workers for {EMPTY_SECONDS:g} s")
            time.sleep(TURN_SECONDS)

    def _of_scheduler(self, question, **arguments):
        """The scheduler's answer; RuntimeError where there is none."""
        client, started = self.client, time.monotonic()
        while client.status == "running":
            try:
                ask = getattr(client.scheduler, question)
                return client.sync(ask, callback_timeout=SILENCE_SECONDS / 6, **arguments)
            except TimeoutError:                 # of a connection that is lost the client hears in the meantime
                if time.monotonic() - started >= SILENCE_SECONDS:
                    raise RuntimeError(f"the Dask scheduler has not answered for {SILENCE_SECONDS:g} s; is its process "
                                       "stopped, or its machine out of reach?") from None
            except (OSError, RuntimeError, AttributeError) as error:     # the last where it is closed just now
                raise RuntimeError(f"the connection to the Dask scheduler is lost ({error})") from error
        raise RuntimeError(f"the connection to the Dask scheduler is lost (client {client.status})")

    def _value(self, future, what, address=None):
        """What a future comes to, as `_wait` waits for it."""
        self._wait(future, what, address)
        try:
            return future.result(timeout=SILENCE_SECONDS)
        except (TimeoutError, CancelledError):   # between the two: gone with its worker or the client
            self._workers()
            raise RuntimeError(f"{what}: {CANCELLED}") from None

    def _wait(self, future, what, address=None):
        """Until a future is done, whose value stays where it is; raises what it raises."""
        while not future.done():
            try:
                distributed.wait(future, timeout=TURN_SECONDS)
            except TimeoutError:
                if address is not None and address not in self._workers():
                    raise _Lost(f"the worker {address} is lost") from None
                self._workers()
            except Exception:
                break
        if future.status in ("lost", "cancelled"):
            self._workers()                      # or it is the client that is gone
            raise RuntimeError(f"{what}: {CANCELLED}")
        if future.status == "error":
            error = future.exception(timeout=SILENCE_SECONDS)
            if type(error).__name__ == "KilledWorker":
                raise RuntimeError(f"{what}: {error}")
            raise error


class Cluster(Connection):
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
        super().__init__(client)
        self.network = network
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
        gc.collect()                             # calls of actors are cycles, which would keep them until it comes by

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

    def _place(self):
        """Actors: each partition where it lies, no worker with more than its even share."""
        for number, future in enumerate(self.futures):
            self._wait(future, f"partition {number}")
        workers, where = self._workers(), self._of_scheduler("who_has", keys=[future.key for future in self.futures])
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
        actors, failed = {}, []
        for address, future in created.items():
            try:
                actors[address] = self._value(future, f"the partitions of {address}", address)
            except (ValueError, TypeError) as error:
                failed.append(error)
        if failed:                               # the first partition's, whichever worker has it
            raise min(failed, key=lambda error: getattr(error, "partition", -1))
        self.actors = actors

    # ---- asking ------------------------------------------------------------------------------------------------------

    def _answers(self, method, arguments):
        """{number: answer} of all actors."""
        answers, pending = {}, {}
        try:
            for address in self.actors:
                pending[address] = self._call(address, method, arguments)
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

    def _call(self, address, method, arguments):
        try:
            return getattr(self.actors[address], method)(*arguments)
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
        except (OSError, RuntimeError) as error:         # on the way, perhaps; the scheduler may hear of it after us
            deadline = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < deadline:
                if address not in self._workers():
                    raise _Lost(f"the worker {address} is lost") from None
                time.sleep(TURN_SECONDS)
            if isinstance(error, OSError):
                raise RuntimeError(f"the Dask worker {address} cannot be reached: {error}") from error
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
