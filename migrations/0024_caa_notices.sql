-- move: what was said of CAA records did not say at which name they stand, nor who may be added; the next look says it anew, in full.

update domains
set report = jsonb_set(report, '{notices}', (
    select coalesce(jsonb_agg(notice), '[]')
    from jsonb_array_elements(report -> 'notices') as notice
    where notice ->> 'key' not in ('domain.notice.caa', 'domain.notice.caa-otherwise')))
where jsonb_typeof(report -> 'notices') = 'array'
    and report -> 'notices' @? '$[*] ? (@.key starts with "domain.notice.caa")';
