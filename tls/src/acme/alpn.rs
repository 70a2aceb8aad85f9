//! TLS-ALPN-01 (RFC 8737): the certificate that proves a name in a handshake of its own.

use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The protocol that an authority asks for; nobody else has use for it.
pub const ALPN: &[u8] = b"acme-tls/1";

/// The self-made certificate to present for `name` when ALPN is [`ALPN`]; `digest` is of the key authorisation.
///
/// # Errors
/// When `name` is not a host name.
pub fn alpn_certificate(name: &str, digest: [u8; 32]) -> Result<Arc<CertifiedKey>> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new([name.to_owned()]).context("not a host name")?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let certificate = params.self_signed(&key).context("cannot sign the challenge's certificate")?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = crate::provider().key_provider.load_private_key(key)?;
    // Not `CertifiedKey::from_der`: it reads the certificate, and stumbles over the extension that this is about.
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_for_this_name_alone_and_its_extension_is_critical() {
        let certified = alpn_certificate("ana.example", [7; 32]).unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&certified.cert[0]).unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names, [x509_parser::extensions::GeneralName::DNSName("ana.example")]);
        let identifier = leaf.extensions().iter().find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
        assert!(identifier.critical, "RFC 8737, section 3");
        assert_eq!(identifier.value, [&[4, 32][..], &[7; 32]].concat(), "an OCTET STRING of the digest");
    }
}
