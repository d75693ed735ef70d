"""A dump is cut where a server would cut it, wherever its bytes arrive in pieces."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from smartbackup_panel.adapters.databases.create_table import read_create_table
from smartbackup_panel.adapters.databases.grammar import DumpGrammar, Insert, count_rows
from smartbackup_panel.adapters.databases.programs import Kind, Program, dump_program
from smartbackup_panel.adapters.databases.statements import StatementReader
from smartbackup_panel.core.errors import LoadFailed

DUMP = (
    b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n--\n/*!40101 SET NAMES utf8mb4 */;\n\n--\n"
    b"-- Table structure for table `a;\n-- b`\n--\n\nDROP TABLE IF EXISTS `a;\nb`;\n"
    b"CREATE TABLE `a;\nb` (\n  `x;` text DEFAULT ';\\';' COMMENT 'y''z;'\n) ENGINE=InnoDB;\n"
    b"INSERT INTO `a;\nb` VALUES\n(';'),\n('\\'); --'),\n('/* \\\\');\n"
    b"DELIMITER ;;\nCREATE DEFINER=`u`@`h` PROCEDURE `p`()\nBEGIN SELECT ';'; -- ;;\nEND\n;;\nDELIMITER ;\n-- Dump completed\n"
)
STATEMENTS = [
    b"/*!40101 SET NAMES utf8mb4 */",
    b"DROP TABLE IF EXISTS `a;\nb`",
    b"CREATE TABLE `a;\nb` (\n  `x;` text DEFAULT ';\\';' COMMENT 'y''z;'\n) ENGINE=InnoDB",
    b"INSERT INTO `a;\nb` VALUES\n(';'),\n('\\'); --'),\n('/* \\\\')",
    b"DELIMITER ;;\n",
    b"CREATE DEFINER=`u`@`h` PROCEDURE `p`()\nBEGIN SELECT ';'; -- ;;\nEND",
    b"DELIMITER ;\n",
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_statements_are_the_same_in_pieces_of_any_size(size: int) -> None:
    reader = StatementReader((DUMP[at : at + size] for at in range(0, len(DUMP), size)), LoadFailed, 1_000_000)
    statements = list(reader)
    assert [statement.text for statement in statements] == STATEMENTS
    assert b"".join(statement.raw for statement in statements) + reader.tail == DUMP
    assert reader.tail == b"-- Dump completed\n"


def test_a_text_without_an_end_is_refused_within_bounded_memory() -> None:
    taken = 0

    def endless(start: bytes) -> Iterator[bytes]:
        nonlocal taken
        yield start
        while True:
            taken += 262_144
            yield b"x" * 262_144

    for start in (
        b"INSERT INTO `a` VALUES\n('",
        b"CREATE TABLE `",
        b"DELIMITER ;;\nCREATE ",
        b"/*",
        b"-- ",
        b"INSERT INTO ",
    ):
        taken = 0
        with pytest.raises(LoadFailed):
            list(StatementReader(endless(start), LoadFailed, 16_777_216))
        assert taken <= 67_108_864


def test_hostile_nesting_is_refused_in_linear_time() -> None:
    begin = time.process_time()
    for text in (
        b"(" * 4_000_000,
        b"/*" * 2_000_000,
        b"''" * 2_000_000,
        b"CREATE SEQUENCE `s`" + b" a" * 1_000_000 + b"!",
        b"\\" * 4_000_000,
    ):
        with pytest.raises(LoadFailed):
            for statement in StatementReader([text + b";\n"], LoadFailed, 1):
                DumpGrammar("db").read(statement.text)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    ("insert", "rows"),
    [
        (b"INSERT INTO `t` VALUES\n(1),\n(2),\n(3)", 3),
        (b"INSERT INTO `t` VALUES (1,'),('),(2,'\\'),(')", 2),
        (b"INSERT INTO `a\n(b` (`x\n(`, `y`) VALUES\n('a\\n(b',NULL),\n(-1.5e-3,0xFF)", 2),
        (b"INSERT INTO `t` VALUES (_binary 'a''b',1),(NULL,2),('',3)", 3),
    ],
)
def test_rows_are_counted_and_read(insert: bytes, rows: int) -> None:
    assert count_rows(insert) == rows
    assert isinstance(DumpGrammar("db").read(insert), Insert)


def test_a_table_comes_out_under_another_name_without_its_foreign_keys() -> None:
    text = (
        b"CREATE TABLE `c` (\n  `id` int(11) NOT NULL COMMENT 'a, b) REFERENCES `x`',\n  `p` int(11) DEFAULT NULL,\n"
        b"  PRIMARY KEY (`id`),\n  CONSTRAINT `fk` FOREIGN KEY (`p`) REFERENCES `p``1` (`id`) ON DELETE CASCADE,\n"
        b"  CONSTRAINT `ok` CHECK (`id` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COMMENT='SELECT'\n"
        b" PARTITION BY RANGE (`id`)\n(PARTITION `p0` VALUES LESS THAN (10) ENGINE = InnoDB)"
    )
    table = read_create_table(text, "db")
    assert table.foreign_keys == (("fk", "(`p`)", "p`1", "(`id`) ON DELETE CASCADE"),)
    assert table.sql("`new`") == text.replace(b"`c`", b"`new`", 1).replace(
        b"  CONSTRAINT `fk` FOREIGN KEY (`p`) REFERENCES `p``1` (`id`) ON DELETE CASCADE,\n", b""
    )


def test_a_program_goes_through_its_own_text_unchanged() -> None:
    body = "CREATE DEFINER=`u`@`h` TRIGGER `a``b` BEFORE INSERT ON `t` FOR EACH ROW BEGIN SET @a = ';;'; -- $$ //\nEND"
    program = Program(Kind.TRIGGER, "a`b", body, "t", "STRICT_ALL_TABLES,ANSI", "latin1_swedish_ci", "SYSTEM")
    grammar = DumpGrammar("db")
    read = [grammar.read(statement.text) for statement in StatementReader([dump_program(program)], LoadFailed, 1)]
    assert [action for action in read if action is not None] == [program]


def test_a_definition_may_name_a_sequence_of_its_own_database_and_of_no_other() -> None:
    text = b"CREATE TABLE `t` (\n  `a` int(11) DEFAULT nextval(`alice`.`numbers`)\n) ENGINE=InnoDB"
    read = read_create_table(text, "alice")
    assert read.sql("`t`") == b"CREATE TABLE `t` (\n  `a` int(11)\n) ENGINE=InnoDB"
    assert read.sequence_defaults == (("t", "a", "numbers"),)
    with pytest.raises(LoadFailed, match="a name of another database"):
        read_create_table(text, "bob")


def test_a_foreign_key_whose_names_are_no_utf_8_is_refused() -> None:
    text = b"CREATE TABLE `a` (\n  `x` int(11),\n  CONSTRAINT `k` FOREIGN KEY (`x\xff`) REFERENCES `b` (`id`)\n) ENGINE=InnoDB"
    with pytest.raises(LoadFailed, match="no UTF-8"):
        read_create_table(text, "alice")
