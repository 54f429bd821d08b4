"""What accelerators a host has: from its PCI bus, its vendors' tools and its board files. Parsing is pure."""
