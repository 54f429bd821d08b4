"""Environment to one frozen `Settings`, read once at the door."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator.errors import Invalid

NAMESPACE = "headwater"  # of our Ray actors
SITE_LABEL = "headwater.dev/site"  # on Ray nodes


class Settings(BaseSettings):
    """Set with `HEADWATER_...`, for example `HEADWATER_PORT=9000`."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_", env_ignore_empty=True, frozen=True, extra="ignore")

    home: Path = Field(default_factory=lambda: Path.home() / ".headwater", description="folder of files and logs")
    port: int = Field(default=8400, ge=1, le=65535, description="port of the OpenAI endpoint, from 1 to 65535")
    every_s: float = Field(
        default=1.0, gt=0, le=60, description="seconds between passes when nothing is under way, above 0, at most 60"
    )

    @property
    def artifacts(self) -> Path:
        """Built artifacts."""
        return self.home / "artifacts"

    @property
    def run(self) -> Path:
        """Files of what runs now."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """Log files, one per process."""
        return self.home / "logs"


def ray_folder(home: Path) -> Path:
    """Where the Ray of this home keeps sockets: short, because a socket's path may have 107 characters only."""
    name = hashlib.sha256(str(home).encode()).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"headwater-{name}"


def forget_run(settings: Settings) -> None:
    """Remove what a node leaves in its run folder, but what it last said: secret, ports, process ids, specs, routes."""
    for pattern in ("token", "*.port", "*.pid", "*.spec", "routes.json"):
        for path in settings.run.glob(pattern):
            path.unlink(missing_ok=True)


def read_settings() -> Settings:
    """Read the environment. Raises Invalid naming the variable."""
    try:
        settings = Settings()
    except ValidationError as exc:
        first = exc.errors()[0]
        field = str(first["loc"][0])
        right = Settings.model_fields[field].description
        raise Invalid(
            f"environment variable HEADWATER_{field.upper()} is {first['input']!r}; write the {right}"
        ) from exc
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})
