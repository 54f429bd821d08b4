"""What people write: frozen pydantic models, quantities and the loader. Pure: text in, values out."""
