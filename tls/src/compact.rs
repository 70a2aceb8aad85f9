//! Certificates by the hundred thousand: what it takes to show one, in a few hundred bytes.
//!
//! Nearly all certificates have a P-256 key, and those of one authority differ in little. So of the key only its secret number is kept,
//! sealed with a key that this process has drawn for itself; of the leaf only what differs from another leaf of the same issuer
//! ([`likeness`]); and the issuers' certificates are kept once for all. What does not fit that is not kept here.

mod likeness;
mod secret;

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use likeness::Model;
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use secret::Secret;

use crate::certified::shared;

/// What stands in a P-256 key in PKCS#8 before its secret number…
const BEFORE_SECRET: &[u8; 36] = b"\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20";
/// …and between that and the public point.
const BEFORE_POINT: &[u8; 5] = b"\xa1\x44\x03\x42\x00";
const SECRET: usize = 32;
const POINT: usize = 65;
/// A sealed secret: with what proves that nobody changed it, nor what stands before it.
const SEALED: usize = SECRET + 16;
/// Kinds of chains that are told apart: authorities have a handful each.
const FAMILIES: usize = 64;

/// Names a kept certificate; never used for two different ones (it is the nonce of its seal).
pub type Name = [u8; NONCE_LEN];

/// Makes certificates small and whole again. What it made is of use to nobody else.
pub struct Compactor {
    cipher: LessSafeKey,
    families: Vec<Family>,
}

/// Leaves below the same issuers, and one of them that the others are told by.
struct Family {
    above: Vec<CertificateDer<'static>>,
    model: Model,
}

impl Default for Compactor {
    fn default() -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &rand::random::<[u8; 32]>()).expect("a key of 32 bytes");
        Self { cipher: LessSafeKey::new(key), families: Vec::new() }
    }
}

impl Compactor {
    /// Makes a certificate small; none when its key is no P-256 key with a public half, or not the certificate's.
    pub fn pack(&mut self, name: &Name, chain_pem: &str, pkcs8: &[u8]) -> Option<Box<[u8]>> {
        let mut chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes());
        let leaf = chain.next()?.ok()?;
        let above = chain.map(|one| one.ok().map(shared)).collect::<Option<Vec<_>>>()?;
        let (secret, point) = halves(pkcs8)?;
        // Proves that the halves belong together: nobody will again.
        any_ecdsa_type(&PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8))).ok()?;
        leaf.windows(POINT).position(|window| window == point)?;
        let family = self.family(above, &leaf)?;
        let mut packed = Vec::with_capacity(leaf.len());
        packed.push(u8::try_from(family).ok()?);
        self.families[family].model.tell(&leaf, &mut packed);
        let mut sealed = secret.to_vec();
        let nonce = Nonce::assume_unique_for_key(*name);
        self.cipher.seal_in_place_append_tag(nonce, Aad::from(&packed), &mut sealed).ok()?;
        packed.extend_from_slice(&sealed);
        Some(packed.into_boxed_slice())
    }

    /// Which family a leaf belongs to; the first of its kind founds one.
    fn family(&mut self, above: Vec<CertificateDer<'static>>, leaf: &[u8]) -> Option<usize> {
        let known = self.families.iter().position(|family| family.above == above);
        if known.is_none() && self.families.len() < FAMILIES {
            self.families.push(Family { above, model: Model::new(leaf)? });
            return Some(self.families.len() - 1);
        }
        known
    }

    /// Makes it whole again. None when it was changed or is not of this name.
    #[must_use]
    pub fn unpack(&self, name: &Name, packed: &[u8]) -> Option<Arc<CertifiedKey>> {
        let (open, sealed) = packed.split_at_checked(packed.len().checked_sub(SEALED)?)?;
        let mut sealed: [u8; SEALED] = sealed.try_into().ok()?;
        let nonce = Nonce::assume_unique_for_key(*name);
        let secret = self.cipher.open_in_place(nonce, Aad::from(open), &mut sealed).ok()?;
        let (family, told) = open.split_first()?;
        let family = self.families.get(usize::from(*family))?;
        let leaf = CertificateDer::from(family.model.hear(told)?);
        let chain = std::iter::once(leaf).chain(family.above.iter().cloned()).collect();
        Some(Arc::new(CertifiedKey::new(chain, Arc::new(Secret::new(secret)?))))
    }
}

