"""Archives of other programs become restore points: those of the original design, and plain tar files; none is trusted.

An agent unpacks each archive as the tenant into a folder that nothing else reaches, and the usual scan and writer make a point
of it. An increment of the original design is laid over the point before it. Sources are never changed, one that was imported
before is known again, and what cannot be imported is refused with its reason while the others are imported.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from smartbackup_panel.adapters.db import points
from smartbackup_panel.core.errors import AgentFailed, ArchiveRefused, Cancelled, MissingDocumentRoot, SmartBackupError
from smartbackup_panel.core.import_chain import Chains, Known, Link, Place
from smartbackup_panel.core.import_sources import SourceKind
from smartbackup_panel.core.model import Domain, Point
from smartbackup_panel.core.tree import AgentPurpose, TarSurvey
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.services import choices, store
from smartbackup_panel.services.analysis import on_step
from smartbackup_panel.services.database_logins import find_logins
from smartbackup_panel.services.import_dumps import ImportedDumps, import_dumps, refusal
from smartbackup_panel.services.import_point import Scratch
from smartbackup_panel.services.import_sources import (
    OpenSource,
    OwnFiles,
    Source,
    default_places,
    find_sources,
    opened,
)
from smartbackup_panel.services.jobs import JobContext, Outcome
from smartbackup_panel.services.publishing import renew_lists
from smartbackup_panel.services.scratch import scratch_folder
from smartbackup_panel.services.tenants import start_agent

AHEAD = timedelta(days=1)
AGENT_SECONDS = 60.0
SHOWN_NAMES = 5
RELEASE = "Imported points are pinned: `smartbackup unpin DOMAIN --point P` lets one go by the rules again."

Row = dict[str, object]


def import_archives(context: JobContext, domain: Domain) -> Outcome:
    """Import what the job names and return a row for each source: imported, known, refused, or what would be done."""
    installation, params = context.installation, context.job.params
    store.remove_leftovers(installation, domain)
    with installation.state.read() as tx:
        every = points.list_points(tx, domain.id)
    wanted = params.get("places")
    places = [str(place) for place in wanted] if isinstance(wanted, list) else []
    store_folder = installation.store_folder(domain)
    places = places or default_places(store_folder, domain)
    sources, unusable = find_sources(places, domain, OwnFiles(store_folder, _own_names(every)))
    strip = params.get("strip")
    with store.open_store(installation, domain) as folder_fd, scratch_folder(installation, domain) as scratch_fd:
        scratch = Scratch(context, domain, folder_fd, scratch_fd)
        work = _Import(scratch, None if strip is None else os.fsencode(str(strip)), bool(params.get("dry_run")))
        work.remember(every)
        work.rows += [{"source": place, **refusal(error)} for place, error in unusable]
        with closing(work):
            for group in _groups(sources):
                work.take(group)
    if work.made:
        renew_lists(context, domain)
        choices.write_changed(installation)
    return work.outcome()


@dataclass
class _Import:
    """One import under way: `rows` say of each source what became of it, `made` are the new points."""

    scratch: Scratch
    strip: bytes | None
    is_dry: bool
    known: Known = field(default_factory=Known)
    chains: Chains = field(default_factory=Chains)
    rows: list[Row] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    _agent: Agent | None = None
    _agent_began: float = 0.0

    @property
    def context(self) -> JobContext:
        return self.scratch.context

    @property
    def domain(self) -> Domain:
        return self.scratch.domain

    def remember(self, every: Sequence[Point]) -> None:
        """Take in which sources the domain's points were made of."""
        for point in every:
            fields = point.imported or {}
            dumps = fields.get("dumps")
            for source in [fields, *(dumps if isinstance(dumps, list) else [])]:
                if source.get("sha256"):
                    at = datetime.fromisoformat(str(source["made_at"]))
                    self.known.add(str(source["sha256"]), at, point.id)
            if fields.get("base"):
                at = datetime.fromisoformat(str(fields["made_at"]))
                self.chains.add(Link(at, os.path.basename(str(fields["source"])), str(fields["base"]), point.id))

    def take(self, group: list[Source]) -> None:
        """Import an archive with the dumps of its moment, or dumps alone."""
        dumps = [source for source in group if source.kind is SourceKind.DUMP]
        for source in group:
            if source.kind is not SourceKind.DUMP:
                dumps = self._archive(source, dumps)
        if dumps:
            self._dumps_alone(dumps)

    def _archive(self, source: Source, dumps: list[Source]) -> list[Source]:
        """Import one archive with its dumps and return the dumps that are left."""
        row = source.row()
        self.rows.append(row)
        row_count = len(self.rows)
        try:
            with opened(source, self.domain, self.context.installation.signing_key) as found:
                known = self.known.find(found.sha256, source.made.at, source.kind)
                if known is not None:
                    row |= {"state": "known", "point": known}
                    return dumps
                self._refuse_future(source)
                place = self._place_of(source)
                self._import(source, found, place, row, dumps)
        except Cancelled:
            raise
        except SmartBackupError as error:
            if isinstance(error, AgentFailed):
                self.close()
            store.remove_leftovers(self.context.installation, self.domain)
            self.chains.lose(source.made.at, source.name, source.kind)
            self.context.say(f"{source.path}: {error.message}", "warning")
            row |= refusal(error)
            del self.rows[row_count:]
            return dumps
        return []

    def _import(self, source: Source, found: OpenSource, place: Place | None, row: Row, dumps: list[Source]) -> None:
        agent = self._reader()
        survey = self._survey(source, found, agent)
        row |= _survey_fields(survey)
        if self.is_dry:
            self.scratch.check_room(survey)
            base = source.name if place is None else place.base.name
            self.known.add(found.sha256, source.made.at, "")
            self.chains.add(Link(source.made.at, source.name, base))
            row["state"] = "would be imported"
            self._dumps(dumps, agent, source.made.at)
            return
        self._agent = None
        with agent:
            self._make(source, found, place, survey, agent, row, dumps)

    def _make(
        self,
        source: Source,
        found: OpenSource,
        place: Place | None,
        survey: TarSurvey,
        agent: Agent,
        row: Row,
        dumps: list[Source],
    ) -> None:
        """Unpack a source that was looked through, and make a point of it with its dumps."""
        self.scratch.unpack(source, found, survey, place, agent)
        moment = store.free_moment(self.scratch.folder_fd, source.made.at)
        taken = self._dumps(dumps, agent, moment)
        base_name = source.name if place is None else place.base.name
        fields: Row = {
            "source": source.path,
            "sha256": found.sha256,
            "kind": source.kind.value,
            "base": "" if source.kind is SourceKind.PLAIN else base_name,
            "made_at": source.made.at.isoformat(),
            "strip": os.fsdecode(survey.strip),
            "dumps": taken.fields,
        }
        warnings, is_partial = _warnings(source, survey, place), place is not None and bool(place.lost)
        parent = None if place is None else place.previous.point_id
        point = self.scratch.make_point(agent, moment, parent, taken, fields, warnings, is_partial=is_partial)
        self.made.append(point.id)
        self.known.add(found.sha256, source.made.at, point.id)
        if fields["base"]:
            self.chains.add(Link(source.made.at, source.name, base_name, point.id))
        row |= {"state": "imported", "point": point.id, "warnings": list(point.warnings)}
        taken.say_point(point.id)

    def _survey(self, source: Source, found: OpenSource, agent: Agent) -> TarSurvey:
        told = on_step(self.context, "looking through", agent)
        survey = agent.survey_tar(found.fd, source.name, _folder_names(self.domain), self.strip, found.list_fd, told)
        found.refuse_changed(source.name)
        return survey

    def _dumps_alone(self, dumps: list[Source]) -> None:
        """Make a point of dumps whose archive is not there, was imported before or is refused."""
        moment = store.free_moment(self.scratch.folder_fd, dumps[0].made.at)
        with self._start_agent() as agent:
            taken = self._dumps(dumps, agent, moment)
        if self.is_dry or not taken.files:
            return
        fields: Row = {"source": "", "sha256": "", "kind": SourceKind.DUMP.value, "dumps": taken.fields}
        point = self.scratch.make_point_of_dumps(moment, taken, fields)
        self.made.append(point.id)
        taken.say_point(point.id)

    def _dumps(self, dumps: list[Source], agent: Agent, moment: datetime) -> ImportedDumps:
        """Take dumps over; what they are of may be said by the unpacked site's configuration, else by the live one's."""
        if not dumps:
            return ImportedDumps()
        try:
            logins, _ = find_logins(self.context.installation, self.domain, agent.inspect())
        except MissingDocumentRoot:
            logins = []
        folder_fd = self.scratch.folder_fd
        taken = import_dumps(
            self.context, self.domain, folder_fd, dumps, logins, moment, self.known, is_dry=self.is_dry
        )
        self.rows += taken.rows
        return taken

    def _place_of(self, source: Source) -> Place | None:
        if source.kind is not SourceKind.INCREMENTAL:
            return None
        return self.chains.place_of(source.made.at, source.name, source.meta.base)

    def _refuse_future(self, source: Source) -> None:
        if source.made.at > self.context.installation.clock.now() + AHEAD:
            raise ArchiveRefused(
                f"{source.name} would be of {source.made.at:%Y-%m-%d %H:%M}, which is still to come",
                hint="Rename it after the time at which it was made.",
            )

    def _reader(self) -> Agent:
        """Return an agent that reads archives and was given no folder yet; for a while one serves several."""
        if self._agent is None or time.monotonic() - self._agent_began > AGENT_SECONDS:
            self.close()
            self._agent, self._agent_began = self._start_agent(), time.monotonic()
        return self._agent

    def close(self) -> None:
        """End the agent that reads."""
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    def _start_agent(self) -> Agent:
        purpose = AgentPurpose.RESTORE if self.domain.owner_uid == 0 else AgentPurpose.READ
        return start_agent(self.context.installation, self.domain, purpose)

    def outcome(self) -> Outcome:
        """Return what was done; it is partial where something was refused, and failed where everything was."""
        refused = [row for row in self.rows if row["state"] == "refused"]
        result: dict[str, object] = {
            "domain": self.domain.name,
            "dry_run": self.is_dry,
            "points": self.made,
            "sources": self.rows,
            "note": RELEASE if self.made else "",
            "warnings": [f"{row['source']}: {row['reason']}" for row in refused],
        }
        if refused and len(refused) == len(self.rows):
            return Outcome(
                result, failure=ArchiveRefused("nothing could be imported", hint="The reasons are given by source.")
            )
        return Outcome(result, is_partial=bool(refused))


