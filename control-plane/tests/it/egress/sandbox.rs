//! The way out from inside a real sandbox.

use std::{fs, os::unix::fs::PermissionsExt, process::Child, sync::atomic::Ordering};

use bundle::TenantSpec;
use control_plane::{hosts::Host, privileges::EGRESS};

use super::{HOST, Internet, PRIVATE, answers, connect, opens, start, word};
use crate::{
    machine::{Machine, get},
    postgres::eventually,
};

/// The role beside a host, as another user when that is given.
struct Beside(Child);

impl Beside {
    async fn start(internet: &Internet, machine: &Machine, user: Option<u32>) -> Self {
        let metrics = machine.paths().metrics_socket("egress");
        fs::set_permissions(metrics.parent().unwrap(), PermissionsExt::from_mode(0o1777)).unwrap();
        let program = machine.paths().root().with_file_name("percloud");
        let child = start(internet, &program, machine.paths().root(), user, &[], std::process::Stdio::inherit());
        let door = machine.paths().egress_socket();
        if user == Some(EGRESS) {
            opens(&door).await
        } else {
            answers(&door).await
        }
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_in_its_sandbox_reaches_the_internet_by_its_way_out_only() {
    let Some(internet) = Internet::new() else { return };
    internet.name("public.example.org", &[&[HOST]]);
    internet.name("private.example.org", &[&[PRIVATE]]);
    // A host that is an ordinary user's has the role as the same user.
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        let ((_, ada), (_, bob)) = (machine.place("ada").await, machine.place("bob").await);
        let asks = async |unit: &control_plane::hosts::Unit, rest: &str| {
            get(&unit.socket, &format!("/egress?to={rest}")).await.unwrap()
        };
        let closed = asks(&ada, "public.example.org:80&get=/x").await;
        assert!(closed.contains("cannot ask"), "nobody is there yet: {closed}");
        let role = Beside::start(&internet, &machine, Some(user.unwrap_or(EGRESS))).await;

        let page = asks(&ada, "public.example.org:80&get=/from-inside").await;
        assert!(page.ends_with(&format!("here is {HOST} with /from-inside")), "{page}");
        assert_eq!(word(&asks(&ada, "private.example.org:80").await), "not-public");
        assert_eq!(word(&asks(&ada, "127.0.0.1:80").await), "literal");

        // Bob's token, should Ada ever see it, is worth nothing to her where each has a user of their own.
        let environment = get(&bob.socket, "/env").await.unwrap();
        let token = environment.lines().find_map(|line| line.strip_prefix("PERCLOUD_EGRESS=")).unwrap();
        let answer = asks(&ada, &format!("public.example.org:80&get=/x&token={token}")).await;
        if user.is_none() {
            assert_eq!(word(&answer), "no-token");
            // Nor is anybody heard who is no percloud: root, here.
            let (head, _) = connect(&machine.paths().egress_socket(), token, "public.example.org:80").await;
            assert_eq!(word(&head), "stranger");
        }

        // Killed and started again, it is there again for whoever runs.
        role.kill();
        assert!(asks(&ada, "public.example.org:80&get=/x").await.contains("cannot ask"));
        let _role = Beside::start(&internet, &machine, Some(user.unwrap_or(EGRESS))).await;
        eventually("the way out after kill -9", async || {
            asks(&ada, "public.example.org:80&get=/again").await.ends_with("/again").then_some(())
        })
        .await;
    }
    assert_eq!(internet.trespasses.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_percloud_has_no_way_out_whatever_it_kept_and_has_it_again_when_it_is_resumed() {
    let Some(internet) = Internet::new() else { return };
    internet.name("public.example.org", &[&[HOST]]);
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        let _role = Beside::start(&internet, &machine, Some(user.unwrap_or(EGRESS))).await;
        let ((ada, unit), (_, bob)) = (machine.place("ada").await, machine.place("bob").await);
        let asks = async |unit: &control_plane::hosts::Unit, token: &str| {
            get(&unit.socket, &format!("/egress?to=public.example.org:80&get=/x{token}")).await.unwrap()
        };
        assert!(asks(&unit, "").await.ends_with("/x"));
        let environment = get(&unit.socket, "/env").await.unwrap();
        let token = environment.lines().find_map(|line| line.strip_prefix("PERCLOUD_EGRESS=")).unwrap();

        machine.host.place(&TenantSpec { suspended: Some("unpaid".into()), ..ada.clone() }).await.unwrap();
        let asked = asks(&unit, &format!("&token={token}")).await;
        assert!(asked.contains("cannot ask") && asked.contains("(os error 2)"), "{asked}");
        assert!(!get(&unit.socket, "/env").await.unwrap().contains("PERCLOUD_EGRESS"));
        assert!(asks(&bob, "").await.ends_with("/x"), "its neighbour's is as ever");

        machine.host.place(&ada).await.unwrap();
        assert!(asks(&unit, "").await.ends_with("/x"));
    }
}
