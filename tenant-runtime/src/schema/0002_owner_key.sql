-- The key with which this percloud vouches for its owner at the provider's portal; it stays here, whatever leaves.
create table owner_key (
    id integer primary key check (id = 1),
    pkcs8 blob not null,             -- Ed25519
    made_at text not null
) strict;
