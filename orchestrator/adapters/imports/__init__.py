"""Models from outside the catalog: headers and configurations to cards, without loading weights."""
