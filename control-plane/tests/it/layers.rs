//! The table of layers: what the operator sees of the sandbox, with a host that runs and with one that refuses to start.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::machine::Machine;

/// Where the machine's copy of our program is.
fn program(machine: &Machine) -> PathBuf {
    machine.paths().root().with_file_name("percloud")
}

fn doctor(machine: &Machine, more: &[&str]) -> String {
    let mut doctor = Command::new(program(machine));
    doctor.arg("doctor").arg("--data").arg(machine.paths().root()).args(more);
    String::from_utf8(doctor.output().unwrap().stdout).unwrap()
}

fn table(machine: &Machine) -> (Value, Value) {
    let report: Value = serde_json::from_str(&doctor(machine, &["--json"])).unwrap();
    (report["sandbox"].clone(), report["findings"].clone())
}

fn row<'a>(sandbox: &'a Value, name: &str) -> &'a Value {
    let rows = sandbox["layers"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}: {sandbox:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_has_a_table_of_layers_with_their_versions() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        let (sandbox, _) = table(&machine);
        assert_eq!(sandbox["found_at"], Value::Null, "the host says so itself");
        assert!(row(&sandbox, "landlock")["version"].as_str().unwrap().starts_with("ABI "), "{sandbox:#}");
        let groups = row(&sandbox, "control-groups");
        if machine.groups().is_empty() {
            assert!(groups["missing"].is_string() && groups["allowed"] == true);
        } else {
            let version = groups["version"].as_str().unwrap();
            assert!(["memory", "cpu", "pids"].iter().all(|one| version.contains(one)), "{version}");
        }
        let words = doctor(&machine, &[]);
        println!("{words}");
        let (_, told) = words.split_once("The layers of the sandbox").unwrap();
        assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
        assert!(told.contains("seccomp            ✓ has"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_refuses_to_start_for_a_layer_leaves_a_table_behind() {
    if !rustix::process::geteuid().is_root() {
        return println!("not tried: only root can take a right away from a host that is root");
    }
    let mut machine = Machine::start(None, 300).await;
    machine.stop_host().await;
    let (before, _) = table(&machine);
    assert_eq!(row(&before, "mount-namespace")["missing"], Value::Null);

    let mut host = Command::new(program(&machine));
    host.arg("host").arg("--data").arg(machine.paths().root());
    host.arg("--runtime").arg(machine.paths().root().with_file_name("runtime"));
    // SAFETY: one system call, between the fork and the start of the program.
    unsafe {
        host.pre_exec(|| {
            let mounts = rustix::thread::CapabilitySet::SYS_ADMIN;
            Ok(rustix::thread::remove_capability_from_bounding_set(mounts)?)
        });
    }
    let refused = host.output().unwrap();
    assert!(!refused.status.success());

    let (sandbox, findings) = table(&machine);
    assert!(sandbox["found_at"].as_str().unwrap() > before["found_at"].as_str().unwrap());
    let lacks = row(&sandbox, "mount-namespace");
    assert!(lacks["missing"].is_string() && lacks["allowed"] == false, "{lacks:#}");
    let told = findings.as_array().unwrap().iter().find(|one| one["about"] == "sandbox: mount-namespace").unwrap();
    assert_eq!(told["state"], "wrong");
    assert!(told["do"].as_str().unwrap().contains("--allow-missing mount-namespace"), "{told:#}");
    assert!(doctor(&machine, &[]).contains("✗ has not"));
    println!("{}", doctor(&machine, &[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_not_told_what_it_may_lack_refuses_and_says_what_would_allow_it() {
    let user = *Machine::kinds().last().unwrap();
    let mut machine = Machine::start(user, 300).await;
    machine.stop_host().await;
    let mut host = machine.command(Path::new("timeout"));
    host.arg("20").arg(program(&machine)).arg("host").arg("--data").arg(machine.paths().root());
    host.arg("--runtime").arg(machine.paths().root().with_file_name("runtime"));
    let refused = host.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stdout) + String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("to run them all the same, add --allow-missing own-user"),
        "{said}"
    );
}
