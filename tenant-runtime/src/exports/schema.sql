-- One bundle that the owner asked for. It is made while it is downloaded; what must stay the same from one request to the
-- next (so that a download that broke off goes on) is kept here.
create table exports (
    id text primary key,             -- 128 random bits; part of the address
    bundle text not null,            -- the bundle's UUID
    created_at text not null,
    etag text,                       -- of the last layout
    size integer,
    signed blob,                     -- SHA-256 of the tag manifest that was signed last …
    signature text,                  -- … and its signature
    downloaded_at text               -- when the last byte was first handed out
) strict, without rowid;

-- Secrets of an export, sealed for the owner's passphrase (which is kept nowhere).
create table exports_secrets (
    export text not null references exports on delete cascade,
    path text not null,
    content blob not null,
    primary key (export, path)
) strict, without rowid;

-- The key that signs this percloud's bundles.
create table exports_key (
    id integer primary key check (id = 1),
    secret text not null
) strict;

-- Sections of imported bundles that this version does not know: exported again, byte for byte.
create table kept_sections (
    id text primary key,
    description text not null check (json_valid(description))
) strict, without rowid;

create table kept_files (
    path text primary key,           -- from the bundle's base
    sha256 blob not null check (length(sha256) = 32),
    crc32 integer not null,
    size integer not null
) strict, without rowid;

-- Unknown members of an imported percloud.json, and where this percloud has been before (lines of provenance.jsonl).
create table kept_lines (
    id integer primary key,
    kind text not null check (kind in ('members', 'provenance')),
    line text not null check (json_valid(line))
) strict;
