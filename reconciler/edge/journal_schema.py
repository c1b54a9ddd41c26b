"""Tables of the journal, as numbered migrations: a journal of any earlier version still opens."""

from __future__ import annotations

APPLICATION_ID = 0x52434E4A  # "RCNJ": tells our files from any other SQLite database

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE owner (state TEXT NOT NULL) STRICT;
    CREATE TABLE facts (
        key TEXT NOT NULL PRIMARY KEY,
        value TEXT NOT NULL CHECK (json_valid(value)),
        at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE obligations (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        declared TEXT NOT NULL CHECK (json_valid(declared)),
        baseline TEXT NOT NULL CHECK (json_valid(baseline)),
        requires TEXT NOT NULL CHECK (json_valid(requires)),
        weakens TEXT NOT NULL,
        seen_at TEXT NOT NULL,
        changed_at TEXT,
        closed_at TEXT
    ) STRICT;
    CREATE UNIQUE INDEX one_open_obligation ON obligations (key) WHERE closed_at IS NULL;
    CREATE TABLE history (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        event TEXT NOT NULL,
        detail TEXT NOT NULL CHECK (json_valid(detail))
    ) STRICT;
    """,
    """
    ALTER TABLE owner ADD COLUMN epoch INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE obligations ADD COLUMN wanted_until TEXT;
    ALTER TABLE obligations ADD COLUMN forecast_s REAL;
    """,
    """
    CREATE TABLE drifts (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        fields TEXT NOT NULL CHECK (json_valid(fields)),
        comes_from TEXT NOT NULL,
        first_seen TEXT NOT NULL,
        last_seen TEXT NOT NULL,
        closed_at TEXT,
        repaired_by TEXT NOT NULL,
        since TEXT,
        changed_on TEXT NOT NULL,
        found TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX one_open_drift ON drifts (key, fields) WHERE closed_at IS NULL;
    """,
    """
    CREATE INDEX steps_of ON history (json_extract(detail, '$.key'), id) WHERE event = 'step';
    CREATE INDEX steps_since ON history (at) WHERE event = 'step';
    """,
)
"""Never edit an entry that was released; append another."""

VERSION = len(MIGRATIONS)
VERSION_TABLE = (
    "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY, at TEXT NOT NULL) STRICT"
)
