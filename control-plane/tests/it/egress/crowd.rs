//! Many perclouds at the door at once, each with a user of its own.

use std::{
    io::Write,
    os::unix::{fs::PermissionsExt, net::UnixStream as Door},
    path::Path,
    process::{Child, Stdio},
};

use bundle::TenantId;
use control_plane::{egress::Key, privileges::EGRESS};
use tokio::net::UnixStream;

use super::{HOST, Internet, head, opens, start, word};
use crate::{cloud::TestCloud, machine::EGRESS_KEY};

/// So many perclouds with nothing to say, and so many connections of each.
const HOSTILE: u32 = 16;
const EACH: usize = 32;
/// The first percloud's user.
const FIRST: u32 = 200_000;

/// Comes to the door as another user, and says something there.
fn says(door: &Path, uid: u32, what: &str) -> UnixStream {
    let came = std::thread::scope(|scope| {
        let comes = scope.spawn(|| {
            let keep = libc::c_long::from(-1);
            // SAFETY: the kernel changes the effective user of this thread alone, and the thread ends here.
            let done = unsafe { libc::syscall(libc::SYS_setresuid, keep, libc::c_long::from(uid), keep) };
            assert_eq!(done, 0, "another user");
            let mut door = Door::connect(door).unwrap();
            // Whoever is turned away at the door may hear it before they have said anything.
            let _ = door.write_all(what.as_bytes());
            door
        });
        comes.join().unwrap()
    });
    came.set_nonblocking(true).unwrap();
    UnixStream::from_std(came).unwrap()
}

/// A whole request, with the token of a percloud that has this user.
fn request(id: &TenantId, uid: u32) -> String {
    let token = Key::parse(EGRESS_KEY).unwrap().token(id, uid);
    format!("CONNECT public.example.org:80 HTTP/1.1\r\nProxy-Authorization: Bearer {token}\r\n\r\n")
}

struct Role(Child);

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_perclouds_that_say_nothing_keep_nobody_out_and_are_seen_at_it() {
    let Some(internet) = Internet::new() else { return };
    internet.name("public.example.org", &[&[HOST]]);
    let cloud = TestCloud::new().await;
    let (mallory, ada) = (cloud.sign_up("mallory").await.id, cloud.sign_up("ada").await.id);
    let data = tempfile::Builder::new().prefix("pc-").tempdir_in("/tmp").unwrap();
    for (folder, mode) in [("", 0o755), ("run", 0o755), ("run/metrics", 0o777), ("run/egress", 0o755)] {
        let folder = data.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(mode)).unwrap();
    }
    std::os::unix::fs::chown(data.path().join("run/egress"), Some(EGRESS), Some(EGRESS)).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_percloud"));
    let url = cloud.url.replace("percloud_owner", "percloud_egress");
    let more = ["--database-url", &url];
    let mut role = Role(start(&internet, program, data.path(), Some(EGRESS), &more, Stdio::inherit()));
    let door = data.path().join("run/egress/sock");
    opens(&door).await;

    // From its first good token on everybody knows whose user that is.
    let mut known = says(&door, FIRST, &request(&mallory, FIRST));
    assert_eq!(word(&head(&mut known).await), "through");
    drop(known);
    let mut held: Vec<Vec<UnixStream>> = Vec::new();
    for uid in FIRST..FIRST + HOSTILE {
        held.push((0..EACH).map(|_| says(&door, uid, "CONNECT public.exam")).collect());
    }
    for _ in 0..3 {
        let mut own = says(&door, FIRST + HOSTILE, &request(&ada, FIRST + HOSTILE));
        assert_eq!(word(&head(&mut own).await), "through", "Ada comes in");
    }
    // All of Mallory's end: too slow, or sent away for others, should it be before a word of theirs was read.
    for stream in &mut held[0] {
        let why = head(stream).await;
        assert!(["head-too-slow", "crowded", ""].contains(&word(&why)), "{why}");
    }
    crate::ledger::end(&mut role.0).await;
    // However many hours these are.
    let rows = "select string_agg(concat_ws(' ', tenant_id, refused), ', ')
        from (select tenant_id, sum(refused) as refused from usage_hours group by tenant_id) as by_percloud where refused > 0";
    assert_eq!(cloud.value::<String>(rows).await, format!("{mallory} {EACH}"), "it is at somebody's door");
}
