-- expand: who mistyped the address may sign up again with the same name.

alter table tenants add column again_sha256 text check (again_sha256 ~ '^[0-9a-f]{64}$');
comment on column tenants.again_sha256 is 'Hex SHA-256 of "again:" and a secret in the cookie of the browser that signed up: while nobody has confirmed, it may give another address.';

-- As the owner of the schema, since the web may not change a set-up link's hash: this is the one case in which it may, and only this.
create function sign_up_again(
    of_domain text, proof_sha256 text, new_account text, new_setup text, new_confirm text, new_language text, new_again text, at timestamptz
) returns text language plpgsql security definer set search_path = public, pg_temp as $$
declare
    found_id text;
    old_account text;
begin
    select id, account_id into found_id, old_account from tenants
    where domain = of_domain and again_sha256 = proof_sha256 and confirmed_at is null and set_up_at is null and wanted = 'running'
    for update;
    if found_id is null then
        return null;
    end if;
    update tenants set
        account_id = new_account, setup_sha256 = new_setup, confirm_sha256 = new_confirm, language = new_language, again_sha256 = new_again,
        created_at = at, due_at = at, tries = 0, wish = wish + 1
    where id = found_id;
    delete from accounts where id = old_account and not exists (select from tenants where account_id = old_account);
    return found_id;
end $$;
revoke execute on function sign_up_again from public;
