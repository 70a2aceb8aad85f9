//! The files of groups: read, written, made and removed.

use std::{fs, io, path::Path, time::Duration};

/// The names of controllers as they are told: of the disk, all have the same weight, and only where its scheduler knows weights.
pub(super) fn told(controller: &'static str, group: &Path, weights: [&str; 2]) -> Option<String> {
    match controller {
        "io" | "blkio" => {
            let weighs = weights.iter().any(|file| group.join(file).exists());
            weighs.then(|| format!("{controller} (equal weights)"))
        }
        limits => Some(limits.to_owned()),
    }
}

/// Removes a group and those in it, as far as nobody runs in them. The files of a group are the kernel's and go with it.
pub(super) fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

/// Makes one folder of the kernel's; well if it is there.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The number behind `key` in lines of `key value`; 0 when there is none.
pub(super) fn field(text: &str, key: &str) -> u64 {
    let value = |line: &str| line.split_once(' ').filter(|(name, _)| *name == key)?.1.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}

pub(super) fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

pub(super) fn text(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_default()
}

/// Writes what the kernel must take.
pub(super) fn write(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = folder.join(file);
    fs::write(&path, value).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// A group whose last process has just ended may be busy for a moment.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    for _ in 0..50 {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
    fs::remove_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name_and_nonsense_is_nought() {
        let text = "nr_throttled 3\nthrottled_usec 700\noom 1\noom_kill 2\nodd\nbad x\n";
        for (key, value) in [("throttled_usec", 700), ("oom", 1), ("oom_kill", 2), ("bad", 0), ("none", 0), ("odd", 0)]
        {
            assert_eq!(field(text, key), value, "{key}");
        }
    }
}
