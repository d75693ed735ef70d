"""`smartbackup retention`, `pin`, `unpin`, `exclusions`: how long restore points stay, and what is not in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from smartbackup_panel.commands.session import Session, command

if TYPE_CHECKING:
    from smartbackup_panel.services.exclusion_preview import Weighed
    from smartbackup_panel.services.policies import Keeping, LeavingOut


@click.command()
@click.argument("domain")
@click.option(
    "--dry-run", is_flag=True, help="Only say what stays and what goes, and why; also of rules that are named."
)
@click.option("--set", "wanted", multiple=True, metavar="RULE=NUMBER", help="Give the domain a rule of its own.")
@click.option("--default", "as_settings", is_flag=True, help="Let the settings decide for this domain again.")
@command
def retention(session: Session, domain: str, dry_run: bool, wanted: tuple[str, ...], as_settings: bool) -> None:
    """Remove the restore points that no rule keeps; RULE is last, days, daily, weekly, monthly, yearly or floor."""
    from smartbackup_panel.core.model import COMMAND_LINE

    found, policies = session.domain(domain), session.services.policies
    if dry_run:
        present = policies.keeping(COMMAND_LINE, found.id)
        own = {} if as_settings else {name: getattr(present.rules, name) for name in present.own}
        _tell(session, domain, policies.keeping(COMMAND_LINE, found.id, own | _numbers(wanted)))
        return
    if wanted or as_settings:
        policies.set_retention(COMMAND_LINE, found.id, None if as_settings else _numbers(wanted))
        session.keep_choices()
        _tell(session, domain, policies.keeping(COMMAND_LINE, found.id))
        return
    job = session.run(session.services.requests.retention(COMMAND_LINE, found.id))
    session.finish_job(job, _tell_removed)


@click.command()
@click.argument("domain")
@click.option("--point", required=True, help="A point's id, the beginning of it, its archive's name, or 'latest'.")
@command
def pin(session: Session, domain: str, point: str) -> None:
    """Keep a restore point whatever the rules say."""
    _pin(session, domain, point, pinned=True)


@click.command()
@click.argument("domain")
@click.option("--point", required=True, help="A point's id, the beginning of it, its archive's name, or 'latest'.")
@command
def unpin(session: Session, domain: str, point: str) -> None:
    """Let a pinned restore point go by the rules again."""
    _pin(session, domain, point, pinned=False)


def _pin(session: Session, domain: str, point: str, *, pinned: bool) -> None:
    from smartbackup_panel.core.model import COMMAND_LINE

    found = session.domain(domain)
    chosen = session.services.queries.point_named(COMMAND_LINE, found.id, point)
    session.services.policies.pin(COMMAND_LINE, found.id, chosen.id, pinned=pinned)
    session.keep_choices()
    said = f"The point of {chosen.created_at:%Y-%m-%d %H:%M} is {'pinned' if pinned else 'no longer pinned'}."
    session.answer({"domain": domain, "point": chosen.id, "pinned": pinned}, lambda: click.echo(said))


def _numbers(wanted: tuple[str, ...]) -> dict[str, int]:
    from smartbackup_panel.core.errors import WrongUsage

    numbers: dict[str, int] = {}
    for text in wanted:
        name, _, number = text.partition("=")
        if not number.isascii() or not number.isdigit():
            raise WrongUsage(f"{text!r} is no rule", hint="For example: --set weekly=8")
        numbers[name] = int(number)
    return numbers


def _tell(session: Session, domain: str, keeping: Keeping) -> None:
    from smartbackup_panel.commands.tables import show_table
    from smartbackup_panel.services.policies import rules_in_words
    from smartbackup_panel.services.retention import verdict_fields

    rows = [
        (row.point.id[:8], f"{row.point.created_at:%Y-%m-%d %H:%M}", "stays" if row.stays else "GOES", row.reason)
        for row in keeping.verdicts
    ]
    document = {
        "domain": domain,
        "rules": rules_in_words(keeping.rules),
        "own": list(keeping.own),
        "points": [verdict_fields(row) for row in keeping.verdicts],
    }

    def tell() -> None:
        click.echo(f"Kept: {document['rules']}.")
        show_table(("point", "made (UTC)", "", "why"), rows)

    session.answer(document, tell)


def _tell_removed(result: dict[str, Any]) -> None:
    from smartbackup_panel.commands.tables import show_table, size

    click.echo(f"{len(result['removed'])} points went ({size(result['freed_bytes'])}), {result['kept']} stay.")
    show_table(
        ("point", "made", "why"), [(row["point"][:8], row["created_at"], row["reason"]) for row in result["removed"]]
    )


@click.command()
@click.argument("domain")
@click.option("--profile", type=click.Choice(["nothing", "safe", "full-list"]), help="What the domain leaves out.")
@click.option(
    "--pattern", "patterns", multiple=True, metavar="LINE", help="Its own lines in gitignore syntax, all of them."
)
@click.option("--rebuildable/--no-rebuildable", default=None, help="Leave out what a lock file makes again.")
@click.option("--default", "as_settings", is_flag=True, help="Let the settings decide for this domain again.")
@click.option("--dry-run", is_flag=True, help="Only say what it would leave out of the newest restore point.")
@command
def exclusions(
    session: Session,
    domain: str,
    profile: str | None,
    patterns: tuple[str, ...],
    rebuildable: bool | None,
    as_settings: bool,
    dry_run: bool,
) -> None:
    """Show or choose what a domain leaves out of its restore points."""
    from smartbackup_panel.core.model import COMMAND_LINE

    found, policies = session.domain(domain), session.services.policies
    wanted: dict[str, object] = {"profile": profile, "patterns": list(patterns), "rebuildable": rebuildable}
    chosen = {name: value for name, value in wanted.items() if value not in (None, [])}
    leaving, weighed = policies.exclusions(COMMAND_LINE, found.id), None
    if dry_run:
        own = {} if as_settings else {**leaving.own, **chosen}
        leaving, weighed = _look(session, found.id, own)
    elif chosen or as_settings:
        leaving = policies.set_exclusions(COMMAND_LINE, found.id, None if as_settings else chosen)
        session.keep_choices()
    _tell_leaving(session, domain, leaving, weighed)


def _look(session: Session, domain_id: str, own: dict[str, object]) -> tuple[LeavingOut, Weighed | None]:
    from smartbackup_panel.core.errors import BadSetting
    from smartbackup_panel.core.model import COMMAND_LINE

    told = session.services.exclusion_previews.look(COMMAND_LINE, domain_id, own)
    if told.leaving is None:
        raise BadSetting("; ".join(message for _, message in told.wrong))
    return told.leaving, told.weighed


def _tell_leaving(session: Session, domain: str, leaving: LeavingOut, weighed: Weighed | None) -> None:
    from smartbackup_panel.commands.tables import show_table, size

    document = {
        "domain": domain,
        "profile": leaving.holds.profile,
        "rebuildable": leaving.holds.rebuildable,
        "own": dict(leaving.own),
        "patterns": list(leaving.lines),
        "needed_but_left_out": list(leaving.critical),
    }
    if weighed is not None:
        document["would_leave_out"] = {
            "paths": weighed.paths,
            "files": weighed.files,
            "bytes": weighed.size_bytes,
            "coming_back": weighed.coming_back,
            "is_complete": weighed.is_complete,
        }

    def tell() -> None:
        click.echo(f"Profile {leaving.holds.profile}; {len(leaving.lines)} patterns.")
        show_table(("pattern",), [(line,) for line in leaving.lines])
        if weighed is not None:
            click.echo(f"{weighed.files} files ({size(weighed.size_bytes)}) of the newest point would be left out.")
        for name in leaving.critical:
            click.echo(click.style(f"This site needs {name}, and the patterns leave it out.", fg="red"), err=True)

    session.answer(document, tell)
