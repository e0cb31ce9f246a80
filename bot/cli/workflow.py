"""`optr workflow`: check and draw workflow files, without a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.options import Json, Verbose
from bot.cli.output import emit, emit_json
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.render.neutral import visible

if TYPE_CHECKING:
    from execution.workflowfile import WorkflowFile
    from governance.graph import Graph

WORKFLOW_VERSION = 1
FILE_BYTES_MAX = 262_144

CHECK_EPILOG = """Examples:

optr workflow check examples/workflows/plan_pipeline.yml

optr workflow check examples/workflows/consensus.yml --json"""

DRAW_EPILOG = """Examples:

optr workflow draw examples/workflows/debate.yml > debate.mmd

optr workflow draw examples/workflows/debate.yml --svg > debate.svg"""

File = Annotated[Path, typer.Argument(help="The workflow file, YAML.", metavar="FILE", dir_okay=False)]


def check(*, file: File, as_json: Json = False, verbose: Verbose = False) -> ExitCode:
    """Check a workflow file: its form, its names, and that its graph can be governed.

    Says what would run, in which order, and what the result rests on. Whether the agents are there is checked by a run.
    """
    del verbose  # read by `bot.cli.app.run`
    loaded = _load(file)
    graph = loaded.workflow.graph("check")
    if as_json:
        emit_json({"version": WORKFLOW_VERSION, **_told(loaded, graph)})
    else:
        emit(visible("\n".join(_lines(loaded, graph))))
    return ExitCode.OK


def draw(
    *,
    file: File,
    as_svg: Annotated[bool, typer.Option("--svg", help="Draw a stand-alone SVG picture.")] = False,
    as_mermaid: Annotated[bool, typer.Option("--mermaid", help="Draw a Mermaid flowchart, the default.")] = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Draw a workflow file on standard output."""
    del verbose  # read by `bot.cli.app.run`
    if as_svg and as_mermaid:
        raise OptrError("--svg and --mermaid exclude each other", remedy="Give one of them")
    graph = _load(file).workflow.graph("check")
    from governance.draw import mermaid  # noqa: PLC0415 - `--help` must not wait for it
    from governance.svg import svg  # noqa: PLC0415

    emit(svg(graph) if as_svg else mermaid(graph))
    return ExitCode.OK


def _load(file: Path) -> "WorkflowFile":
    from execution.workflowfile import load_workflow  # noqa: PLC0415 - `--help` must not wait for it
    from execution.yamlfile import ConfigError  # noqa: PLC0415

    with file.open("rb") as stream:
        data = stream.read(FILE_BYTES_MAX + 1)
    try:
        return load_workflow(data, str(file))
    except ConfigError as error:
        raise OptrError(error.problem, where=error.where, remedy=error.remedy.rstrip(".")) from None


def _told(loaded: "WorkflowFile", graph: "Graph") -> dict[str, object]:
    join = graph.aggregation.join
    return {
        "workflow": loaded.name,
        "pattern": loaded.workflow.pattern,
        "layers": [[node.id for node in layer] for layer in graph.layers],
        "agents": {node.id: node.agent for node in graph.agent_nodes},
        "results": [node.id for node in graph.racers],
        "join": f"{join.kind} {join.minimum}" if join else "",
        "graph": graph.model_dump(mode="json"),
    }


def _lines(loaded: "WorkflowFile", graph: "Graph") -> list[str]:
    layers = [", ".join(f"{node.id} ({node.agent})" for node in layer) for layer in graph.layers]
    join = graph.aggregation.join
    needs = f"{join.kind}({join.minimum})" if join and join.kind != "ALL" else "ALL"
    return [
        f"workflow {loaded.name or '(named when it runs)'}: {loaded.workflow.pattern}",
        *(f"{number}. {layer}" for number, layer in enumerate(layers, 1)),
        f"result: {', '.join(node.id for node in graph.racers)}; join {needs}",
    ]
