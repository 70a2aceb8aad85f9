-- expand: an operator may have a percloud that does not start tried at once.

alter table tenants add column retry boolean not null default false;
comment on column tenants.retry is 'Its host shall try it at once, should it fail. Written with a wish; the reconciler takes it back once its host was told, or it does not fail.';
