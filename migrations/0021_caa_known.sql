-- expand: how those who issue certificates are met in CAA records, as their directories say, for those who tell owners what is in the way.

alter table issuers
    add column caa_names text[] not null default '{}',
    add column caa_accounts text[] not null default '{}',
    add column caa_methods text[] not null default '{}';
comment on column issuers.caa_names is 'The domains by which those who issue for own domains know themselves in CAA records; none while that is not known of each of them.';
comment on column issuers.caa_accounts is 'Our accounts there, as CAA records name them (RFC 8657); none before there are any.';
comment on column issuers.caa_methods is 'The ways in which own domains are proved to them, as CAA records name them.';
