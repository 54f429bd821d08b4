"""The only home of the Kubernetes client: read objects from a cluster, and turn its errors into ours.

Called by the command line. What nodes mean is `nodes`, what else is there `surroundings`, both beside this file.
Nothing here changes a cluster.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from orchestrator.adapters.kubernetes.surroundings import Access, Surroundings, surroundings
from orchestrator.errors import Invalid, Refused, Unavailable

TIMEOUT_S = 15.0
_PATIENCE = (TIMEOUT_S, TIMEOUT_S)
_PAGE = 500
_MOST_PAGES = 100
_TOO_MANY, _SERVER_ERROR = 429, 500


def list_nodes(context: str | None = None, kubeconfig: Path | None = None) -> list[Any]:
    """The nodes of a cluster as JSON values, read in pages.

    Args:
        context: of the kubeconfig; its current one without.
        kubeconfig: a file; $KUBECONFIG or ~/.kube/config without.

    Raises:
        Invalid: there is no such kubeconfig or context, it cannot be used, or the client is not installed.
        Refused: the cluster knows us and says no.
        Unavailable: it does not answer.
    """
    with _cluster(context, kubeconfig) as (client, connection), _our_errors("list nodes"):
        return list(_pages(client.CoreV1Api(connection).list_node))


def look(
    rights: Iterable[tuple[str, str, str]] = (),
    *,
    namespace: str = "default",
    context: str | None = None,
    kubeconfig: Path | None = None,
) -> Surroundings:
    """What a cluster has, and which rights we have in a namespace. What we may not read counts as not looked at.

    Args:
        rights: verb, group and resource of each question.
        namespace: where things would be made.
        context: of the kubeconfig; its current one without.
        kubeconfig: a file; $KUBECONFIG or ~/.kube/config without.

    Raises:
        Invalid, Refused, Unavailable: as `list_nodes`.
    """
    with _cluster(context, kubeconfig) as (client, connection):
        lists = {
            "Node": client.CoreV1Api(connection).list_node,
            "RuntimeClass": client.NodeV1Api(connection).list_runtime_class,
            "StorageClass": client.StorageV1Api(connection).list_storage_class,
            "CustomResourceDefinition": client.ApiextensionsV1Api(connection).list_custom_resource_definition,
        }
        objects: list[Any] = []
        looked: list[str] = []
        for kind, ask in lists.items():
            try:
                with _our_errors(f"list {kind} objects"):
                    objects += [{"kind": kind} | one for one in _pages(ask)]
                looked.append(kind)
            except Refused:
                if kind == "Node":
                    raise
        with _our_errors("tell its version"):
            asked = client.VersionApi(connection).get_code(_request_timeout=_PATIENCE, _preload_content=False)
            version = str(json.loads(asked.data)["gitVersion"])
        access = [_allowed(client, connection, namespace, *right) for right in rights]
    return surroundings(objects, looked=looked, access=access, version=version)


def _allowed(client: Any, connection: Any, namespace: str, *right: str) -> Access:
    verb, group, resource = right
    wish = {"namespace": namespace, "verb": verb, "group": group, "resource": resource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": wish},
    }
    with _our_errors("say what we may do"):
        answer = client.AuthorizationV1Api(connection).create_self_subject_access_review(
            review, _request_timeout=_PATIENCE, _preload_content=False
        )
        allowed = json.loads(answer.data)["status"].get("allowed") is True
    return Access(verb, group, resource, allowed)


@contextmanager
def _cluster(context: str | None, kubeconfig: Path | None) -> Iterator[tuple[Any, Any]]:
    try:
        from kubernetes import client, config  # noqa: PLC0415  heavy, and not in every installation
    except ImportError as error:
        raise Invalid(
            "the Kubernetes client is not installed; install headwater[controller], or read the cluster from a file"
        ) from error
    with _our_errors("connect"):
        how = client.Configuration()
        how.retries = 1  # the client's own three make a minute of a cluster that is not there
        config.load_kube_config(str(kubeconfig) if kubeconfig else None, context, client_configuration=how)
        connection = client.ApiClient(how)
    with connection:
        yield client, connection


def _pages(ask: Callable[..., Any]) -> Iterator[Any]:
    follow = None
    for _ in range(_MOST_PAGES):
        answer = ask(limit=_PAGE, _continue=follow, _request_timeout=_PATIENCE, _preload_content=False)
        value = json.loads(answer.data)
        yield from value["items"]
        follow = value.get("metadata", {}).get("continue")
        if not follow:
            return


@contextmanager
def _our_errors(what: str) -> Iterator[None]:
    from kubernetes.client import ApiException  # noqa: PLC0415
    from kubernetes.config import ConfigException  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        yield
    except ConfigException as error:
        raise Invalid(f"kubeconfig: {_sentence(error)}; name a context with --context or set $KUBECONFIG") from error
    except ApiException as error:
        status = error.status or 0
        if status == _TOO_MANY or status >= _SERVER_ERROR:
            raise Unavailable(f"the cluster answers {status} {error.reason}", retry_in_s=5) from error
        raise Refused(
            f"the cluster answers {status} {error.reason} to `{what}`; give this user the right to {what}"
        ) from error
    except HTTPError as error:
        raise Unavailable(f"the cluster does not answer: {_sentence(error)}", retry_in_s=5) from error
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise Invalid(f"kubeconfig or answer cannot be used: {_sentence(error)}") from error


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
