-- A post, from the first saved draft on. `revision` counts changes and decides which of two copies is newer.
create table posts (
    id text primary key,
    revision integer not null,
    title text not null,
    body text not null,
    status text not null check (status in ('draft', 'published')),
    visibility text not null check (visibility in ('public', 'unlisted', 'private')),
    year integer,
    slug text,
    created_at text not null,
    updated_at text not null,
    published_at text,
    deleted_at text,
    check (status = 'draft' or (year is not null and slug is not null and published_at is not null)),
    check ((year is null) = (slug is null))
) strict;
create index posts_shown on posts (published_at desc) where status = 'published' and deleted_at is null;
create index posts_changed on posts (updated_at desc);

-- Every address that a post ever had; the present one is in posts. No post: it was deleted for good (410).
create table post_addresses (
    year integer not null,
    slug text not null,
    post_id text references posts (id),
    primary key (year, slug)
) strict, without rowid;
create index post_addresses_by_post on post_addresses (post_id);

-- Changes to a published post that are not published yet.
create table post_drafts (
    post_id text primary key references posts (id) on delete cascade,
    title text not null,
    body text not null,
    tags text not null,
    visibility text not null check (visibility in ('public', 'unlisted', 'private')),
    saved_at text not null
) strict;

create table post_tags (
    post_id text not null references posts (id) on delete cascade,
    slug text not null,
    label text not null,
    place integer not null,
    primary key (post_id, slug)
) strict, without rowid;
create index post_tags_by_slug on post_tags (slug);

-- Pictures, each once.
create table post_images (
    sha256 blob primary key,
    crc32 integer not null,
    size integer not null,
    extension text not null check (extension in ('png', 'jpg', 'webp', 'gif', 'avif')),
    width integer,
    height integer,
    added_at text not null
) strict, without rowid;

-- Which text names which picture. `shown`: the published text does, not only a draft.
create table post_uses (
    post_id text not null references posts (id) on delete cascade,
    sha256 blob not null,
    shown integer not null,
    primary key (post_id, sha256)
) strict, without rowid;
create index post_uses_by_image on post_uses (sha256);
