"""Smart Backup: backups for web-hosting panels."""

__version__ = "0.1.0"
