"""HealthArchive: a web archive that heals itself."""

__version__ = "0.1.0"
