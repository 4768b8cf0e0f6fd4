"""Independent jobs on a Ray cluster: the same results as here, and those of a lost node are done again elsewhere."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

STORE_BYTES = 100_000_000
KNOCK_SECONDS = 5.0
RETRIES = 5
"""How often a job is begun anew when its node is lost."""
MISSING = (
    "run.executor is ray, but the package ray is not installed here; install the extra with pip install 'hmarl[ray]', "
    "or say run.executor=process."
)


class ClusterError(ValueError):
    """A cluster that cannot be used; the message says what to do."""


def each(
    compute: Callable[[Any], Any], items: Sequence[Any], address: str | None = None, at_a_time: int | None = None
) -> Iterator[tuple[int, Any]]:
    """Compute every item somewhere on a cluster.

    Parameters
    ----------
    compute : callable
        Importable by name on every node, like the items.
    items : sequence
        One job each; real data must lie in the same folder on every node.
    address : str, optional
        Of the cluster; without one a cluster of this machine is started, unless this process is connected to one.
    at_a_time : int, optional
        At most so many at once; as many as there are cores if left out.

    Yields
    ------
    tuple of int and result
        Position of the item, and what ``compute`` returned or the exception that Ray gave up with; as they end.

    Raises
    ------
    ClusterError
        If Ray is not installed or the cluster does not answer.
    """
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ClusterError(MISSING) from error
    started = not ray.is_initialized()
    if started:
        _connect(ray, address)

    def job(item: Any) -> Any:  # Ray takes plain functions only
        return compute(item)

    try:
        remote = ray.remote(max_retries=RETRIES, num_cpus=1)(job)
        limit = at_a_time or max(1, 2 * int(ray.cluster_resources().get("CPU", 1)))
        ahead = iter(enumerate(items))
        running = {remote.remote(item): place for place, item in islice(ahead, limit)}
        while running:
            for done in ray.wait(list(running), num_returns=1)[0]:
                place = running.pop(done)
                try:
                    yield place, ray.get(done)
                except Exception as error:  # one lost job must not stop the others, whatever Ray says
                    yield place, error
                running |= {remote.remote(item): following for following, item in islice(ahead, 1)}
    finally:
        if started:
            ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    # nothing may be reported to anybody, and a cluster of our own listens to this machine only
    environment = {"env_vars": {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}}
    quiet: dict[str, Any] = {"runtime_env": environment, "log_to_driver": False, "include_dashboard": False}
    try:
        _knock(address)
        if address is None:
            ray.init(address="local", _node_ip_address="127.0.0.1", object_store_memory=STORE_BYTES, **quiet)
        else:
            ray.init(address=address, runtime_env=environment, log_to_driver=False)
    except Exception as error:
        raise ClusterError(
            f"The Ray cluster at {address or 'this machine'} does not answer ({error}); check run.address, or start "
            "one with: ray start --head."
        ) from error


def _knock(address: str | None) -> None:
    """Find out within seconds whether anybody listens; Ray itself waits for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
