-- expand: what an owner can mend of a certificate that does not come, as it is told in a mail; a limit at the CA is no longer the owner's.

alter table certificates add column mend jsonb check (jsonb_typeof(mend) = 'object');
comment on column certificates.mend is 'What its owner can mend, where trouble is owner: where the name leads, with the words of its CA, or which CAA records stand against it and whom to let in. None in rows that an older release wrote.';
comment on column certificates.trouble is 'Who can mend what kept it from being issued last: owner (the name does not validate, or its domain forbids our CA) or operator (anything else, a limit at its CA and a budget that is used up too); none while nothing has.';
