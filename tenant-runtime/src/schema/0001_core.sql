-- The one who owns this percloud; no row until the set-up link was used.
create table owner (
    id integer primary key check (id = 1),
    password text not null,          -- PHC string, argon2id
    password_at text not null,
    set_up_at text not null,
    delete_after text                -- deletion was asked for; null: it was not, or it was taken back
) strict;

-- One-time codes for a forgotten password. 80 random bits each, so a plain hash does.
create table recovery_codes (
    sha256 blob primary key,
    used_at text
) strict, without rowid;

create table sessions (
    id text primary key,             -- names it on the owner's pages
    sha256 blob not null unique,     -- of the cookie's value, which is kept nowhere
    device text not null,
    created_at text not null,
    seen_at text not null
) strict, without rowid;

-- Failed sign-ins of the last hour; the visitor's address is kept as a keyed hash only.
create table sign_in_failures (
    at text not null,
    visitor blob not null
) strict;
create index sign_in_failures_at on sign_in_failures (at);

create table settings (
    id integer primary key check (id = 1),
    name text not null,
    about text not null,
    avatar_sha256 blob,
    avatar_crc32 integer,
    avatar_size integer,
    avatar_type text,
    accent text,
    language text,
    theme text not null check (theme in ('auto', 'light', 'dark')),
    show_posts integer not null,
    show_files integer not null,
    show_bookmarks integer not null
) strict;

create table activity (
    id integer primary key,
    at text not null,
    key text not null,               -- a message
    args text not null               -- JSON object: what fills its places
) strict;

create table chores (
    name text primary key,
    done_at text not null
) strict, without rowid;
