"""Small games with known answers, one file each."""
