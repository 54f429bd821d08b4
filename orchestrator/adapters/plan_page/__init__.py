"""The HTML page of a plan, in one file: read `page` first, then `picture`, `cells` and `tables`."""

from orchestrator.adapters.plan_page.page import page_of

__all__ = ["page_of"]
