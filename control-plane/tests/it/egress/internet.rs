//! Two machines in network namespaces of their own, joined by a cable: the provider's, and one that plays the Internet with
//! public addresses, a private one behind it, web servers and DNS. Nothing leaves this machine, and when the test's process
//! ends (however it does) the kernel takes everything away.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{
        RData, Record, RecordType,
        rdata::{A, AAAA},
    },
};

/// The provider's own public address.
pub(super) const PROVIDER: &str = "198.45.0.10";
/// A host of the Internet's.
pub(super) const HOST: &str = "198.45.0.20";
/// Somebody's private host, which the provider's machine could reach.
pub(super) const PRIVATE: &str = "10.9.9.9";
/// Another machine of the provider's house: its address is public, and no router stands between.
pub(super) const NEIGHBOUR: &str = "198.46.0.20";

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own; what it starts and opens is there, too.
struct Place {
    jobs: mpsc::Sender<Job>,
    thread: i32,
}

impl Place {
    fn new() -> Self {
        let (jobs, list) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            list.into_iter().for_each(|job| job());
        });
        Self { jobs, thread: told.recv().unwrap() }
    }

    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        self.jobs.send(Box::new(move || tell.send(work()).unwrap())).unwrap();
        told.recv().expect("the work in the namespace failed")
    }

    fn ip(&self, line: &str) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let done = self.run(move || Command::new("ip").args(&words).status().expect("ip, of the package iproute2"));
        assert!(done.success(), "ip {line}");
    }
}

/// What a name leads to, the first time, the second, and ever after.
type Zone = Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>;

pub(super) struct Internet {
    provider: Place,
    _world: Place,
    zone: Zone,
    /// Connections that came to where none may come.
    pub(super) trespasses: Arc<AtomicUsize>,
    /// Questions of DNS for IPv4 addresses.
    pub(super) questions: Arc<AtomicUsize>,
}

impl Internet {
    /// None, and said so, where the test may not make network namespaces.
    pub(super) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("NOT SHOWN HERE: the way out is tried in network namespaces, which takes root");
            return None;
        }
        let (provider, world) = (Place::new(), Place::new());
        world.ip(&format!("link add w0 type veth peer name p0 netns {}", provider.thread));
        for line in [
            "link set lo up",
            "link set w0 up",
            "addr add 198.45.0.20/32 dev w0",
            "addr add 198.46.0.20/24 dev w0",
            "addr add 10.9.9.9/32 dev w0",
            "route add 198.45.0.10/32 dev w0",
        ] {
            world.ip(line);
        }
        for line in [
            "link set lo up",
            "link set p0 up",
            "addr add 198.45.0.10/32 dev p0",
            "addr add 198.46.0.10/24 dev p0",
            "route add 198.45.0.20/32 dev p0 src 198.45.0.10",
            "route add 10.9.9.9/32 dev p0",
            "route add default via 198.45.0.20 dev p0",
        ] {
            provider.ip(line);
        }
        let (trespasses, questions) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let zone = Zone::default();
        let tcp = |place: &Place, at: &'static str| place.run(move || TcpListener::bind(at).unwrap());
        web(tcp(&world, "198.45.0.20:80"), Arc::default());
        web(tcp(&provider, "198.45.0.10:80"), Arc::default());
        for (place, forbidden) in [
            (&world, "10.9.9.9:80"),
            (&world, "198.46.0.20:80"),
            (&provider, "198.46.0.10:587"),
            (&provider, "198.45.0.10:587"),
            (&provider, "127.0.0.1:80"),
            (&provider, "127.0.0.1:443"),
        ] {
            web(tcp(place, forbidden), trespasses.clone());
        }
        let dns = world.run(|| UdpSocket::bind("198.45.0.20:53").unwrap());
        let (records, count) = (zone.clone(), questions.clone());
        thread::spawn(move || name_server(&dns, &records, &count));
        Some(Self { provider, _world: world, zone, trespasses, questions })
    }

    /// Sets what a name leads to.
    pub(super) fn name(&self, name: &str, answers: &[&[&str]]) {
        let answers = answers.iter().map(|ips| ips.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        self.zone.lock().unwrap().insert(name.to_owned(), answers);
    }

    /// Starts a program on the provider's machine.
    pub(super) fn start(&self, mut command: Command) -> Child {
        self.provider.run(move || command.spawn().unwrap())
    }
}

/// A web server: says where one is; `/much` does not end, `/slowly` neither, a letter at a time, `/quiet` says nothing more.
fn web(listener: TcpListener, visits: Arc<AtomicUsize>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            visits.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || answer(stream));
        }
    });
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = [0; 1024];
    let length = stream.read(&mut request)?;
    let here: SocketAddr = stream.local_addr()?;
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = request.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhere is {} with {path}", here.ip())?;
    match path.as_str() {
        "/much" => loop {
            stream.write_all(&[b'x'; 8192])?;
        },
        "/slowly" => loop {
            stream.write_all(b"x")?;
            thread::sleep(Duration::from_millis(100));
        },
        "/quiet" => stream.read(&mut [0; 1]).map(drop),
        _ => Ok(()),
    }
}

fn name_server(socket: &UdpSocket, zone: &Zone, questions: &AtomicUsize) {
    let mut buffer = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let mut message = Message::from_vec(&buffer[..length]).unwrap();
        message.metadata.message_type = MessageType::Response;
        let (name, kind) = (message.queries[0].name().clone(), message.queries[0].query_type());
        let host = name.to_ascii().trim_end_matches('.').to_lowercase();
        let mut zone = zone.lock().unwrap();
        let Some(answers) = zone.get_mut(&host) else {
            message.metadata.response_code = ResponseCode::NXDomain;
            socket.send_to(&message.to_vec().unwrap(), from).unwrap();
            continue;
        };
        for ip in answers.first().cloned().unwrap_or_default() {
            let data = match (ip, kind) {
                (IpAddr::V4(ip), RecordType::A) => RData::A(A(ip)),
                (IpAddr::V6(ip), RecordType::AAAA) => RData::AAAA(AAAA(ip)),
                _ => continue,
            };
            message.add_answer(Record::from_rdata(name.clone(), 0, data));
        }
        if kind == RecordType::A {
            questions.fetch_add(1, Ordering::SeqCst);
            if answers.len() > 1 {
                answers.remove(0);
            }
        }
        socket.send_to(&message.to_vec().unwrap(), from).unwrap();
    }
}
