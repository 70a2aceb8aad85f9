-- Uploads on their way in, and for a while those that arrived, so that a lost answer can be asked for again.
create table uploads (
    id text primary key,
    purpose text not null,
    metadata text not null check (json_valid(metadata)),
    length integer not null check (length >= 0),
    received integer not null default 0 check (received between 0 and length), -- durable bytes of the partial file
    sha256_state blob,          -- the running hash after `received` bytes
    crc32 integer not null default 0,
    sha256 blob check (length(sha256) = 32), -- once whole
    result text,                -- the address of what it became, once it did
    created_at text not null,
    expires_at text not null
) strict;
create index uploads_expires on uploads (expires_at);
