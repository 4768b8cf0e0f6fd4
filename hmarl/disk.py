"""What the system said when it refused to read or write, as a sentence with a next step."""

from __future__ import annotations

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
KEPT = "what is finished is kept: run the same command again to go on"


def refused(error: OSError) -> str:
    """Say why a file could not be read or written.

    Parameters
    ----------
    error : OSError
        From any operation on files.

    Returns
    -------
    str
        One sentence: what could not be done, why, and what to do.
    """
    why = (error.strerror or str(error) or type(error).__name__).lower()
    what = f"{error.filename} cannot be written" if error.filename else "a result cannot be written"
    if error.errno in FULL:
        return f"{what} ({why}); make room or choose another --out. Nothing is lost: {KEPT}."
    if error.errno in FORBIDDEN:
        return f"{what} ({why}); choose an --out that may be written to."
    what = f"{error.filename} cannot be used" if error.filename else "a file cannot be used"
    return f"{what} ({why}); check the path and the disk, then run the same command again: {KEPT}."