/// The secret number and the public point of a P-256 key, as rcgen and OpenSSL write it.
fn halves(pkcs8: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = pkcs8.strip_prefix(BEFORE_SECRET)?;
    let (secret, rest) = rest.split_at_checked(SECRET)?;
    let point = rest.strip_prefix(BEFORE_POINT)?;
    (point.len() == POINT).then_some((secret, point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Certified, LocalCa};

    struct One {
        chain: String,
        key: Vec<u8>,
    }

    fn issued(ca: &LocalCa, name: &str) -> One {
        let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let issued = ca.issue(&[name], 90, now).unwrap();
        One { chain: issued.chain_pem, key: issued.key_der.secret_pkcs8_der().to_vec() }
    }

    fn ca(folder: &std::path::Path) -> LocalCa {
        let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        LocalCa::open_or_create(&folder.join("ca"), "test", &[], now).unwrap()
    }

    /// Whether what a key signs is verified with its certificate.
    fn signs_for(certified: &CertifiedKey) -> bool {
        let (_, leaf) = x509_parser::parse_x509_certificate(&certified.cert[0]).unwrap();
        let offered = rustls::SignatureScheme::ECDSA_NISTP256_SHA256;
        let signature = certified.key.choose_scheme(&[offered]).unwrap().sign(b"said").unwrap();
        let public = &leaf.public_key().subject_public_key.data;
        let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1;
        aws_lc_rs::signature::UnparsedPublicKey::new(algorithm, public).verify(b"said", &signature).is_ok()
    }

    #[test]
    fn a_certificate_comes_out_as_it_went_in_and_is_small_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let ca = ca(folder.path());
        let mut compactor = Compactor::default();
        for number in 0..20_u8 {
            let (name, one) = ([number; NONCE_LEN], issued(&ca, &format!("n{number}.many.test")));
            let packed = compactor.pack(&name, &one.chain, &one.key).unwrap();
            let whole = Certified::new(&one.chain, PrivatePkcs8KeyDer::from(one.key).into()).unwrap().key();
            let back = compactor.unpack(&name, &packed).unwrap();
            assert_eq!(back.cert, whole.cert);
            assert!(signs_for(&back), "its key is the certificate's");
            let little = packed.len() < 350;
            assert!(little || number == 0, "{} bytes for certificate {number}", packed.len());
        }
    }

    #[test]
    fn chains_with_issuers_are_families_and_there_are_not_too_many_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let ca = ca(folder.path());
        let mut compactor = Compactor::default();
        let one = issued(&ca, "a.test");
        for number in 0..=FAMILIES {
            let above = issued(&ca, &format!("issuer{number}.test"));
            let chain = format!("{}{}", one.chain, above.chain);
            let packed = compactor.pack(&[1; NONCE_LEN], &chain, &one.key);
            assert_eq!(packed.is_some(), number < FAMILIES);
            let Some(packed) = packed else { continue };
            assert_eq!(compactor.unpack(&[1; NONCE_LEN], &packed).unwrap().cert.len(), 2);
        }
    }

    #[test]
    fn what_was_changed_or_belongs_to_another_name_does_not_come_out() {
        let folder = tempfile::tempdir().unwrap();
        let ca = ca(folder.path());
        let mut compactor = Compactor::default();
        let (one, other) = (issued(&ca, "a.test"), issued(&ca, "b.test"));
        let packed = compactor.pack(&[1; NONCE_LEN], &one.chain, &one.key).unwrap();
        assert!(compactor.unpack(&[2; NONCE_LEN], &packed).is_none());
        assert!(Compactor::default().unpack(&[1; NONCE_LEN], &packed).is_none());
        assert!(compactor.pack(&[1; NONCE_LEN], &one.chain, &other.key).is_none(), "a key of another certificate");
        assert!(compactor.pack(&[1; NONCE_LEN], &one.chain, &one.key[1..]).is_none());
        assert!(compactor.pack(&[1; NONCE_LEN], "nonsense", &one.key).is_none());
        for at in 0..packed.len() {
            let mut changed = packed.to_vec();
            changed[at] ^= 1;
            assert!(compactor.unpack(&[1; NONCE_LEN], &changed).is_none(), "byte {at}");
            assert!(compactor.unpack(&[1; NONCE_LEN], &packed[..at]).is_none(), "cut off after {at}");
        }
        let (secret, _) = halves(&other.key).unwrap();
        let mixed = [&one.key[..BEFORE_SECRET.len()], secret, &one.key[BEFORE_SECRET.len() + SECRET..]].concat();
        assert!(compactor.pack(&[1; NONCE_LEN], &one.chain, &mixed).is_none(), "halves of two keys");
    }

    #[test]
    fn a_secret_is_not_to_be_read_in_what_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let one = issued(&ca(folder.path()), "a.test");
        let packed = Compactor::default().pack(&[1; NONCE_LEN], &one.chain, &one.key).unwrap();
        let (secret, _) = halves(&one.key).unwrap();
        assert!(packed.windows(8).all(|window| !secret.windows(8).any(|part| part == window)));
    }
}
