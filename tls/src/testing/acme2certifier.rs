//! acme2certifier: an ACME authority of another make, with what Debian's Pebble lacks: renewal information, profiles, names for CAA.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::pebble::{api_certificate, machine_time};
use super::process::{Process, free_port};
use crate::LocalCa;
use crate::acme::{Directory, Eab};

/// How an authority is to behave.
#[derive(Clone, Debug)]
pub struct Acme2certifierOptions {
    /// Its profiles, and how many days certificates last by each; the first is what an order gets that names none.
    pub profiles: Vec<(String, u16)>,
    /// Whoever wants an account needs one of these.
    pub eab: Vec<Eab>,
    /// How much of a certificate's life is over when the suggested window to renew it begins, in percent.
    pub window_begins_percent: u8,
    /// How long that window is.
    pub window_hours: u16,
    /// Whether orders may name the certificate that they replace (RFC 9773, section 5).
    pub replaces: bool,
    /// The names by which it knows itself in CAA records.
    pub caa_identities: Vec<String>,
}

impl Default for Acme2certifierOptions {
    fn default() -> Self {
        Self {
            profiles: vec![("usual".to_owned(), 30)],
            eab: Vec::new(),
            window_begins_percent: 50,
            window_hours: 24,
            replaces: true,
            caa_identities: Vec::new(),
        }
    }
}

/// What a new order asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Ordered {
    /// Its names.
    pub names: Vec<String>,
    /// Whether it was taken.
    pub accepted: bool,
    /// The profile that it named.
    pub profile: Option<String>,
    /// The certificate that it replaces, as ARI names it.
    pub replaces: Option<String>,
}

/// A running authority. It takes every challenge for answered: Pebble is the one that looks.
pub struct Acme2certifier {
    directory: Directory,
    _process: Process,
    folder: tempfile::TempDir,
}

impl Acme2certifier {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When there is no Python that has `infra/test-python.txt`, or it does not start.
    pub async fn start(options: &Acme2certifierOptions) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("acme2certifier-").tempdir()?;
        let root_pem = api_certificate(&folder)?;
        configure(folder.path(), options)?;
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/acme2certifier_server.py");
        let mut arguments = vec![script.into(), at.port().to_string(), folder.path().display().to_string()];
        arguments.extend(options.replaces.then(|| "replaces".to_owned()));
        // It wants to be told that nobody minds that it validates nothing.
        let environment = [("ACME2CERTIFIER_I_KNOW_THE_RISK", "1".to_owned())];
        let python = python()?;
        let mut process = Process::start(&python.display().to_string(), "python3", arguments, &environment)?;
        process.listens(at).await?;
        let directory = Directory {
            url: format!("https://{at}/directory"),
            profile: None,
            eab: options.eab.first().cloned(),
            root_pem: Some(root_pem),
        };
        Ok(Self { directory, _process: process, folder })
    }

    /// Where it is, and how to be known there.
    #[must_use]
    pub fn directory(&self) -> Directory {
        self.directory.clone()
    }

    /// Every new order that it was asked for so far.
    #[must_use]
    pub fn orders(&self) -> Vec<Ordered> {
        let lines = std::fs::read_to_string(self.folder.path().join("orders")).unwrap_or_default();
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// The Python that has `infra/test-python.txt`.
fn python() -> Result<PathBuf> {
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/test-python/bin/python");
    let python = PathBuf::from(std::env::var_os("PERCLOUD_TEST_PYTHON").unwrap_or_else(|| usual.into()));
    ensure!(python.exists(), "this test needs acme2certifier: infra/test makes {}", python.display());
    Ok(python)
}

fn configure(folder: &Path, options: &Acme2certifierOptions) -> Result<()> {
    let at = folder.display();
    let first = options.profiles.first().map_or("usual", |(name, _)| name);
    let each = |what: fn(&str) -> String| {
        let pairs: serde_json::Map<String, serde_json::Value> =
            options.profiles.iter().map(|(name, _)| (name.clone(), what(name).into())).collect();
        serde_json::Value::from(pairs)
    };
    let (profiles, handlers) = (each(|name| format!("https://docs.example/{name}")), each(ToOwned::to_owned));
    let caa = serde_json::to_string(&options.caa_identities)?;
    let mut settings = format!(
        "[DEFAULT]\ndebug: False\n\
         [CAhandler]\nmulti_handler: True\ndefault_handler: {first}\n\
         [DBhandler]\nhandler_module: acme2certifier.dbhandlers.wsgi_handler\ndbfile: {at}/acme.db\n\
         [Directory]\ncaaidentities: {caa}\n\
         [Challenge]\nchallenge_validation_disable: True\n\
         [Renewalinfo]\nrenewalthreshold_pctg: {}\nrenewal_window_duration: {}h\nretry_after_timeout: 7200\n\
         [Order]\ntnauthlist_support: False\nprofiles: {profiles}\nprofile_cahandler: {handlers}\n",
        options.window_begins_percent, options.window_hours,
    );
    for (profile, days) in &options.profiles {
        write!(
            settings,
            "[CAhandler:{profile}]\nhandler_module: acme2certifier.cahandlers.openssl_ca_handler\n\
             issuing_ca_key: {at}/issuing/ca.key\nissuing_ca_cert: {at}/issuing/ca.pem\nissuing_ca_crl: {at}/issuing/ca.crl\n\
             cert_save_path: {at}/issued\ncert_validity_days: {days}\n"
        )?;
    }
    if !options.eab.is_empty() {
        let keys: String = options.eab.iter().map(|eab| format!("{},{}\n", eab.kid, eab.hmac_base64url)).collect();
        std::fs::write(folder.join("eab.csv"), format!("eab_kid,eab_mac\n{keys}"))?;
        write!(
            settings,
            "[EABhandler]\neab_handler_module: acme2certifier.eabhandlers.file_handler\nkey_file: {at}/eab.csv\n"
        )?;
    }
    std::fs::write(folder.join("acme_srv.cfg"), settings)?;
    std::fs::create_dir(folder.join("issued"))?;
    LocalCa::open_or_create(&folder.join("issuing"), "acme2certifier", &[], machine_time())?;
    Ok(())
}
