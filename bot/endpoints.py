"""Where the databases are and where GitHub is, as the settings say."""

from bot.github.installations import GitHubSettings
from bot.settings import Settings

STATE_FILE = "state.db"
ENGINE_FILE = "engine.db"
LOCK_FILE = "lock"  # held by the one process of a state directory, where the databases are SQLite's
MILLISECONDS = 1000  # in a second


def github_settings(settings: Settings) -> GitHubSettings:
    """Where GitHub is and who we are there, out of the settings."""
    return GitHubSettings(
        app_id=str(settings.app_id),
        private_key=settings.private_key.get_secret_value(),
        api_url=settings.github_api,
        web_url=settings.github_url,
        timeout_s=settings.github_timeout_ms / MILLISECONDS,
        write_interval_s=settings.write_interval_ms / MILLISECONDS,
    )


def state_url(settings: Settings) -> str:
    """The database of runs and deliveries, as SQLAlchemy wants it named."""
    return database_url(settings) or f"sqlite:///{settings.state / STATE_FILE}"


def engine_url(settings: Settings) -> str:
    """The database of the engine's journal, likewise."""
    return database_url(settings) or f"sqlite:///{settings.state / ENGINE_FILE}"


def database_url(settings: Settings) -> str | None:
    """The PostgreSQL database as SQLAlchemy wants it named; None for SQLite."""
    if settings.database_url is None:
        return None
    _, _, rest = settings.database_url.get_secret_value().partition("://")
    return f"postgresql+psycopg://{rest}"
