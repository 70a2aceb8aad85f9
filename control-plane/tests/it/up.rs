//! What `percloud up` says to its roles.

use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_percloud");

#[test]
fn a_role_starts_below_the_first_process_of_a_container_and_not_once_who_started_it_is_gone() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    // The shell is process 1, as `percloud up` is in a container.
    let script = format!("{PROGRAM} --supervised=$$ down --data {data}; echo $?");
    let mut container = Command::new("unshare");
    container.args(["--user", "--map-root-user", "--pid", "--fork", "sh", "-c", &script]);
    let seen = container.output().unwrap();
    let (said, trouble) = (String::from_utf8_lossy(&seen.stdout), String::from_utf8_lossy(&seen.stderr));
    assert!(said.contains("Nothing runs on") && said.ends_with("\n0\n"), "{said}{trouble}");
    let other = std::os::unix::process::parent_id();
    let orphan =
        Command::new(PROGRAM).args([&format!("--supervised={other}"), "down", "--data", data]).output().unwrap();
    let trouble = String::from_utf8_lossy(&orphan.stderr);
    assert!(!orphan.status.success() && trouble.contains("percloud up is gone"), "{trouble}");
}
