"""The only home of the Kubernetes client: read objects from a cluster, and turn its errors into ours.

Called by the command line. What nodes mean is `nodes` beside this file. Nothing here changes a cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import Invalid, Refused, Unavailable

TIMEOUT_S = 15.0
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
    try:
        from kubernetes import client, config  # noqa: PLC0415  heavy, and not in every installation
    except ImportError as error:
        raise Invalid(
            "the Kubernetes client is not installed; install headwater[controller], or give --nodes FILE"
        ) from error
    with _our_errors():
        how = client.Configuration()
        how.retries = 1  # the client's own three make a minute of a cluster that is not there
        config.load_kube_config(str(kubeconfig) if kubeconfig else None, context, client_configuration=how)
        with client.ApiClient(how) as api_client:
            return list(_pages(client.CoreV1Api(api_client)))


def _pages(api: Any) -> Iterator[Any]:
    follow = None
    for _ in range(_MOST_PAGES):
        answer = api.list_node(
            limit=_PAGE, _continue=follow, _request_timeout=(TIMEOUT_S, TIMEOUT_S), _preload_content=False
        )
        value = json.loads(answer.data)
        yield from value["items"]
        follow = value.get("metadata", {}).get("continue")
        if not follow:
            return


@contextmanager
def _our_errors() -> Iterator[None]:
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
            f"the cluster answers {status} {error.reason} to `list nodes`; give this user the right to list nodes"
        ) from error
    except HTTPError as error:
        raise Unavailable(f"the cluster does not answer: {_sentence(error)}", retry_in_s=5) from error
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise Invalid(f"kubeconfig or answer cannot be used: {_sentence(error)}") from error


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
