"""`headwater discover`: a `Site` document of a Kubernetes cluster, with its chips and with what is installed there."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.doctor import SnapshotOption, seen
from cli.hardware_detect import ContextOption, CpuOption, SiteOption, check_name, read_known, say_notes
from cli.output import Form, FormOption, Output, say, tell


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: headwater discover --site wuxi > wuxi.yaml; headwater discover --snapshot cluster.json"
    )
    def discover(
        output: FormOption = Form.YAML,
        site: SiteOption = "here",
        context: ContextOption = None,
        snapshot: SnapshotOption = None,
        cpu: CpuOption = False,
        edge: Annotated[bool, typer.Option("--edge", help="The site is near the users.")] = False,
    ) -> None:
        """Write the site that a cluster is: pools of its nodes, add-ons, edge platform; notes on standard error."""
        from orchestrator.adapters.kubernetes.nodes import survey
        from orchestrator.settings import read_settings

        check_name("site", site)
        there = seen(snapshot, context)
        found = survey(there.nodes, read_known(read_settings()), name=site, cpu=cpu)
        premises: dict[str, Any] = {"has": [*there.addons]} if there.kinds is not None else {}
        if there.edge:
            premises["edge"] = there.edge
        documents = []
        for one in found.sites:
            document = one.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            document["spec"] |= {"role": "edge" if edge or there.edge else "cloud"}
            documents.append(document | {"spec": document["spec"] | ({"kubernetes": premises} if premises else {})})
        say_notes(found.notes)
        for node, reason in found.left_out:
            say(f"left out: {node} {reason}")
        for what, names in (("runtime classes", there.runtime_classes), ("storage classes", there.storage_classes)):
            say(f"{what}: {'not read' if names is None else ', '.join(sorted(names)) or 'none'}")
        if there.kinds is None:
            say("custom resource definitions were not read, so nothing is listed under kubernetes.has")
        if not documents:
            say("no node can be planned with, so there is no site")
            raise typer.Exit(1)
        _print(documents, output)


def _print(documents: list[dict[str, Any]], output: Form) -> None:
    if output is Form.JSON:
        tell(documents if len(documents) > 1 else documents[0], Output.JSON)
    else:
        import yaml

        texts = (yaml.safe_dump(one, sort_keys=False, allow_unicode=True) for one in documents)
        typer.echo("---\n".join(texts), nl=False)
