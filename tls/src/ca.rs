//! A certificate authority of one's own, for development and at home.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair,
    KeyUsagePurpose, NameConstraints, SerialNumber,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;

use crate::files;

const KEY: &str = "ca.key";
const CERTIFICATE: &str = "ca.pem";
const ROOT_DAYS: i64 = 3653;
/// Clocks of phones and laptops are wrong: a certificate is valid a little before it is made.
const BACK_DATED: TimeDelta = TimeDelta::hours(1);

/// A local certificate authority: a P-256 root for ten years, its key in a folder that only its owner may read.
///
/// The root is name-constrained: people are asked to trust it, and a stolen key must not open the rest of the web to the thief.
pub struct LocalCa {
    root_pem: String,
    names: Vec<String>,
    not_after: DateTime<Utc>,
    issuer: rcgen::Issuer<'static, KeyPair>,
}

/// A fresh certificate and its key.
pub struct Issued {
    /// The certificate, and what leads to the root, leaf first.
    pub chain_pem: String,
    /// The private key, PKCS #8; wiped from memory when dropped.
    pub key_der: PrivatePkcs8KeyDer<'static>,
    /// When it ends.
    pub not_after: DateTime<Utc>,
    /// Whether its authority took it for the renewal of the one that it was said to replace.
    pub replaces: bool,
}

impl LocalCa {
    /// The CA in `folder`; made at first. `name` is what people see in their browser's list of authorities; `names` are
    /// the domains that it may vouch for, each with all below it (none: any). A CA that lapses within a year or may not
    /// vouch for one of `names` is replaced (people have to trust the new one; the old root is kept beside it).
    ///
    /// # Errors
    /// When the folder cannot be read or written, or the key is readable by everybody.
    pub fn open_or_create(folder: &Path, name: &str, names: &[&str], now: DateTime<Utc>) -> Result<Self> {
        files::private_folder(folder)?;
        let key = Self::key(&folder.join(KEY))?;
        let at = folder.join(CERTIFICATE);
        if let Some(ca) = Self::read(&at, &key)? {
            let vouches = names.iter().all(|n| ca.may_vouch_for(n));
            if vouches && ca.not_after > now + TimeDelta::days(365) {
                return Ok(ca);
            }
            match std::fs::rename(&at, folder.join(format!("ca-until-{}.pem", now.format("%Y-%m-%d-%H%M%S")))) {
                // Whoever may read here and not write goes on with it; the next start of those who may makes a new one.
                Err(e) if e.kind() == ErrorKind::PermissionDenied && vouches && ca.not_after > now => return Ok(ca),
                done => done?,
            }
        }
        let root = root(name, names, now)?.self_signed(&key).context("cannot sign the local CA's root")?;
        files::write_new(&at, root.pem().as_bytes(), 0o644)?;
        Self::read(&at, &key)?.context("the local CA's root vanished while it was made")
    }

    /// The CA in `folder`, or none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        if !folder.join(KEY).exists() {
            return Ok(None);
        }
        Self::read(&folder.join(CERTIFICATE), &Self::key(&folder.join(KEY))?)
    }

    fn key(path: &Path) -> Result<KeyPair> {
        if !path.exists() {
            let fresh = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
            files::write_new(path, fresh.serialize_pem().as_bytes(), 0o600)?; // another process may have been quicker
        }
        let pem = String::from_utf8(files::read_secret(path)?)?;
        KeyPair::from_pem(&pem).with_context(|| format!("{} is not a key", path.display()))
    }

    fn read(path: &Path, key: &KeyPair) -> Result<Option<Self>> {
        let root_pem = match std::fs::read_to_string(path) {
            Ok(pem) => pem,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        let (_, pem) = x509_parser::pem::parse_x509_pem(root_pem.as_bytes())
            .with_context(|| format!("{} is not a certificate", path.display()))?;
        let root = pem.parse_x509().with_context(|| format!("{} is not a certificate", path.display()))?;
        ensure!(
            root.public_key().subject_public_key.data.as_ref() == key.public_key_raw(),
            "{} belongs to another key than the one beside it; move both away to have a new local CA made",
            path.display()
        );
        let names = permitted(&root);
        let not_after =
            DateTime::from_timestamp(root.validity().not_after.timestamp(), 0).context("a date out of range")?;
        let again = KeyPair::from_pem(&key.serialize_pem())?;
        let issuer = rcgen::Issuer::from_ca_cert_pem(&root_pem, again)?;
        Ok(Some(Self { root_pem, names, not_after, issuer }))
    }

    fn may_vouch_for(&self, name: &str) -> bool {
        let name = name.strip_prefix("*.").unwrap_or(name);
        let below = |n: &String| name == n || name.strip_suffix(n.as_str()).is_some_and(|rest| rest.ends_with('.'));
        self.names.is_empty() || self.names.iter().any(below)
    }

    /// Makes a key and a certificate for `names` (DNS names; `*.` in front of one stands for all directly below it),
    /// for `days` days from now.
    ///
    /// # Errors
    /// When a name is not a host name or not one that this CA may vouch for.
    pub fn issue(&self, names: &[&str], days: u16, now: DateTime<Utc>) -> Result<Issued> {
        let first = names.first().context("a certificate needs a name")?;
        for name in names {
            ensure!(self.may_vouch_for(name), "the local CA may not vouch for {name}");
        }
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let not_after = (now + TimeDelta::days(i64::from(days))).min(self.not_after);
        let mut params = CertificateParams::new(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>())?;
        params.not_before = date(now - BACK_DATED)?;
        params.not_after = date(not_after)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, first.chars().take(64).collect::<String>());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &self.issuer)?;
        let key_der = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(Issued { chain_pem: leaf.pem(), key_der, not_after, replaces: false })
    }

    /// Whether the first certificate of a chain says that this CA issued it: by its root's key, as both certificates name it.
    #[must_use]
    pub fn issued(&self, chain_pem: &str) -> bool {
        fn parsed<T>(
            pem: &str,
            read: impl Fn(&x509_parser::certificate::X509Certificate<'_>) -> Option<T>,
        ) -> Option<T> {
            let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
            read(&pem.parse_x509().ok()?)
        }
        use x509_parser::extensions::ParsedExtension;
        let own = parsed(&self.root_pem, |root| {
            root.extensions().iter().find_map(|e| match e.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            })
        });
        let named = parsed(chain_pem, |leaf| {
            leaf.extensions().iter().find_map(|e| match e.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
                _ => None,
            })
        });
        own.is_some() && own == named
    }

    /// The root certificate, for people to trust.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// When the root ends.
    #[must_use]
    pub fn not_after(&self) -> DateTime<Utc> {
        self.not_after
    }

    /// Puts the root certificate where people find it.
    ///
    /// # Errors
    /// When `path` cannot be written.
    pub fn write_root(&self, path: &Path) -> Result<PathBuf> {
        if std::fs::read(path).ok().as_deref() != Some(self.root_pem.as_bytes()) {
            files::write(path, self.root_pem.as_bytes(), 0o644)?;
        }
        Ok(path.to_owned())
    }
}

