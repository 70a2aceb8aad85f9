//! Going on in the background, and ending what runs there.

use std::{
    io::{Read, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, setsid},
};

use super::{lock, say};
use crate::config::Paths;

/// What the process in the background writes as its last byte to the terminal: all is well (ASCII EOT).
const READY: u8 = 4;

/// Starts this program again in a session of its own, passes on what it says, and returns when it is healthy.
///
/// # Errors
/// When it ends before; its own words have been passed on by then.
pub(super) fn start() -> anyhow::Result<()> {
    let args = std::env::args_os().skip(1).filter(|arg| arg != "--detach");
    let mut command = Command::new("/proc/self/exe");
    command.args(args).arg("--detached").stdin(Stdio::null()).stdout(Stdio::piped());
    let new_session = || setsid().map(drop).map_err(std::io::Error::from);
    // SAFETY: between fork and exec only `setsid` is called, which is async-signal-safe.
    unsafe { command.pre_exec(new_session) };
    let mut child = command.spawn().context("cannot start in the background")?;
    let stdout = child.stdout.take().context("the pipe is ours")?;
    if !pass_on(stdout, std::io::stdout())? {
        let status = child.wait()?;
        bail!("it did not start ({status})");
    }
    say(format_args!("It goes on in the background; infra/down ends it."));
    Ok(())
}

/// Passes on what is said until all is well; false when it ends before.
fn pass_on(mut from: impl Read, mut to: impl Write) -> std::io::Result<bool> {
    let mut buffer = [0; 1024];
    loop {
        let n = from.read(&mut buffer)?;
        let ready = buffer[..n].iter().position(|&byte| byte == READY);
        // Nobody may be listening any more (a pipe to `grep -q`): what starts must not end by that, nor our answer whether it did.
        let _ = to.write_all(&buffer[..ready.unwrap_or(n)]);
        if n == 0 || ready.is_some() {
            return Ok(ready.is_some());
        }
    }
}

/// Tells whoever waits in [`start`] that all is well, and lets go of the terminal.
pub(super) fn ready() -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    // Whoever waited may be gone (a lost ssh), and it is all as well.
    let _ = out.write_all(&[READY]).and_then(|()| out.flush());
    let null = std::fs::File::options().write(true).open("/dev/null")?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}

/// `percloud down`: ends the provider that runs on a data folder.
#[derive(Clone, Debug, clap::Args)]
pub struct Down {
    /// The data folder.
    #[arg(long, env = "PERCLOUD_DATA", value_name = "DIR")]
    pub data: PathBuf,
}

/// Ends the provider on a data folder and waits until it is gone; nothing to do is no error.
///
/// # Errors
/// When it does not end within a minute.
pub fn down(options: &Down) -> anyhow::Result<()> {
    let data = std::path::absolute(&options.data)?;
    let paths = Paths(data.clone());
    let Some(pid) = lock::holder(&paths)? else {
        say(format_args!("Nothing runs on {}.", data.display()));
        return Ok(());
    };
    say(format_args!("Stopping process {pid}…"));
    kill(Pid::from_raw(pid), Signal::SIGTERM).with_context(|| format!("process {pid} cannot be told to stop"))?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while lock::holder(&paths)?.is_some() {
        if Instant::now() > deadline {
            bail!("process {pid} has not stopped within a minute; its logs are in {}", paths.logs().display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    say(format_args!("Stopped. Everything is kept in {}.", data.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe whose reader has gone.
    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whoever_does_not_listen_to_the_end_does_not_end_what_starts() {
        let said = [b"Starting...\n".as_slice(), b"It is up.\n", &[READY]];
        let from = || said[0].chain(said[1]).chain(said[2]);
        assert!(pass_on(from(), Broken).unwrap());
        let mut heard = Vec::new();
        assert!(pass_on(from(), &mut heard).unwrap());
        assert_eq!(heard, b"Starting...\nIt is up.\n");
        assert!(!pass_on(said[0], Broken).unwrap(), "it ended before");
    }
}
