"""What a domain keeps: the rules of the settings with its own choices, pins, and what would go tonight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import people, points, policies
from smartbackup_panel.core.errors import NotAllowed, UnknownPoint, WrongUsage
from smartbackup_panel.core.exclusions import Exclusions
from smartbackup_panel.core.model import Actor, Domain
from smartbackup_panel.core.retention import RULE_NAMES, Rules, Verdict, judge_points
from smartbackup_panel.services.domains import domain_by_id
from smartbackup_panel.services.exclusions import Site, find_critical, general_exclusions, lines_of
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.requests import PLAN_HOLDS

MOST_PINS_OF_A_CUSTOMER = 5


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a domain keeps and why: `own` are the names of rules that differ from the settings by choice.

    `settings` are the rules of domains without a choice of their own.
    """

    settings: Rules
    rules: Rules
    own: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class LeavingOut:
    """What a domain leaves out: `own` are its own choices, `lines` all patterns that hold, `critical` what its site needs of it.

    `settings` is what domains without a choice of their own leave out.
    """

    settings: Exclusions
    holds: Exclusions
    own: Mapping[str, object]
    lines: tuple[str, ...]
    critical: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policies:
    """Choices for one domain. Raises UnknownDomain, UnknownPoint alike for "not there" and "not yours"."""

    installation: Installation

    def keeping(self, actor: Actor, domain_id: str, wanted: Mapping[str, object] | None = None) -> Keeping:
        """Return the rules of a domain and what they say of each of its points, newest first; nothing is changed.

        With `wanted`, what these numbers (the others as the settings say) would say instead. Raises WrongUsage.
        """
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            own = policies.find_policy(tx, domain.id).retention if wanted is None else wanted
            rules = rules_of(self.installation, own)
            verdicts = judge(self.installation, tx, domain, rules)
        return Keeping(rules_of(self.installation, {}), rules, tuple(own), tuple(verdicts))

    def set_retention(
        self, actor: Actor, domain_id: str, wanted: Mapping[str, int] | None, *, whole: bool = False
    ) -> Rules:
        """Give a domain rules of its own (the named ones; None: as the settings say) and return what holds now.

        With `whole`, rules that are not named are as the settings say again.
        """
        with self.installation.state.write() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            if not actor.is_admin:
                raise NotAllowed("only an administrator decides how long points are kept")
            policy = policies.find_policy(tx, domain.id)
            own = _chosen(policy.retention, wanted, whole)
            rules = rules_of(self.installation, own)
            detail: dict[str, object] = {"before": policy.retention, "after": own}
            people.add_audit(tx, self.installation.clock.now(), actor, "set retention", domain.id, None, detail)
            policies.save_policy(tx, domain.id, replace(policy, retention=own))
        return rules

    def exclusions(self, actor: Actor, domain_id: str) -> LeavingOut:
        """Return what a domain leaves out, by which rules, and what of it its site needs."""
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            own = policies.find_policy(tx, domain.id).exclusions
        return leaving_out(self.installation, domain, own)

    def set_exclusions(
        self, actor: Actor, domain_id: str, wanted: Mapping[str, object] | None, *, whole: bool = False
    ) -> LeavingOut:
        """Choose for one domain (`patterns`; an administrator also `profile` and `rebuildable`; None: as the settings say).

        With `whole`, what is not named is as the settings say again. Raises BadSetting for a bad pattern, WrongUsage, NotAllowed.
        """
        with self.installation.state.write() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            if not actor.is_admin and (wanted is None or whole or set(wanted) - {"patterns"}):
                raise NotAllowed("only an administrator chooses the profile of a domain")
            policy = policies.find_policy(tx, domain.id)
            own = _chosen(policy.exclusions, wanted, whole)
            detail: dict[str, object] = {"before": policy.exclusions, "after": own}
            people.add_audit(tx, self.installation.clock.now(), actor, "set exclusions", domain.id, None, detail)
            policies.save_policy(tx, domain.id, replace(policy, exclusions=own))
            return leaving_out(self.installation, domain, own)

    def pin(self, actor: Actor, domain_id: str, point_id: str, *, pinned: bool) -> None:
        """Pin a point, so that it stays whatever the rules say, or let it go with the others again."""
        with self.installation.state.write() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            every = {point.id: point for point in points.list_points(tx, domain.id)}
            if point_id not in every:
                raise UnknownPoint("there is no such restore point")
            if (
                pinned
                and not actor.is_admin
                and sum(point.pinned for point in every.values()) >= MOST_PINS_OF_A_CUSTOMER
            ):
                hint = "Let another one go first, or ask an administrator."
                raise WrongUsage(f"{MOST_PINS_OF_A_CUSTOMER} restore points are kept for good already", hint=hint)
            action = "pin" if pinned else "unpin"
            people.add_audit(tx, self.installation.clock.now(), actor, action, domain.id, point_id, {})
            points.set_pinned(tx, point_id, pinned)


def _chosen(before: Mapping[str, object], wanted: Mapping[str, object] | None, whole: bool) -> dict[str, object]:
    if wanted is None:
        return {}
    return dict(wanted) if whole else {**before, **wanted}


def leaving_out(installation: Installation, domain: Domain, own: Mapping[str, object]) -> LeavingOut:
    """Return what a domain with such choices of its own leaves out. Raises BadSetting, WrongUsage."""
    general, site = general_exclusions(installation), Site.of(domain)
    holds = general.changed(own)
    lines = lines_of(holds, site)
    return LeavingOut(general, holds, own, lines, tuple(find_critical(lines, site)))


def judge(
    installation: Installation,
    tx: Connection,
    domain: Domain,
    rules: Rules | None = None,
    *,
    makes_fulls: bool = True,
) -> list[Verdict]:
    """Return what the domain's rules (or others) say of each of its points now, newest first."""
    now = installation.clock.now()
    if rules is None:
        rules = rules_of(installation, policies.find_policy(tx, domain.id).retention)
    used = policies.points_in_use(tx, domain.id, now - PLAN_HOLDS)
    every, zone = points.list_points(tx, domain.id), installation.settings.timezone
    return judge_points(every, rules, now, zone, used, makes_fulls=makes_fulls)


def rules_of(installation: Installation, own: Mapping[str, object]) -> Rules:
    """Return the settings' rules with a domain's own numbers. Raises WrongUsage."""
    settings = installation.settings
    general = Rules(
        last=settings.keep_last,
        days=settings.keep_days,
        daily=settings.keep_daily,
        weekly=settings.keep_weekly,
        monthly=settings.keep_monthly,
        yearly=settings.keep_yearly,
        floor=settings.keep_at_least,
    )
    return general.changed(own)


def rules_in_words(rules: Rules) -> str:
    """Return the rules as one sentence: "the last 7, all of 7 days, one a day for 14 days; never fewer than 3"."""
    numbers = asdict(rules)
    words = {
        "last": "the last {}",
        "days": "all of {} day{}",
        "daily": "one a day for {} day{}",
        "weekly": "one a week for {} week{}",
        "monthly": "one a month for {} month{}",
        "yearly": "one a year for {} year{}",
    }
    told = [(words[name], numbers[name]) for name in RULE_NAMES if name in words and numbers[name]]
    said = [text.format(number, "" if number == 1 else "s") for text, number in told]
    return ", ".join(said or ["nothing by rule"]) + f"; never fewer than {rules.floor}"