fn root(name: &str, names: &[&str], now: DateTime<Utc>) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.not_before = date(now - BACK_DATED)?;
    params.not_after = date(now + TimeDelta::days(ROOT_DAYS))?;
    params.serial_number = Some(SerialNumber::from_slice(&serial()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if !names.is_empty() {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: names.iter().map(|n| GeneralSubtree::DnsName((*n).to_owned())).collect(),
            // A constraint on names says nothing of addresses: those are closed of their own.
            excluded_subtrees: vec![
                GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
                GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
            ],
        });
    }
    Ok(params)
}

fn permitted(root: &x509_parser::certificate::X509Certificate<'_>) -> Vec<String> {
    let constraints = root.name_constraints().ok().flatten().and_then(|c| c.value.permitted_subtrees.as_ref());
    let dns = |subtree: &x509_parser::extensions::GeneralSubtree<'_>| match &subtree.base {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    constraints.map(|trees| trees.iter().filter_map(dns).collect()).unwrap_or_default()
}

/// 127 random bits: positive, not zero, and never the same twice.
fn serial() -> [u8; 16] {
    let mut bytes = rand::random::<[u8; 16]>();
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    bytes
}

fn date(at: DateTime<Utc>) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(at.timestamp()).context("a date out of range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Certified;
    use std::os::unix::fs::PermissionsExt;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("a date")
    }

    #[test]
    fn the_root_and_its_key_stay_the_same_and_the_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let first = LocalCa::open_or_create(folder.path(), "Test", &["cloud.localhost"], now()).unwrap();
        let again = LocalCa::open_or_create(folder.path(), "Test", &["cloud.localhost"], now()).unwrap();
        assert_eq!(first.root_pem(), again.root_pem());
        let mode = std::fs::metadata(folder.path().join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(first.not_after() > now() + TimeDelta::days(3650));
    }

    #[test]
    fn a_key_that_everybody_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        LocalCa::open_or_create(folder.path(), "Test", &[], now()).unwrap();
        std::fs::set_permissions(folder.path().join(KEY), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(LocalCa::open_or_create(folder.path(), "Test", &[], now()).is_err());
    }

    #[test]
    fn it_vouches_for_its_own_names_only() {
        let folder = tempfile::tempdir().unwrap();
        let ca = LocalCa::open_or_create(folder.path(), "Test", &["cloud.localhost"], now()).unwrap();
        let issued = ca.issue(&["cloud.localhost", "*.cloud.localhost"], 90, now()).unwrap();
        let certified = Certified::new(&issued.chain_pem, issued.key_der.into()).unwrap();
        assert_eq!(certified.names(), ["cloud.localhost", "*.cloud.localhost"]);
        assert_eq!(certified.not_after(), now() + TimeDelta::days(90));
        let elsewhere = tempfile::tempdir().unwrap();
        let other = LocalCa::open_or_create(elsewhere.path(), "Test", &["cloud.localhost"], now()).unwrap();
        assert!(ca.issued(&issued.chain_pem) && !other.issued(&issued.chain_pem));
        for other in ["bank.example", "evilcloud.localhost", "localhost"] {
            assert!(ca.issue(&[other], 90, now()).is_err(), "{other}");
        }
    }

    #[test]
    fn a_new_domain_or_an_old_root_makes_a_new_root() {
        let folder = tempfile::tempdir().unwrap();
        let first = LocalCa::open_or_create(folder.path(), "Test", &["one.localhost"], now()).unwrap();
        let other = LocalCa::open_or_create(folder.path(), "Test", &["two.localhost"], now()).unwrap();
        assert_ne!(first.root_pem(), other.root_pem());
        let late = now() + TimeDelta::days(3400);
        let later = LocalCa::open_or_create(folder.path(), "Test", &["two.localhost"], late).unwrap();
        assert_ne!(other.root_pem(), later.root_pem());
    }
}
