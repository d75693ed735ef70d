"""The command line shows what a choice would do before it holds, as the pages do."""

from __future__ import annotations

from tests.support.installation import make_installation

DOMAIN = "shop.example.test"


def test_a_dry_run_of_a_choice_says_its_effect_and_changes_nothing() -> None:
    with make_installation() as installation:
        site = installation.add_site(DOMAIN, {"index.html": "<h1>1</h1>", "films/one.mp4": "v" * 3_000})
        first = installation.smartbackup("backup", DOMAIN, "--type", "full")["point"]
        site.write("index.html", "<h1>2</h1>")
        installation.smartbackup("backup", DOMAIN, "--type", "full")
        rules = [f"--set={name}=0" for name in ("last", "days", "daily", "weekly", "monthly")]
        told = installation.smartbackup("retention", DOMAIN, "--dry-run", *rules, "--set=floor=1")
        assert [row["point"] for row in told["points"] if not row["stays"]] == [first]
        left_out = installation.smartbackup("exclusions", DOMAIN, "--dry-run", "--pattern", "/films/")
        assert left_out["would_leave_out"] == {
            "paths": 1,
            "files": 1,
            "bytes": 3_000,
            "coming_back": 0,
            "is_complete": True,
        }
        refused = installation.smartbackup("exclusions", DOMAIN, "--dry-run", "--pattern", "../up", exit_code=2)
        assert "leads out of the domain's folder" in refused["error"]["message"]
        schedule = installation.smartbackup("schedule", "set", DOMAIN, "30 2 * * 1-5", "--dry-run")
        assert schedule["in_words"] == "Monday to Friday at 02:30"
        rows = installation.smartbackup("databases", DOMAIN, "--dry-run", "--without-rows", "wp_log*")
        assert (rows["would_keep_no_rows"], rows["unmatched"]) == ([], ["wp_log*"])

        assert installation.smartbackup("exclusions", DOMAIN)["own"] == {}
        assert installation.smartbackup("schedule", "show", DOMAIN)["pinned"] is False
        assert installation.smartbackup("retention", DOMAIN, "--dry-run")["own"] == []
