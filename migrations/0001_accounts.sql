-- expand: accounts, who asked for perclouds at this provider.

create table accounts (
    id text primary key check (id ~ '^a-[a-z2-7]{16}$'),
    email text not null check (octet_length(email) between 3 and 254 and position('@' in email) > 1 and email !~ '\s'),
    email_key text not null generated always as (lower(email)) stored unique,
    email_confirmed_at timestamptz,
    language text not null default 'en' check (language ~ '^[a-z]{2,3}$'),
    created_at timestamptz not null
);
comment on table accounts is 'A contract at this provider: an e-mail address that may hold several perclouds. Goes when its last percloud has gone.';
comment on column accounts.id is 'Random: "a-" and 80 bits in base 32.';
comment on column accounts.email is 'The address as it was typed.';
comment on column accounts.email_key is 'The address as it is compared.';
comment on column accounts.email_confirmed_at is 'When a link mailed to the address was first used.';
comment on column accounts.language is 'The language of mails to this person (BCP 47 primary tag).';
comment on column accounts.created_at is 'When the first percloud was asked for.';
