"""A PostgreSQL dump is cut the same way wherever the chunks of its stream end."""

from __future__ import annotations

import pytest

from smartbackup_panel.adapters.databases.postgres_text import PostgresReader, Rows, Statement
from smartbackup_panel.core.errors import DumpFailed

DUMP = rb"""--
-- PostgreSQL database dump
--

\restrict abcDEF123

SET statement_timeout = 0;
-- Name: posts; Type: TABLE; Schema: public; Owner: -
CREATE TABLE "public"."posts" (
    "id" integer, -- 1 - 2; not the end
    "title" "text" DEFAULT E'it\'s; - done\\'::"text",
    "note" "text" DEFAULT 'a;b''c'::"text"
);

CREATE FUNCTION "public"."touch"() RETURNS "trigger" LANGUAGE "plpgsql" AS $_f1$
begin new.id := 1 - -1; perform 'x'; perform $$ ; $$; return new; end;
$_f1$;

CREATE FUNCTION "public"."price"("a$b" integer) RETURNS integer LANGUAGE "sql" AS $$ SELECT 1; SELECT 2; $$;

-- Data for Name: posts; Type: TABLE DATA; Schema: public; Owner: -
COPY "public"."posts" ("id", "title", "note") FROM stdin;
1	one; two	\N
2	\\.	x
\.

SELECT pg_catalog.setval('"public"."posts_id_seq"', 2, true);
\unrestrict abcDEF123
--
-- PostgreSQL database dump complete
--
"""


def cut(*chunks: bytes) -> tuple[list[bytes], bytes, bytes]:
    """Return the statements, the rows together, and the tail."""
    reader = PostgresReader(chunks, DumpFailed)
    parts = list(reader)
    rows = b"".join(part.raw for part in parts if isinstance(part, Rows))
    assert b"".join(part.raw for part in parts) + reader.tail == b"".join(chunks)
    return [part.text for part in parts if isinstance(part, Statement)], rows, reader.tail


def test_statements_and_rows_are_told_apart() -> None:
    statements, rows, tail = cut(DUMP)
    assert [text.split(b"(")[0].split(b" AS")[0].split()[:3] for text in statements] == [
        [b"SET", b"statement_timeout", b"="],
        [b"CREATE", b"TABLE", b'"public"."posts"'],
        [b"CREATE", b"FUNCTION", b'"public"."touch"'],
        [b"CREATE", b"FUNCTION", b'"public"."price"'],
        [b"COPY", b'"public"."posts"'],
        [b"SELECT", b"pg_catalog.setval"],
    ]
    assert rows == b"\n1\tone; two\t\\N\n2\t\\\\.\tx\n\\.\n"
    assert b"dump complete" in tail


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_small_chunks_change_nothing(size: int) -> None:
    assert cut(*(DUMP[at : at + size] for at in range(0, len(DUMP), size))) == cut(DUMP)


def test_no_place_where_a_chunk_ends_changes_anything() -> None:
    whole = cut(DUMP)
    for at in range(1, len(DUMP)):
        assert cut(DUMP[:at], DUMP[at:]) == whole, DUMP[max(0, at - 20) : at]
        half = DUMP.index(b"COPY")
        if at > half:
            assert cut(DUMP[:half], DUMP[half:at], DUMP[at:]) == whole, at
