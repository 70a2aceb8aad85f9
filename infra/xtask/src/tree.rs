//! The tree itself: files that stay readable, documents whose paths exist, words that must not be committed.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

/// Lines after which a source file is cut in two; style says 400, this is where CI insists.
const LONGEST: usize = 450;

/// Runs all three checks and reports everything it finds.
///
/// # Errors
/// Lists every finding, one a line.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let mut findings = Vec::new();
    for path in tracked_files(root)? {
        let Ok(text) = std::fs::read_to_string(root.join(&path)) else { continue };
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let at = path.display();
        if matches!(extension, "rs" | "js" | "mjs" | "css" | "py") && text.lines().count() > LONGEST {
            findings.push(format!("{at}: longer than {LONGEST} lines"));
        }
        if extension == "md" {
            findings
                .extend(dead_paths(root, &path, &text).into_iter().map(|dead| format!("{at}: {dead} does not exist")));
        }
        if extension != "lock" {
            findings.extend(forbidden(&text).into_iter().map(|word| format!("{at}: must not hold {word}")));
        }
    }
    ensure!(findings.is_empty(), "\n  {}", findings.join("\n  "));
    Ok(())
}

/// Every file that git tracks or would add.
///
/// # Errors
/// When git does not answer.
pub(crate) fn tracked_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let output = Command::new("git").args(args).current_dir(root).output().context("cannot run git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout)?;
    Ok(names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|path| root.join(path).exists())
        .collect())
}

/// Relative links of a document that lead nowhere.
fn dead_paths(root: &Path, document: &Path, text: &str) -> Vec<String> {
    let folder = root.join(document);
    let folder = folder.parent().unwrap_or(root);
    let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    links
        .map(|link| link.split(['#', ' ']).next().unwrap_or_default())
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
        .filter(|link| !folder.join(link).exists())
        .map(str::to_owned)
        .collect()
}

/// Words that must not be committed, put together here so that this file does not hold them.
fn forbidden(text: &str) -> Vec<String> {
    let words = [
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["FIX", "ME"].concat(),
        ["/work", "/main"].concat(),
        ["/work", "/wt"].concat(),
    ];
    words.into_iter().filter(|word| text.contains(word.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_link_is_found_and_a_living_one_is_not() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = "[a](src/main.rs) [b](src/gone.rs#part) [c](https://example.org/x) [d](#here)";
        assert_eq!(dead_paths(root, Path::new("README.md"), text), ["src/gone.rs"]);
    }

    #[test]
    fn a_word_that_must_not_be_committed_is_found() {
        assert_eq!(forbidden(&["x FIX", "ME y"].concat()).len(), 1);
        assert!(forbidden("all is well").is_empty());
    }
}
