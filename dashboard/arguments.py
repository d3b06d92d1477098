"""What command lines take, checked before anything starts."""

from __future__ import annotations

import argparse


def port(text: str) -> int:
    """A port to listen on; 0: any free one."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError(f"{number} is no port: 0 to 65535")
    return number


def count(text: str) -> int:
    """A number of processes."""
    number = int(text)
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError(f"{number} is too few or too many: 1 to 64")
    return number
