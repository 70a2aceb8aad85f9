-- expand: whose it is to mend what keeps a certificate from being issued, and of what its owner was told.

alter table certificates
    add column trouble text check (trouble in ('owner', 'operator')),
    add column told_of text check (told_of in ('owner', 'operator'));
comment on column certificates.trouble is 'Who can mend what kept it from being issued last: owner (the name does not validate, or its domain forbids our CA) or operator (anything else, a budget that is used up too); none while nothing has.';
comment on column certificates.told_of is 'Of whose trouble its owner was told at told_at; none in rows that an older release wrote: of the owner''s.';

-- A renewal is news for a domain, too: one that waits at its old name goes on at once, and one that serves knows how long it may.
drop trigger certificates_awaited on certificates;
create trigger certificates_awaited after update on certificates for each row
    when (new.observed = 'issued' and cardinality(new.names) = 1
        and (old.observed <> 'issued' or new.not_after is distinct from old.not_after))
    execute function certificates_awaited();
