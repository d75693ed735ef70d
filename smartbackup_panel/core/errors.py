"""The one tree of errors. Each class fixes a stable code, an exit code, an HTTP status and a hint.

Exit codes (source: the command line's contract): 1 failed, 2 wrong usage or unknown domain, 3 done in part.
"""

from __future__ import annotations

from typing import ClassVar


class SmartBackupError(Exception):
    """What went wrong in one sentence, and in `hint` what to do about it."""

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    default_hint: ClassVar[str] = "See the job's log; the error is recorded there."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint


# What was asked for


class WrongUsage(SmartBackupError):
    """The request itself is wrong; nothing was changed."""

    code, exit_code, http_status = "usage", 2, 400
    default_hint = "Correct the request and send it again; nothing was changed."


class BadSetting(WrongUsage):
    """A setting has a value that cannot be used."""

    code = "setting.bad"
    default_hint = (
        "Correct the setting in the configuration file or the environment; `smartbackup check` lists them all."
    )


class BadDomainName(WrongUsage):
    """A text that is not the name of a domain in lower-case ASCII (A-label) form."""

    code = "domain.bad_name"
    default_hint = (
        "Give the domain in lower case, internationalised names in their xn-- form, for example shop.example.com."
    )


class UnknownDomain(SmartBackupError):
    """No domain of this name, or none that this actor may see."""

    code, exit_code, http_status = "domain.unknown", 2, 404
    default_hint = "`smartbackup domains` lists the domains; `smartbackup reconcile` looks for new ones."


class UnknownPoint(SmartBackupError):
    """The domain has no such restore point, or it is not this actor's."""

    code, exit_code, http_status = "point.unknown", 2, 404
    default_hint = "`smartbackup points DOMAIN` lists the restore points."


class UnknownJob(SmartBackupError):
    """No such job, or it is not this actor's."""

    code, exit_code, http_status = "job.unknown", 2, 404
    default_hint = "The jobs of a domain are listed on its page."


class UnknownPath(SmartBackupError):
    """The restore point holds no such path."""

    code, exit_code, http_status = "point.unknown_path", 2, 404
    default_hint = "`smartbackup browse DOMAIN --point POINT` lists what the point holds."


class CatalogBehind(SmartBackupError):
    """The list of a restore point's files is not in the catalog yet."""

    code, http_status = "catalog.behind", 409
    default_hint = "It is made by the worker within a minute; `smartbackup rebuild-catalog` makes all lists again."


class DownloadGone(SmartBackupError):
    """A download was taken already, or not within its ten minutes."""

    code, http_status = "download.gone", 410
    default_hint = "A download can be taken once, for ten minutes. Ask for it again."


class NotAllowed(SmartBackupError):
    """The actor may see the object but not do this with it."""

    code, http_status = "not_allowed", 403
    default_hint = "Ask an administrator of this server."


class NothingToUndo(SmartBackupError):
    """The domain has no restore that can still be undone."""

    code, exit_code, http_status = "undo.nothing", 1, 409
    default_hint = "An undo is kept for seven days after a restore and replaced by the next one."


# The site and its surroundings


class MissingDocumentRoot(SmartBackupError):
    """The folder of a domain is not there (or is not a folder)."""

    code, http_status = "domain.missing_root", 409
    default_hint = "Restore the domain to bring its folder back, or tell the panel that the domain is deleted."


class UnsafePath(SmartBackupError):
    """A path leads out of the folder it has to stay in, or through a link."""

    code, http_status = "path.unsafe", 400
    default_hint = "Name a path inside the domain's folder, without '..' and not through a link."


class ScanFailed(SmartBackupError):
    """The domain's folder could not be read to its end."""

    code, http_status = "scan.failed", 500
    default_hint = "Check that the domain's folder can be read by its owner."


class NoSpace(SmartBackupError):
    """The disk or quota has too little room; what was begun is removed."""

    code, http_status = "space.none", 507
    default_hint = (
        "Free some space on that filesystem, or move the backup root to a larger one; the last good point is untouched."
    )


class DomainBusy(SmartBackupError):
    """Another job of this domain is running."""

    code, http_status = "domain.busy", 409
    default_hint = "Wait until the running job has ended, or cancel it."


class Cancelled(SmartBackupError):
    """Somebody asked for the job to be cancelled; what it had begun is removed."""

    code, http_status = "job.cancelled", 409
    default_hint = "Start it again whenever you like; nothing was changed."


class AgentFailed(SmartBackupError):
    """The process that works as the tenant ended without its result."""

    code = "agent.failed"
    default_hint = "Try again; if it repeats, the job's log holds the last words of the process."


# Archives


class ArchiveDamaged(SmartBackupError):
    """Bytes of an archive are not what was written; nothing damaged is delivered."""

    code, http_status = "archive.damaged", 409
    default_hint = "Choose another restore point; the next backup of this domain will be a full one."


class ArchiveRefused(SmartBackupError):
    """An archive holds what no archive of this product may hold, or passes a limit."""

    code, http_status = "archive.refused", 409
    default_hint = "Do not use this archive; it was not written by this server or has been altered."


class ArchiveMissing(SmartBackupError):
    """An archive that a point needs is not in the store."""

    code, http_status = "archive.missing", 409
    default_hint = "Choose a point that does not build on it; the next backup of this domain will be a full one."


class RestoreFailed(SmartBackupError):
    """A restore stopped before its swap; the site is as it was."""

    code = "restore.failed"
    default_hint = "The site was not changed. The job's log says what stopped it."


# Databases


class DatabaseRefused(SmartBackupError):
    """A login, host or database that the rules do not allow."""

    code, http_status = "database.refused", 409
    default_hint = "Check the database settings of the site, and SMARTBACKUP_DATABASE_HOSTS."


class DumpFailed(SmartBackupError):
    """The dump of a database failed; nothing of the dump is kept."""

    code, http_status = "dump.failed", 502
    default_hint = "Check the database login of this domain."

    def __init__(self, message: str, *, hint: str | None = None, table: str | None = None) -> None:
        """`table` is what stopped it, where the dump program named one."""
        super().__init__(message, hint=hint)
        self.table = table


class LoadFailed(SmartBackupError):
    """A dump could not be loaded; the live tables are untouched and the scratch tables are removed."""

    code, http_status = "load.failed", 502
    default_hint = "The live tables are untouched. Check the database's free space and the login's rights."


# Our own parts


class StateUnavailable(SmartBackupError):
    """The state database cannot be opened or has another version."""

    code, http_status = "state.unavailable", 503
    default_hint = "Check SMARTBACKUP_STATE_URL and the rights of the state folder; `smartbackup check` says more."


class WorkerUnavailable(SmartBackupError):
    """The job engine cannot be started here."""

    code, http_status = "worker.unavailable", 503
    default_hint = "Another worker may be running for this state folder; `smartbackup check` says which."


class ToolMissing(SmartBackupError):
    """A program that this work needs is not installed."""

    code, http_status = "tool.missing", 500
    default_hint = "Install the program that the message names, for example mariadb-client."


def all_errors() -> list[type[SmartBackupError]]:
    """Return every class of the tree, for the table in the docs and the test that compares them."""
    found: list[type[SmartBackupError]] = []
    waiting: list[type[SmartBackupError]] = [SmartBackupError]
    while waiting:
        error = waiting.pop()
        found.append(error)
        waiting.extend(error.__subclasses__())
    return sorted(found, key=lambda error: error.code)
