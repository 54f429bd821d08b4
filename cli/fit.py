"""`headwater fit`: does a model fit on chips of one kind, what would, and what it takes in memory."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.options import chip_names, engine_names, model_names, quantization_names
from cli.output import Output, OutputOption, bytes_for_people, count, draw, show

FEW, SHOWN = 1, 6  # noes that are printed beside a yes, and beside a no
MOST = 65_536  # sequences that are asked for and looked for at most


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: headwater fit --model deepseek-r1 --chip nvidia-h20 --chips 8; "
        "headwater fit --model qwen3-32b --chip ascend-910b3 --context 32k --concurrency 16; "
        "headwater fit --model qwen3-0.6b --chip rockchip-rk3588 --memory 4GiB -o json"
    )
    def fit(
        model: Annotated[
            str, typer.Option("--model", "-m", help="A model of the catalog.", autocompletion=model_names)
        ],
        chip: Annotated[
            str,
            typer.Option(
                "--chip", "-c", help="A hardware profile; `local` is this machine.", autocompletion=chip_names
            ),
        ],
        chips: Annotated[
            int | None, typer.Option(min=1, max=4096, help="Chips of the replica; the fewest that do, without it.")
        ] = None,
        quantization: Annotated[
            str | None,
            typer.Option(
                "--quantization",
                "-q",
                help="Without it the model's own, or what the engine reads instead.",
                autocompletion=quantization_names,
            ),
        ] = None,
        context: Annotated[
            str, typer.Option(help="Longest prompt and answer together, in tokens; 32k is 32768.")
        ] = "4k",
        concurrency: Annotated[int, typer.Option(min=1, max=MOST, help="Sequences that run together.")] = 1,
        engine: Annotated[
            str | None,
            typer.Option(help="An engine of the chip; the first that reads it, without.", autocompletion=engine_names),
        ] = None,
        per_node: Annotated[
            int | None, typer.Option(min=1, max=1024, help="Chips in a node; the usual, without.")
        ] = None,
        memory: Annotated[
            str | None, typer.Option(help="Memory of one chip as the node's tool reports it, such as 64GiB.")
        ] = None,
        tp: Annotated[int | None, typer.Option("--tp", min=1, help="Tensor ranks; the usual cut, without.")] = None,
        pp: Annotated[int | None, typer.Option("--pp", min=1, help="Pipeline stages.")] = None,
        ep: Annotated[bool | None, typer.Option("--ep/--no-ep", help="Spread experts over all chips.")] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Say whether a model fits on chips, with every byte; the longest context, most sequences and fewest chips."""
        from orchestrator.core.sizing_view import fit_view
        from orchestrator.lookup import FitWish, fit_question
        from orchestrator.settings import read_settings

        wish = FitWish(
            model,
            chip,
            chips,
            quantization,
            engine,
            context,
            concurrency,
            per_node,
            memory,
            tensor=tp,
            pipeline=pp,
            expert=ep,
        )
        value = fit_view(*fit_question(wish, read_settings()))
        show(value, output, lambda: print_fit(value))
        if not value["fits"]:
            raise typer.Exit(1)


def print_fit(value: dict[str, Any]) -> None:
    """Draw the answer for a person."""
    if "engine" in value:
        _print_found(value)
    elif "settings" in value:
        _print_settings(value)
    else:
        typer.echo(f"{value['model']} on {value['chip']}: does not fit")
    different: dict[tuple[str, ...], dict[str, str]] = {}
    for no in value["rejected"]:
        different.setdefault((no["rule"], no["need"], no["have"]), no)
    told = 1 if _other_reason(value) else 0  # in the headline
    for no in list(different.values())[told:][: FEW if value["fits"] else SHOWN]:
        typer.echo(f"  not {no['subject']} ({no['rule']}): {_no(no)}")
    if value["unverified"]:
        typer.echo(f"  rests on numbers nobody verified: {', '.join(value['unverified'])}")


