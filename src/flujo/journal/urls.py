"""URLs of databases: checked, and named without their passwords."""

from urllib.parse import urlsplit

from flujo.errors import ConfigError


def check_url(url: str) -> None:
    """Refuse what is no URL of a PostgreSQL database; the error does not repeat it."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("postgresql", "postgres") and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise ConfigError(
            "the store's URL cannot be read",
            fix="write it as postgresql://user:password@host:5432/database, special characters as %XX",
        )


def place_of(url: str) -> str:
    """Return what a database may be called in messages: host, port and database."""
    check_url(url)
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.hostname or 'the local server'}{port}{parts.path}"
