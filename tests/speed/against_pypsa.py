"""One hour of case118 here and in PyPSA, build and solve, side by side: `make bench-pypsa`.

PyPSA conflicts with this project's test tools, so it runs in an environment of its own, given as the only argument.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IN_PYPSA = """
import json, logging, sys, time
import pypsa
logging.disable(logging.CRITICAL)
seconds = []
for _ in range(int(sys.argv[2])):
    n = pypsa.Network()
    n.import_from_csv_folder(sys.argv[1])
    began = time.process_time()
    n.optimize(solver_name="highs", log_to_console=False, threads=1)
    seconds.append(time.process_time() - began)
price = n.buses_t.marginal_price.iloc[0]
print("RESULT" + json.dumps({"seconds": seconds, "objective": float(n.objective), "price": price.to_dict()}))
"""


def ours(repeats):
    """Clear the case from nothing `repeats` times."""
    from wholesale import case, market
    from wholesale.compiled import forget_all

    system, seconds = case("ieee118"), []
    for _ in range(repeats):
        forget_all()
        began = time.process_time()
        clearing = market("dc-opf").clear(system)
        seconds.append(time.process_time() - began)
    return seconds, dict(zip(clearing.buses, clearing.lmp[0].tolist(), strict=True)), system


def main():
    """Print both times, their ratio and the largest difference of a price."""
    repeats = 7
    seconds, price, system = ours(repeats)
    from wholesale import write_pypsa

    with tempfile.TemporaryDirectory() as folder:
        write_pypsa(system, Path(folder))
        done = subprocess.run(
            [sys.argv[1], "-W", "ignore", "-c", IN_PYPSA, folder, str(repeats)],
            capture_output=True,
            text=True,
            check=False,
        )
    answers = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not answers:
        sys.exit(f"PyPSA gave no result:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    theirs = json.loads(answers[0].removeprefix("RESULT"))
    here, there = statistics.median(seconds), statistics.median(theirs["seconds"])
    worst = max(abs(price[bus] - value) for bus, value in theirs["price"].items())
    print(f"case118, 1 h, build + solve, median of {repeats}, CPU seconds")  # noqa: T201
    print(f"hmarl {1000 * here:8.1f} ms")  # noqa: T201
    print(f"PyPSA {1000 * there:8.1f} ms   ratio {there / here:.0f} (goal 50)")  # noqa: T201
    print(f"largest difference of a price: {worst:.2e} $/MWh")  # noqa: T201


if __name__ == "__main__":
    main()