def _other_reason(value: dict[str, Any]) -> dict[str, str] | None:
    """What keeps the chosen way from running when it is not the memory; it stands in the headline then."""
    no = value["rejected"][0] if "engine" in value and not value["fits"] and value["rejected"] else None
    return no if no and no["rule"] != "memory" else None


def _no(no: dict[str, str]) -> str:
    hint = f"; {no['hint']}" if "hint" in no else ""
    return f"needs {no['need']}, has {no['have']}{hint}"


def _print_found(value: dict[str, Any]) -> None:
    if value["memory"]:
        title = f"{value['model']} on {value['chips']} x {value['chip']}, {value['parallelism']}"
        draw(f"{title}: memory of the fullest chip", ("part", "memory", "how it comes"), _rows(value))
    what, where = f"{value['model']} {value['quantization']}", f"{value['chips']} x {value['chip']}"
    if no := _other_reason(value):
        typer.echo(f"{what} does not run on {where} ({no['rule']}): {_no(no)}.")
    else:
        typer.echo(f"{what} {'fits' if value['fits'] else 'does not fit'} on {where}.")
    if value["checkpoint"]:
        made = f", converted to {value['format']} first" if value["convert"] else f" ({value['format']})"
        typer.echo(f"  weights: {value['checkpoint']}{made}, with {value['engine']}")
    if value["memory"]:
        at_once, tokens = count(value["sequences"], "sequence"), f"{value['contextTokens']:,} tokens"
        longest, most = value["longestContextTokens"], value["mostSequences"]
        typer.echo(f"  longest context with {at_once}: {f'{longest:,} tokens' if longest else 'none fits'}")
        more = " or more" if most == MOST else ""
        typer.echo(f"  most sequences of {tokens}: {f'{most:,}{more}' if most else 'none fits'}")
    if value["fits"] and value["noSpeedWithout"]:
        typer.echo(f"  not planned: no speed can be predicted without {', '.join(value['noSpeedWithout'])}")
    fewest = value["fewestChips"]
    typer.echo(f"  fewest chips that would do in {value['quantization']}: {fewest or 'none'}")


def _rows(value: dict[str, Any]) -> list[tuple[str, str, str]]:
    m, each = value["memory"], value["perToken"]
    extra = f" + {each['indexBytes']:,} of the index" if each["indexBytes"] else ""
    extra += f"; {each['stateBytesPerSequence']:,} a sequence" if each["stateBytesPerSequence"] else ""
    cache = f"{each['kvBytes']:,} a token{extra}, before the cut; {count(value['sequences'], 'sequence')}"
    parts = [
        ("weights", m["weightsBytes"], f"{value['parameters'] / 1e9:.2f} B parameters in {value['quantization']}"),
        ("cache", m["kvCacheBytes"], f"{cache} of {value['contextTokens']:,} tokens"),
        ("activations", m["activationsBytes"], "of one step"),
        ("buffers", m["buffersBytes"], "captured graphs, communication, the chip's runtime"),
        ("engine", m["engineBytes"], "the program itself"),
        ("together", m["totalBytes"], ""),
        ("usable", value["usableBytes"], f"of {bytes_for_people(value['chipBytes'])} on a chip"),
        ("free", value["usableBytes"] - m["totalBytes"], ""),
    ]
    return [(part, _bytes(size), how) for part, size, how in parts if size]


def _print_settings(value: dict[str, Any]) -> None:
    """A model that is no decoder, or whose dimensions nobody published: memory alone is compared."""
    for one in value["settings"]:
        typer.echo(f"  {one['setting']}: {one['written']}, {'fits' if one['fits'] else 'does not fit'}")
    weights = bytes_for_people(value["weightsAtLeastBytes"])
    typer.echo(f"{value['model']} has no published dimensions of a decoder, so nothing is added up.")
    typer.echo(f"  weights alone take {weights} in 16 bits; a chip has {bytes_for_people(value['usableBytes'])} to use")
    if value["settings"]:
        typer.echo(
            "  settings are compared by the memory they were seen to need; whether an engine runs them is not known"
        )


def _bytes(size: int) -> str:
    return f"-{bytes_for_people(-size)}" if size < 0 else bytes_for_people(size)
