-- A bundle that was given to us, and how far it came.
create table imports (
    id text primary key,             -- 128 random bits; part of the address
    file_name text not null,
    sha256 blob check (length(sha256) = 32),  -- the file, as a blob; null: it lies elsewhere (the command line)
    crc32 integer not null default 0,
    size integer not null,
    state text not null check (state in ('checking', 'ready', 'refused', 'importing', 'done', 'failed')),
    summary text check (json_valid(summary)), -- what is in it, once checked
    refusal text check (json_valid(refusal)), -- why it was refused
    secrets text check (json_valid(secrets)), -- opened, until they are where they belong
    take_password integer not null default 0,
    report text check (json_valid(report)),   -- import-report.json
    created_at text not null,
    finished_at text
) strict, without rowid;

-- Sections that are in, each written in the transaction that brought it in.
create table imports_sections (
    import text not null references imports on delete cascade,
    section text not null,
    counts text not null check (json_valid(counts)),
    primary key (import, section)
) strict, without rowid;
