//! Programs that are not ours agree that a bundle is whole.
//!
//! They must be there: a bundle that only we can read is worth nothing. `infra/test` installs them.

use std::{path::Path, process::Command};

use crate::sample::{bytes, layout, unsigned};

/// Runs a program that must succeed; gives what it said.
pub(crate) fn run(program: &str, args: &[&str], folder: &Path) -> String {
    let output = Command::new(program).args(args).current_dir(folder).output();
    let output = output.unwrap_or_else(|e| panic!("{program} is needed for this test (infra/test installs it): {e}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}: {said}");
    said
}

/// The Python that has PyPI's bagit: `BAGIT_PYTHON`, or the one in `PATH`.
pub(crate) fn python() -> String {
    std::env::var("BAGIT_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn seven_zip() -> &'static str {
    let there = |name: &&str| Command::new(name).arg("i").output().is_ok();
    ["7zz", "7z", "7za"].into_iter().find(there).expect("7zz or 7z is needed for this test (infra/test installs it)")
}

#[test]
fn unzip_7z_and_python_find_the_zip_whole() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.zip"), bytes(&layout())).unwrap();
    assert!(run("unzip", &["-t", "a.zip"], folder.path()).contains("No errors detected"));
    assert!(run(seven_zip(), &["t", "a.zip"], folder.path()).contains("Everything is Ok"));
    let script = "import zipfile; z = zipfile.ZipFile('a.zip'); assert z.testzip() is None; print(len(z.namelist()))";
    assert_eq!(run(&python(), &["-c", script], folder.path()).trim(), layout().entries().len().to_string());
}

#[test]
fn bagit_finds_the_unzipped_bag_valid_and_a_changed_one_not() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout();
    std::fs::write(folder.path().join("a.zip"), bytes(&layout)).unwrap();
    run("unzip", &["-q", "a.zip"], folder.path());
    let validate = "import sys\ntry:\n    import bagit\nexcept ImportError:\n    sys.exit('this Python has no bagit: set BAGIT_PYTHON to one that has (infra/test does)')\n\
                    try:\n    bagit.Bag(sys.argv[1]).validate(); print('valid')\nexcept bagit.BagError as e:\n    print('invalid', e)";
    let bag = layout.base();
    assert_eq!(run(&python(), &["-c", validate, bag], folder.path()).trim(), "valid");
    std::fs::write(folder.path().join(bag).join("data/settings/profile.json"), "{\"name\":\"Eve\"}\n").unwrap();
    assert!(run(&python(), &["-c", validate, bag], folder.path()).starts_with("invalid"));
}

#[test]
fn yaml_and_json_are_read_by_others() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.zip"), bytes(&unsigned())).unwrap();
    let script = "import zipfile, json; z = zipfile.ZipFile('a.zip'); b = z.namelist()[0].split('/')[0]\n\
                  p = json.loads(z.read(b + '/percloud.json')); print(p['kind'], len(p['sections']))\n\
                  print(z.read(b + '/manifest.yml').decode().splitlines()[0])";
    let said = run(&python(), &["-c", script], folder.path());
    assert!(said.starts_with("full 5"), "{said}");
}
