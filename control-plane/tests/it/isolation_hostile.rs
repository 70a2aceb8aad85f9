//! A hostile program tries by name all that it could reach, and its neighbour serves meanwhile.

use std::{
    collections::BTreeSet,
    fs,
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bundle::TenantId;
use control_plane::hosts::{Host, State};

use crate::{
    machine::{Machine, get},
    postgres::eventually,
};

/// What an attacker would like to reach; all of it works from outside the sandbox.
struct Bait {
    tcp: TcpListener,
    udp: UdpSocket,
    _postgres: UnixListener,
    _abstract: UnixListener,
    victim: Child,
}

impl Bait {
    fn lay(machine: &Machine, bob: &Path) -> Self {
        fs::write(bob.join("secret"), "Bob's").unwrap();
        let postgres = machine.paths().postgres_socket();
        fs::create_dir_all(&postgres).unwrap();
        let victim = machine.command(Path::new("sleep")).arg("600").stdin(Stdio::null()).spawn().unwrap();
        let name = SocketAddr::from_abstract_name(format!("percloud-{}", victim.id())).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        Self {
            tcp,
            udp,
            _postgres: UnixListener::bind(postgres.join(".s.PGSQL.5432")).unwrap(),
            _abstract: UnixListener::bind_addr(&name).unwrap(),
            victim,
        }
    }

    fn query(&self, machine: &Machine, bob: &bundle::TenantSpec) -> String {
        format!(
            "/attacks?data={}&bob={}&secret=secret&tcp={}&udp={}&pid={}&quota={}",
            machine.paths().root().display(),
            bob.id,
            self.tcp.local_addr().unwrap().port(),
            self.udp.local_addr().unwrap().port(),
            self.victim.id(),
            bob.quota_bytes
        )
    }

    fn assert_untouched(&mut self) {
        assert!(self.tcp.accept().is_err(), "a connection came");
        assert!(self.udp.recv(&mut [0; 8]).is_err(), "a datagram came");
        assert_eq!(self.victim.try_wait().unwrap(), None, "a process outside was ended");
    }
}

impl Drop for Bait {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

/// A call that the list does not know ends whoever makes it, by the door of 32-bit programs; where there is none, so does knocking.
const OLD_DOOR: [&str; 2] = ["is ended by SIGSYS", "is ended by SIGSEGV"];

/// The first process of a namespace does not hear the signal that abort() sends first.
const CRASHED: [&str; 2] = ["is ended by SIGABRT", "is ended by SIGSEGV"];

/// Asks for what ends it, until the host says why it ended; "stopped" is one of these reasons, and no other.
async fn ended(machine: &Machine, ada: &TenantId, socket: &Path, path: &str, by: &[&str]) -> String {
    let why = eventually("why it ended", async || match machine.host.look(ada).await.unwrap()?.state {
        State::Failing(why) => Some(Err(why)),
        _ => get(socket, path).await.ok().map(Ok),
    })
    .await;
    machine.host.retry(ada).await.unwrap();
    match why {
        Err(why) if by.contains(&why.as_str()) => format!("stopped\t{why}"),
        Err(why) | Ok(why) => format!("ESCAPED\t{why}"),
    }
}

/// It crashes, and leaves nothing in its folder or where it ran.
async fn crash(machine: &Machine, ada: &TenantId, socket: &Path) -> String {
    let all =
        || fs::read_dir(machine.folder(ada)).unwrap().flatten().map(|entry| entry.file_name()).collect::<BTreeSet<_>>();
    let before = all();
    let told = ended(machine, ada, socket, "/abort", &CRASHED).await;
    let left: Vec<_> = all().difference(&before).cloned().collect();
    if left.is_empty() { told } else { format!("ESCAPED\t{left:?}") }
}

/// Touches more memory than it may have: it is refused, or its control group says that it was ended for it.
async fn memory(machine: &Machine, ada: &TenantId, socket: &Path) -> String {
    match get(socket, "/memory?mib=1500").await {
        Ok(how) if how.starts_with("refused") => format!("stopped\t{how}"),
        Ok(how) => format!("ESCAPED\t{how}"),
        Err(_) => {
            let kills = eventually("a kill that is counted", async || {
                let used = machine.host.usage().await.unwrap().of;
                let met = used.into_iter().find(|used| used.id == *ada)?.limits_met;
                (met.memory > 0).then_some(met.memory)
            })
            .await;
            format!("stopped\tended by its control group, {kills} in all")
        }
    }
}

/// Four threads that spin get one processor's time together, where control groups hold them to it.
async fn spinning(machine: &Machine, socket: &Path) -> Option<String> {
    if machine.groups().is_empty() {
        return None;
    }
    let told = get(socket, "/busy?ms=1000").await.unwrap();
    let mut words = told.split(' ');
    let [used, _, _, took] = [(); 4].map(|()| words.next().unwrap().parse::<u64>().unwrap_or(0));
    assert!(used > 0 && took >= 1000, "{told}");
    let verdict = if used * 4 <= took * 5 { "stopped" } else { "ESCAPED" };
    Some(format!("a processor for itself\t{verdict}\t{told}\n"))
}

/// Asks for pages until it is told to stop; how many came.
async fn visit(socket: PathBuf, stop: Arc<AtomicBool>) -> std::io::Result<u32> {
    let mut visits = 0;
    while !stop.load(Ordering::Relaxed) {
        assert!(get(&socket, "/").await?.contains("bob."), "another's answer");
        visits += 1;
    }
    Ok(visits)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_program_gets_nowhere_and_its_neighbour_serves_on() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        let ((ada, ada_unit), (bob, bob_unit)) = (machine.place("ada").await, machine.place("bob").await);
        let mut bait = Bait::lay(&machine, &machine.folder(&bob.id));
        assert_eq!(get(&bob_unit.socket, "/tmp").await.unwrap(), "put there", "each has a /tmp");
        let stop = Arc::new(AtomicBool::new(false));
        let visits = tokio::spawn(visit(bob_unit.socket.clone(), stop.clone()));

        // Before anything else: who was busy for long keeps to half of the processors besides.
        let spun = spinning(&machine, &ada_unit.socket).await;
        let mut table = get(&ada_unit.socket, &bait.query(&machine, &bob)).await.unwrap();
        table.extend(spun);
        let (id, socket) = (&ada.id, &ada_unit.socket);
        let knocked = ended(&machine, id, socket, "/interrupt-80", &OLD_DOOR).await;
        table.push_str(&format!("a 32-bit system call\t{knocked}\n"));
        table.push_str(&format!("its memory in a core file, by a crash\t{}\n", crash(&machine, id, socket).await));
        table.push_str(&format!("memory bomb, touched\t{}\n", memory(&machine, id, socket).await));
        println!("{}", laid_out(user, &table));
        let escaped: Vec<_> = table.lines().filter(|line| !line.contains("\tstopped\t")).collect();
        assert!(escaped.is_empty(), "{escaped:#?}");
        assert!(table.lines().count() >= 150, "only {} attacks were tried", table.lines().count());

        stop.store(true, Ordering::Relaxed);
        let answers = visits.await.unwrap().expect("Bob's visitors are answered, each of them");
        println!("Meanwhile its neighbour answered {answers} times.\n");
        assert!(answers > 0);
        bait.assert_untouched();
        let kills = eventually("a count of what happened", async || {
            let usage = machine.host.usage().await.unwrap();
            let met = usage.of.iter().find(|used| used.id == ada.id)?.limits_met;
            (met.failures >= 1 && (machine.groups().is_empty() || met.memory > 0)).then_some(met.memory)
        })
        .await;
        assert_eq!(kills, u64::from(!machine.groups().is_empty()));
        eventually("Ada's visitors, who come again", async || {
            let page = get(&ada_unit.socket, "/").await.ok()?;
            page.contains(ada.domain.as_str()).then_some(())
        })
        .await;
    }
}

fn laid_out(user: Option<u32>, table: &str) -> String {
    let row = |line: &str| {
        let mut cells = line.split('\t');
        let mut next = || cells.next().unwrap_or_default();
        let (name, verdict, how) = (next(), next(), next());
        format!("{name:<44} {verdict:<8} {:<44} {how}", held_by(name, how))
    };
    let who = if user.is_some() || !rustix::process::geteuid().is_root() { "an ordinary user" } else { "root" };
    let head = format!("{:<44} {:<8} {:<44} how", format!("host as {who}"), "", "held by");
    format!("{head}\n{}", table.lines().map(row).collect::<Vec<_>>().join("\n"))
}

/// The layers that an answer comes from. Most would have been held by the next one, too.
fn held_by(name: &str, how: &str) -> &'static str {
    match (name, how) {
        (_, how) if how.starts_with("ended by its control group") => "control-groups",
        ("a processor for itself", _) => "control-groups (given its share)",
        ("a 32-bit system call", _) => "seccomp",
        (_, how) if how.contains("(os error 1)") || how.contains("(os error 38)") => "seccomp",
        (_, how) if how.contains("(os error 2)") => "empty-root",
        (_, how) if how.contains("(os error 13)") || how.contains("(os error 18)") => "landlock, own-user",
        (_, how) if how.contains("(os error 3)") => "pid-namespace",
        (name, how) if name.contains("/tmp") && !how.contains("(os error") => "empty-root (each has its own)",
        (_, how) if how.contains("(os error 28)") => "empty-root (a small /tmp)",
        (name, how) if name.contains("bomb") || how.contains("(os error 27)") => "limits, control-groups",
        ("a core file" | "its memory in a core file, by a crash", _) => "limits",
        ("find a folder among its descriptors", _) => "descriptors",
        ("see more of / than its folder", _) => "empty-root",
        _ => "the kernel's own rules",
    }
}
