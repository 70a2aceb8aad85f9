//! `import`, `export` and `check`: bundles without a browser.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bundle::{Clock, Domain};
use clap::Args;

use crate::{
    exports,
    imports::{self, Summary},
    serve::home,
};

/// What to import, and where to.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The bundle: the ZIP file, or the folder that it was unzipped into
    file: PathBuf,
    /// The folder for the percloud's data; made when missing
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// A file whose first line is the bundle's passphrase; without it the secrets stay sealed
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// What to export, and where to.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The folder of the percloud's data
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The ZIP file to write; must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The name that browsers know it by, when it was not served from here yet; said in the bundle
    #[arg(long, value_name = "NAME")]
    domain: Option<Domain>,
    /// A file whose first line is a passphrase; without it the secrets stay here
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// What to check.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The bundle: the ZIP file, or the folder that it was unzipped into
    file: PathBuf,
    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Reads every byte of a bundle and says what is in it.
pub(super) fn check(options: &Check) -> anyhow::Result<()> {
    let found = imports::check_file(&options.file);
    let summary = found.with_context(|| format!("{} is not a good bundle", options.file.display()))?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        println!("{} is a whole percloud bundle.\n", options.file.display());
        describe(&summary);
    }
    Ok(())
}

fn describe(summary: &Summary) {
    println!("  of         {} ({})", summary.domain, summary.handle);
    println!("  made       {} by {}", summary.created.format("%Y-%m-%d %H:%M UTC"), summary.exporter);
    println!("  signature  {}", summary.key.as_deref().map_or("none".to_owned(), |key| format!("good, by {key}")));
    println!("  secrets    {}", if summary.secrets { "sealed, a passphrase opens them" } else { "none" });
    for section in &summary.sections {
        println!("  {:<10} {} files, {} bytes", section.section, section.files, section.bytes);
    }
}

/// Fills a data folder from a bundle.
pub(super) fn import(options: &Import) -> anyhow::Result<()> {
    let passphrase = passphrase(options.passphrase_file.as_deref())?;
    let work = imports::from_file(&options.file, &options.data, passphrase, Clock::system());
    let done = super::executor()?.block_on(work)?;
    println!("Everything from {} is in {} now.\n", done.report.from, options.data.display());
    for row in &done.report.sections {
        let counts = &row.counts;
        println!(
            "  {:<10} {} found: {} brought here, {} kept or here already, {} not taken",
            row.section,
            counts.counted,
            counts.imported + counts.transformed,
            counts.preserved,
            counts.refused.len(),
        );
    }
    println!("\nThe receipt is {}.", options.data.join("import-report.json").display());
    println!("Now serve it:\n  percloud-runtime serve --data {} --domain me.localhost", options.data.display());
    match done.has_owner {
        true => println!("Sign in with your old password."),
        false => println!("It prints a link to choose a password, because the secrets were not opened."),
    }
    Ok(())
}

/// Writes everything into a file.
pub(super) fn export(options: &Export) -> anyhow::Result<()> {
    let passphrase = passphrase(options.passphrase_file.as_deref())?;
    if passphrase.as_deref().is_some_and(|p| !exports::passphrase::is_strong(p)) {
        anyhow::bail!(
            "this passphrase could be guessed; take a good one, for example: {}",
            exports::passphrase::suggest()
        );
    }
    let (rt, _lock) = home::open(&options.data, options.domain.as_ref())?;
    let size = super::executor()?.block_on(async {
        let size = exports::to_file(&rt, &options.out, passphrase).await;
        rt.store().close().await;
        size
    })?;
    println!("{} holds everything ({size} bytes).", options.out.display());
    Ok(())
}

fn passphrase(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let line = text.lines().next().unwrap_or_default().trim().to_owned();
    anyhow::ensure!(!line.is_empty(), "{} holds no passphrase", file.display());
    Ok(Some(line))
}
