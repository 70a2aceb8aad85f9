-- A bookmark. `url` is as the owner gave it, `url_key` what tells duplicates, `haystack` what search looks at.
create table bookmarks (
    id text primary key,
    revision integer not null,
    url text not null,
    url_key text not null,
    title text not null,
    note text not null,
    visibility text not null check (visibility in ('public', 'private')),
    haystack text not null,
    created_at text not null,
    updated_at text not null,
    deleted_at text
) strict;
create unique index bookmarks_by_key on bookmarks (url_key) where deleted_at is null;
create index bookmarks_by_time on bookmarks (created_at desc, id);

create table bookmark_tags (
    bookmark_id text not null references bookmarks (id) on delete cascade,
    slug text not null,
    label text not null,
    place integer not null,
    primary key (bookmark_id, slug)
) strict, without rowid;
create index bookmark_tags_by_slug on bookmark_tags (slug);
