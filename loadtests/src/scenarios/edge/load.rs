//! The clients, and what they say.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::process::{Running, on_core};

/// What one run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Requests or handshakes a second.
    pub(crate) per_s: f64,
    /// Processor time of the proxy for each, in microseconds.
    pub(crate) cpu_us: f64,
    /// The slowest of a hundred, in milliseconds, where the client says it.
    pub(crate) p99_ms: f64,
}

/// What is loaded, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// `wrk`, HTTP/1.1 with keep-alive.
    H1,
    /// `h2load`, HTTP/2.
    H2,
    /// Full TLS 1.3 handshakes.
    Handshakes,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::H1, Self::H2, Self::Handshakes];

    /// As the JSON's keys say it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
            Self::Handshakes => "handshakes",
        }
    }
}

/// A client's settings.
pub(crate) struct Client<'a> {
    pub(crate) core: usize,
    pub(crate) seconds: u32,
    /// The name asked for in handshakes; see [`super::handshakes::Options`].
    pub(crate) name: &'a str,
    pub(crate) numbers: usize,
}

impl Client<'_> {
    /// Loads a proxy for a while.
    ///
    /// # Errors
    /// When a request fails or the proxy has ended.
    pub(crate) fn run(&self, kind: Kind, proxy: &Running, at: SocketAddr) -> anyhow::Result<Outcome> {
        let before = proxy.cpu_us()?;
        let (done, per_s, p99_ms) = match kind {
            Kind::H1 => self.wrk(at)?,
            Kind::H2 => self.h2load(at)?,
            Kind::Handshakes => self.handshakes(at)?,
        };
        Ok(Outcome { per_s, cpu_us: (proxy.cpu_us()? - before) / done, p99_ms })
    }

    fn wrk(&self, at: SocketAddr) -> anyhow::Result<(f64, f64, f64)> {
        let mut command = on_core(self.core, Path::new("wrk"));
        command.args([
            "--threads",
            "1",
            "--connections",
            "64",
            "--latency",
            "--duration",
            &format!("{}s", self.seconds),
        ]);
        let said = say(command.arg(url(at)))?;
        ensure!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "wrk saw failures:\n{said}");
        let field = |start: &str| {
            said.lines().find_map(|line| line.trim().strip_prefix(start)).map(str::trim).context("wrk speaks otherwise")
        };
        let done = said.lines().find_map(|line| line.trim().split_once(" requests in ")).context("wrk counts none")?;
        Ok((done.0.parse()?, field("Requests/sec:")?.parse()?, milliseconds(field("99%")?)?))
    }

    fn h2load(&self, at: SocketAddr) -> anyhow::Result<(f64, f64, f64)> {
        let mut command = on_core(self.core, Path::new("h2load"));
        command.args(["--threads", "1", "--clients", "16", "--max-concurrent-streams", "16"]);
        command.args(["--duration", &self.seconds.to_string(), "--connect-to", &at.to_string()]);
        let said = say(command.arg(url(at)))?;
        let per_s = said
            .lines()
            .find_map(|line| line.strip_prefix("finished in ")?.split(", ").nth(1)?.strip_suffix(" req/s"))
            .context("h2load speaks otherwise")?;
        let requests = said.lines().find_map(|line| line.strip_prefix("requests: ")).context("h2load counts none")?;
        let count = |what: &str| -> anyhow::Result<f64> {
            let words = requests.split(", ").find_map(|part| part.strip_suffix(what));
            Ok(words.context("h2load counts otherwise")?.trim().parse()?)
        };
        ensure!(count(" failed")? == 0.0 && count(" errored")? == 0.0, "h2load saw failures:\n{said}");
        Ok((count(" succeeded")?, per_s.parse()?, 0.0))
    }

    fn handshakes(&self, at: SocketAddr) -> anyhow::Result<(f64, f64, f64)> {
        let mut command = on_core(self.core, &std::env::current_exe()?);
        command.arg("handshakes").arg(at.to_string()).arg(self.name);
        command.args(["--numbers", &self.numbers.to_string(), "--seconds", &self.seconds.to_string()]);
        let said: serde_json::Value = serde_json::from_str(&say(&mut command)?)?;
        let number = |key: &str| said[key].as_f64().context("the handshakes' client speaks otherwise");
        Ok((number("done")?, number("done")? / number("seconds")?, 0.0))
    }
}

fn url(at: SocketAddr) -> String {
    format!("https://{}:{}/", super::HOST, at.port())
}

fn say(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}

/// Reads `wrk`'s times: `812.00us`, `5.67ms`, `1.20s`.
fn milliseconds(text: &str) -> anyhow::Result<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.parse::<f64>()? * factor);
        }
    }
    bail!("wrk speaks otherwise: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_unit() {
        for (text, ms) in [("812.00us", 0.812), ("5.67ms", 5.67), ("1.20s", 1200.0)] {
            assert!((milliseconds(text).unwrap() - ms).abs() < 1e-9, "{text}");
        }
        assert!(milliseconds("fast").is_err());
    }
}
