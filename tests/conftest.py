"""One thread everywhere, as in the program itself: same bytes, and parallel tests do not fight for cores."""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import torch  # noqa: E402  the variables come first

torch.set_num_threads(1)
