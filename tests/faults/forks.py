"""Start the command line many times without paying for its imports: this process imports all, each start is a fork.

Reads one JSON object a line: ``argv``; ``signal`` and ``after`` seconds, or ``at_write``: die at the n-th step of
writing. Answers with one: ``code`` (negative: killed by that signal), ``seconds`` from signal to end, ``said``.
"""

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path


def loaded():
    """Import what a run, a sweep and a report need."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = "1"
    import torch

    torch.set_num_threads(1)
    import matplotlib.pyplot  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import pyomo.environ  # noqa: F401

    import aggregator.bilevel  # noqa: F401
    import hmarl.cli
    import hmarl.report
    import hmarl.simulate
    import hmarl.sweep  # noqa: F401
    import wholesale.dc_opf  # noqa: F401


def die_at(step):
    """Kill this process just before its n-th step of writing: a flush to the disk, a rename, a removal."""
    from hmarl import storage

    count = 0

    def counted(real):
        def call(*given, **more):
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **more)

        return call

    storage.os.fsync = counted(os.fsync)
    Path.replace = counted(Path.replace)
    Path.unlink = counted(Path.unlink)


def solve_for_long():
    """A program with integers that takes minutes, under the watch of the command line."""
    import numpy as np
    import pyomo.environ as pyo

    from hmarl import interrupt
    from wholesale.solve import Program

    rng = np.random.default_rng(0)
    m = pyo.ConcreteModel(name="long")
    m.i = pyo.RangeSet(0, 79)
    m.x = pyo.Var(m.i, domain=pyo.Binary)
    m.cost = pyo.Objective(expr=sum(float(c) * m.x[i] for i, c in enumerate(-rng.integers(1, 100, 80))))
    weight = rng.integers(1, 100, (30, 80))
    m.row = pyo.Constraint(
        pyo.RangeSet(0, 29), rule=lambda m, r: sum(float(weight[r, i]) * m.x[i] for i in m.i) <= weight[r].sum() / 3
    )
    program = Program.compile(m, mip_gap=0.0, seconds=60)
    with interrupt.in_time():
        Path(sys.argv[1]).touch()
        program.solve()
        os._exit(7)  # the signal came too late


def child(order, said):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(said, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = order["argv"]
    try:
        if order.get("at_write"):
            die_at(order["at_write"])
        if order["argv"][0] == "solve":
            solve_for_long()
        from hmarl import cli

        cli.main()
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)
    except BaseException as error:
        os.write(2, f"Traceback {error!r}".encode())
        os._exit(99)


def answer(order):
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            child(order, said.fileno())
        sent = None
        began = time.monotonic()
        wait_for = order.get("wait_for")
        while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
            now = time.monotonic()
            if wait_for and not Path(wait_for).exists():
                began = now
            elif "after" in order and sent is None and now - began >= order["after"]:
                os.kill(pid, getattr(signal, order["signal"]))
                sent = time.monotonic()
            time.sleep(0.005)
        now = time.monotonic()
        said.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(ended[1]),
            "seconds": now - (sent or began),
            "sent": sent is not None,
            "said": said.read().decode(errors="replace")[-4000:],
        }


if __name__ == "__main__":
    loaded()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
