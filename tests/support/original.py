"""The original design's own bash functions, as its document has them: archives, `.meta`, lists and dumps in its layout."""

from __future__ import annotations

import gzip
import subprocess
from dataclasses import dataclass
from pathlib import Path

_FULL = """
tar czf "$BACKUPS/$DOMAIN/backup_${timestamp}.tar.gz" -C "$WWW/$DOMAIN" .
cat > "$BACKUPS/$DOMAIN/backup_${timestamp}.tar.gz.meta" <<META
{
    "type": "full",
    "domain": "$DOMAIN",
    "timestamp": "$timestamp",
    "unix_timestamp": $unix,
    "file_count": $(find "$WWW/$DOMAIN" -type f | wc -l),
    "checksum": "sha256:$(sha256sum "$BACKUPS/$DOMAIN/backup_${timestamp}.tar.gz" | cut -d' ' -f1)",
    "version": "2.2.0"
}
META
"""
_INCREMENT = """
list="$BACKUPS/.incremental/$DOMAIN/changed_files_${timestamp}.txt"
find "$WWW/$DOMAIN" -type f -newermt "@${last_backup_time}" 2>/dev/null > "$list"
tar czf "$BACKUPS/$DOMAIN/backup_${timestamp}_incremental.tar.gz" --files-from="$list" 2>/dev/null
cat > "$BACKUPS/$DOMAIN/backup_${timestamp}_incremental.tar.gz.meta" <<META
{
    "type": "incremental",
    "domain": "$DOMAIN",
    "timestamp": "$timestamp",
    "unix_timestamp": $unix,
    "base_backup": "$base",
    "file_count": $(wc -l < "$list"),
    "changed_files_list": "$list"
}
META
"""


@dataclass(frozen=True)
class Original:
    """Its folder of backups, which belongs to whoever runs the tests, and the folder of its domains."""

    backups: Path
    www: Path
    domain: str

    @classmethod
    def at(cls, backups: Path, www: Path, domain: str) -> Original:
        for folder in (backups, backups / domain, backups / ".incremental", backups / ".incremental" / domain):
            folder.mkdir(mode=0o755)
        return cls(backups, www, domain)

    @property
    def folder(self) -> Path:
        return self.backups / self.domain

    def full(self, timestamp: str, unix: int) -> Path:
        """Make a full backup as of `timestamp` (YYYYMMDD_HHMMSS) and return its archive."""
        self._bash(_FULL, timestamp=timestamp, unix=str(unix))
        return self.folder / f"backup_{timestamp}.tar.gz"

    def increment(self, timestamp: str, unix: int, since: float, base: str) -> Path:
        """Make an incremental backup of what changed after `since` (seconds since the epoch) and return its archive."""
        self._bash(_INCREMENT, timestamp=timestamp, unix=str(unix), last_backup_time=str(since), base=base)
        return self.folder / f"backup_{timestamp}_incremental.tar.gz"

    def dump(self, timestamp: str, sql: bytes) -> Path:
        """Keep what mysqldump wrote, as `| gzip -6 >` does, and return the file."""
        path = self.folder / f"database_{timestamp}.sql.gz"
        path.write_bytes(gzip.compress(sql, 6))
        return path

    def _bash(self, script: str, **variables: str) -> None:
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **variables}
        environment |= {"BACKUPS": str(self.backups), "WWW": str(self.www), "DOMAIN": self.domain}
        subprocess.run(["bash", "-e", "-c", script], env=environment, check=True)
