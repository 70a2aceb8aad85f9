//! Which names are one claim's own.

use super::*;

#[test]
fn below_a_bought_name_the_same_with_www_is_another_claims() {
    let own = |row: DomainRow, own: &str| DomainRow { own_domain: Some(own.into()), ..row };
    let me = || DomainRow { name: "me.ada.test".into(), twin: None, base: "me.ada.test".into(), ..row() };
    for (row, in_use) in [
        (own(row(), "ada.test"), true),
        (own(row(), "www.ada.test"), true),
        (own(me(), "me.ada.test"), true),
        (own(me(), "www.me.ada.test"), false),
        (own(row(), "me.ada.test"), false),
        (me(), false),
    ] {
        assert_eq!(row.in_use().is_some(), in_use, "{} while at {:?}", row.name, row.own_domain);
    }
}