def _groups(sources: Sequence[Source]) -> list[list[Source]]:
    """Return the sources, oldest first, an archive of the original design together with the dumps of its name's time."""
    groups: dict[object, list[Source]] = {}
    for source in sources:
        is_plain = source.kind is SourceKind.PLAIN
        key = source.path if is_plain else (source.folder, source.named.local_time)
        groups.setdefault(key, []).append(source)
    return sorted(groups.values(), key=_time_of)


def _time_of(group: Sequence[Source]) -> tuple[datetime, str]:
    """Return when a group's archive was made, or its dump where there is none; and its path, for a fixed order."""
    first = next((source for source in group if source.kind is not SourceKind.DUMP), group[0])
    return first.made.at, first.path


def _folder_names(domain: Domain) -> list[bytes]:
    """Return what a domain's folder may be called in an archive."""
    return [os.fsencode(name) for name in (domain.name, domain.display_name, os.path.basename(domain.root)) if name]


def _own_names(every: Sequence[Point]) -> frozenset[str]:
    named = [name for point in every for name in (point.archive, *(dump.archive for dump in point.databases))]
    return frozenset(name for name in named if name)


def _survey_fields(survey: TarSurvey) -> Row:
    return {
        "strip": os.fsdecode(survey.strip),
        "files": survey.file_count,
        "bytes": survey.size_bytes,
        "elsewhere": survey.elsewhere_count,
    }


def _warnings(source: Source, survey: TarSurvey, place: Place | None) -> list[str]:
    """Return what a person has to know of a point that is made of this archive."""
    said = []
    if place is not None:
        said.append(
            f"Made of {place.base.name} and the increments up to {source.name}. Such archives do not say which files were"
            f" deleted: files that were deleted after {place.base.at:%Y-%m-%d %H:%M} are here again."
        )
        if place.lost:
            said.append(
                f"What changed in {', '.join(place.lost[:SHOWN_NAMES])} is missing, as that could not be imported."
            )
    if survey.elsewhere_count:
        folder = survey.strip.decode("utf-8", "backslashreplace")
        said.append(f"{survey.elsewhere_count} files of the archive lie outside of {folder} and are not in this point.")
    if survey.absent.count:
        shown = ", ".join(name.decode("utf-8", "backslashreplace") for name in survey.absent.names[:SHOWN_NAMES])
        said.append(f"{survey.absent.count} files of its list of changed files are not in the archive: {shown}.")
    return said
