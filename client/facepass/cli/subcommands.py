"""The type of what `add_subparsers` returns, which argparse keeps private."""

import argparse
from typing import Protocol


class Subcommands(Protocol):
    """Takes commands."""

    def add_parser(
        self,
        name: str,
        *,
        parents: list[argparse.ArgumentParser] = ...,
        help: str = ...,
        description: str = ...,
        epilog: str = ...,
        formatter_class: type[argparse.HelpFormatter] = ...,
    ) -> argparse.ArgumentParser: ...
