"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one versioned JSON object on standard output.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="On an error, show the traceback too.")]
Repo = Annotated[
    Path,
    typer.Option(
        "--repo", help="The git repository, or a directory in it.", metavar="PATH", file_okay=False, show_default=True
    ),
]
