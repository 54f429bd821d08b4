"""`headwater models`: the models of the catalog, what follows from their dimensions, and who came from whom."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli import models_import
from cli.catalog import DocumentOption, alike, print_document, read_all, whole_count
from cli.model_cards import print_model, print_models, print_trees
from cli.options import model_names
from cli.output import Output, OutputOption, show
from runtimes.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.api.kinds import Catalog


class Kind(StrEnum):
    """What models take and give."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    SPACE = "3d"


ModelArgument = Annotated[
    str, typer.Argument(help="A model of the catalog.", autocompletion=model_names, show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    models_app = typer.Typer(
        help="Show the models of the catalog, and add your own.",
        no_args_is_help=True,
        epilog="Examples: headwater models list --max-parameters 8B; headwater models show deepseek-r1; "
        "headwater models tree deepseek-r1; headwater models import ./my-model",
    )
    _register_list(models_app)
    _register_show(models_app)
    models_import.register(models_app)
    app.add_typer(models_app, name="models")


def _register_list(models_app: typer.Typer) -> None:
    @models_app.command(
        "list",
        epilog="Examples: headwater models list; headwater models list --family qwen3 --licence Apache-2.0; "
        "headwater models list --student-of deepseek-r1 -o json",
    )
    def list_models(
        family: Annotated[str | None, typer.Option(help="Models of a family, such as qwen3.")] = None,
        organisation: Annotated[str | None, typer.Option(help="Models that an organisation made.")] = None,
        modality: Annotated[Kind | None, typer.Option(help="Models that take or give this.")] = None,
        licence: Annotated[str | None, typer.Option(help="Models under a licence, such as Apache-2.0.")] = None,
        max_parameters: Annotated[
            str | None, typer.Option(help="Models with at most so many parameters, such as 8B.")
        ] = None,
        student_of: Annotated[
            str | None, typer.Option(help="Models that a model was distilled into.", autocompletion=model_names)
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """List models: parameters, context, native type, licence, and what the weights can be had in."""
        from orchestrator.api.spdx import parse, terms
        from orchestrator.core.model_view import model_row

        catalog = read_all()
        most = whole_count(max_parameters, "--max-parameters")
        specs = [model.spec for model in catalog.models.values()]
        ids = {name: {term.id for term in terms(parse(one.spec.licence.spdx))} for name, one in catalog.models.items()}
        families = alike(family, (one.family for one in specs), "family")
        makers = alike(organisation, (one.organisation for one in specs), "organisation")
        licences = alike(licence, (term for found in ids.values() for term in found), "licence")
        students = _students(catalog, student_of)
        rows = [model_row(catalog.models[name]) for name in sorted(catalog.models)]
        value = [
            row
            for row in rows
            if row["family"] in families
            and row["organisation"] in makers
            and (modality is None or modality.value in {*row["inputs"], *row["outputs"]})
            and (licence is None or ids[row["name"]] & licences)
            and (most is None or (row["totalParameters"] is not None and row["totalParameters"] <= most))
            and row["name"] in students
        ]
        show(value, output, lambda: print_models(value))


def _register_show(models_app: typer.Typer) -> None:
    @models_app.command(
        "show",
        epilog="Examples: headwater models show deepseek-r1; headwater models show qwen3-8b --document > my-model.yaml",
    )
    def show_model(name: ModelArgument, document: DocumentOption = False, output: OutputOption = Output.TABLE) -> None:
        """Show a card: architecture, parameters, memory, licence, lineage, releases, confidence and sources."""
        from orchestrator.core.lineage import Lineage
        from orchestrator.core.model_view import model_view

        catalog = read_all()
        _check_name(name, catalog.models, catalog)
        model = catalog.models[name]
        if document:
            print_document(model)
            return
        value = model_view(model, Lineage(catalog.models))
        show(value, output, lambda: print_model(value))

    @models_app.command("tree", epilog="Examples: headwater models tree; headwater models tree deepseek-r1")
    def show_tree(
        name: Annotated[
            str | None,
            typer.Argument(help="A model; all families without it.", autocompletion=model_names, show_default=False),
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Show who came from whom: weights to start from, teachers and students."""
        from orchestrator.core.lineage import Lineage
        from orchestrator.core.model_view import tree_view

        catalog = read_all()
        lineage = Lineage(catalog.models)
        if name is not None:
            _check_name(name, lineage.known(), catalog)
        value = tree_view(lineage, name)
        show(value, output, lambda: print_trees(value))


def _check_name(name: str, known: Iterable[str], catalog: Catalog) -> None:
    """Raises Invalid for a name that is not known, with the nearest models of the catalog, else the nearest at all."""
    from orchestrator.api.names import nearest_names

    known = frozenset(known)
    if name in known:
        return
    near = nearest_names(name, catalog.models) or nearest_names(name, known)
    meant = f"; did you mean {' or '.join(near)}?" if near else ";"
    raise Invalid(f"no model is named {name[:80]!r}{meant} `headwater models list` names them all")


def _students(catalog: Catalog, teacher: str | None) -> frozenset[str]:
    """Names of the models that a filter leaves."""
    if teacher is None:
        return frozenset(catalog.models)
    from orchestrator.core.lineage import Lineage
    from orchestrator.lookup import named

    lineage = Lineage(catalog.models)
    return lineage.students(named({known: known for known in lineage.known()}, teacher, "model"))
