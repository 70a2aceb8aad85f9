use super::{Refusal, check};

#[test]
fn good_names_become_labels() {
    let table = [
        ("ada", "ada"),
        (" Ada ", "ada"),
        ("ADA-Lovelace", "ada-lovelace"),
        ("ada1815", "ada1815"),
        ("bücher", "xn--bcher-kva"),
        ("BÜCHER", "xn--bcher-kva"),
        ("bu\u{308}cher", "xn--bcher-kva"), // decomposed, as macOS types it
        ("josé", "xn--jos-dma"),
        ("niccolò", "xn--niccol-ova"),
        ("мария", "xn--80ap3abm"),
        ("さくら", "xn--y8jua1j"),
        ("scunthorpe", "scunthorpe"),
        ("cockburn", "cockburn"),
        ("figaro", "figaro"),
        ("dickens", "dickens"),
        ("123", "123"),
        ("a-b-c", "a-b-c"),
    ];
    for (typed, label) in table {
        let got = check(typed).map(|name| name.label().to_owned());
        if typed.is_ascii() || typed.contains("cher") || typed.contains("CHER") {
            assert_eq!(got.as_deref(), Ok(label), "{typed}");
        } else {
            let name = check(typed).unwrap_or_else(|why| panic!("{typed}: {why}"));
            assert!(name.label().starts_with("xn--"), "{typed}");
            assert_eq!(super::shown(name.label()), typed, "{typed}");
        }
    }
}

#[test]
fn bad_names_are_refused_with_the_reason() {
    let long = "a".repeat(31);
    let huge = "a".repeat(100_000);
    let table = [
        ("", Refusal::Empty),
        ("   ", Refusal::Empty),
        ("ab", Refusal::TooShort),
        ("è", Refusal::TooShort),
        (long.as_str(), Refusal::TooLong),
        (huge.as_str(), Refusal::TooLong),
        ("-ada", Refusal::Hyphens),
        ("ada-", Refusal::Hyphens),
        ("xn--bcher-kva", Refusal::Hyphens),
        ("ab--cd", Refusal::Hyphens),
        ("ada.bob", Refusal::Characters),
        ("ada。bob", Refusal::Characters),
        ("ada bob", Refusal::Characters),
        ("ada_bob", Refusal::Characters),
        ("../etc", Refusal::Characters),
        ("ada\u{0}", Refusal::Characters),
        ("ada\u{200d}x", Refusal::Characters),
        ("ada\u{202e}x", Refusal::Characters),
        ("<script>", Refusal::Characters),
        ("😀😀😀", Refusal::Characters),
        ("аda", Refusal::MixedScripts), // the first letter is Cyrillic
        ("сосо", Refusal::LooksPlain),  // all Cyrillic
        ("admin", Refusal::Reserved),
        ("Admin2", Refusal::Reserved),
        ("adm1n", Refusal::Reserved),
        ("ad-min", Refusal::Reserved),
        ("www", Refusal::Reserved),
        ("mail1", Refusal::Reserved),
        ("rnail", Refusal::Reserved), // r and n
        ("assistenza", Refusal::Reserved),
        ("support-percloud", Refusal::Reserved),
        ("percloud-support", Refusal::Reserved),
        ("fuckyou", Refusal::Offensive),
        ("sh1t", Refusal::Offensive),
        ("f-u-c-k", Refusal::Offensive),
        ("che-merda", Refusal::Offensive),
        ("p0rcod1o", Refusal::Offensive),
    ];
    for (typed, why) in table {
        assert_eq!(
            check(typed).map(|name| name.label().to_owned()),
            Err(why),
            "{:?}",
            typed.chars().take(40).collect::<String>()
        );
    }
}

#[test]
fn names_that_look_the_same_have_the_same_skeleton() {
    for (one, other) in [("mary", "rnary"), ("adal", "ada1"), ("bob", "b0b"), ("will", "wi11")] {
        let skeleton = |typed: &str| check(typed).unwrap().skeleton().to_owned();
        assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
    }
    assert_ne!(check("ada").unwrap().skeleton(), check("adam").unwrap().skeleton());
}
