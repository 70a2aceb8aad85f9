-- Files and folders: one tree below the row 'top'. A thing in the trash keeps its place in the tree, marked with what it was
-- thrown away with, so that it comes back whole.
create table files_nodes (
    id text primary key,
    parent text references files_nodes (id) on delete cascade,
    kind text not null check (kind in ('folder', 'file')),
    name text not null,          -- NFC, as the owner wrote it
    folded text not null,        -- the name without case: unique in its folder
    plain text not null,         -- the name without case and accents: for searching
    sort_key text not null,      -- the same with numbers as numbers: for sorting
    mime text not null default '',
    sha256 blob check (length(sha256) = 32),
    crc32 integer,
    size integer not null default 0,
    modified_at text not null,   -- of the content, as the owner's device knew it
    created_at text not null,
    public_at text,              -- since when anybody may see it
    trash text,                  -- the id of what was thrown away, on it and on everything inside
    trashed_at text,             -- on the thrown-away thing itself
    revision integer not null default 1,
    check ((kind = 'file') = (sha256 is not null)),
    check ((kind = 'file') = (crc32 is not null)),
    check ((parent is null) = (id = 'top'))
) strict;
create unique index files_nodes_name on files_nodes (parent, folded) where trash is null;
create index files_nodes_sorted on files_nodes (parent, kind desc, sort_key, id);
create index files_nodes_trash on files_nodes (trash) where trash is not null;
create index files_nodes_public on files_nodes (public_at) where public_at is not null;
create index files_nodes_blob on files_nodes (sha256) where sha256 is not null;
insert into files_nodes (id, kind, name, folded, plain, sort_key, modified_at, created_at)
values ('top', 'folder', '', '', '', '', '1970-01-01 00:00:00+00:00', '1970-01-01 00:00:00+00:00');

-- Links that open one file or folder for whoever has them.
create table files_shares (
    id text primary key,
    node text not null references files_nodes (id) on delete cascade,
    token text not null,                 -- the owner may copy the link again
    token_sha256 blob not null unique,   -- looked up by this
    password text,                       -- PHC string (argon2id)
    expires_at text,
    created_at text not null,
    opened integer not null default 0,
    opened_at text,
    failures integer not null default 0, -- wrong passwords since the last right one
    failed_at text
) strict;
create index files_shares_node on files_shares (node);

-- Visitors who gave a link's password.
create table files_passes (
    sha256 blob primary key,
    share text not null references files_shares (id) on delete cascade,
    expires_at text not null
) strict;

-- What Undo would put back, for a day.
create table files_undo (
    id text primary key,
    created_at text not null,
    steps text not null check (json_valid(steps))
) strict;
