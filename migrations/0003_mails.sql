-- expand: mails on their way out.

create table mails (
    id bigint generated always as identity primary key,
    tenant_id text check (tenant_id ~ '^t-[a-z2-7]{16}$'),
    kind text not null check (kind ~ '^[a-z-]{1,40}$'),
    language text not null default 'en' check (language ~ '^[a-z]{2,3}$'),
    recipient text,
    data jsonb,
    observed text not null default 'queued' check (observed in ('queued', 'sent', 'spooled', 'failed')),
    subject text,
    text_body text,
    html_body text,
    queued_at timestamptz not null,
    sent_at timestamptz,
    erase_at timestamptz not null,
    due_at timestamptz,
    claimed_until timestamptz not null default '-infinity',
    claim bigint not null default 0,
    tries integer not null default 0 check (tries >= 0),
    last_error text,
    trace_parent text,
    check (observed <> 'queued' or (recipient is not null and data is not null)),
    check (observed <> 'sent' or (data is null and text_body is null and html_body is null))
);
comment on table mails is 'Mails on their way out. What is in one is erased as soon as it is sent; the row itself goes when it is due.';
comment on column mails.id is 'Counts up; the Message-ID is made of it, so that a mail sent twice is one mail.';
comment on column mails.tenant_id is 'Which percloud it is about, if any; no foreign key, since the news of a deletion outlives the percloud.';
comment on column mails.kind is 'Which template: confirm, set-up-link, suspended, deleted …';
comment on column mails.language is 'The language to write it in.';
comment on column mails.recipient is 'To whom; erased with the rest.';
comment on column mails.data is 'What the template needs, secrets in links included; erased once sent or spooled.';
comment on column mails.observed is 'queued, sent, spooled (no mail server: kept for the operator to read) or failed (needs a person).';
comment on column mails.subject is 'The subject, once spooled.';
comment on column mails.text_body is 'The text, once spooled.';
comment on column mails.html_body is 'The HTML, once spooled.';
comment on column mails.queued_at is 'When it was wanted.';
comment on column mails.sent_at is 'When the mail server took it, or when it was spooled.';
comment on column mails.erase_at is 'When the row goes, whatever became of it.';
comment on column mails.due_at is 'When the reconciler shall look at it next, if only to erase it; none for never.';
comment on column mails.claimed_until is 'Until when a worker has it.';
comment on column mails.claim is 'A fencing number: a late worker cannot write.';
comment on column mails.tries is 'Failures in a row.';
comment on column mails.last_error is 'What went wrong last, for the operator; never an address.';
comment on column mails.trace_parent is 'W3C trace context of the request that wanted it.';
create index mails_due on mails (due_at) where due_at is not null;

create view spooled_mails with (security_barrier) as
select id, kind, language, recipient, subject, text_body, html_body, sent_at
from mails
where observed = 'spooled';
comment on view spooled_mails is 'Mails that nobody sends, since no mail server is configured: for admin and for the development page. Empty where a mail server is.';
comment on column spooled_mails.id is 'As in mails.';
comment on column spooled_mails.kind is 'As in mails.';
comment on column spooled_mails.language is 'As in mails.';
comment on column spooled_mails.recipient is 'As in mails.';
comment on column spooled_mails.subject is 'As in mails.';
comment on column spooled_mails.text_body is 'As in mails.';
comment on column spooled_mails.html_body is 'As in mails.';
comment on column spooled_mails.sent_at is 'As in mails.';

create function mails_wake() returns trigger language plpgsql as $$
begin
    perform pg_notify('mails', '');
    return null;
end $$;
create trigger mails_wake_insert after insert on mails for each statement execute function mails_wake();
create trigger mails_wake_update after update of due_at on mails for each row
    when ((new.due_at < old.due_at) or (old.due_at is null and new.due_at is not null))
    execute function mails_wake();
