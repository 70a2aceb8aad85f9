//! Signs with the secret number of a P-256 key alone.
//!
//! A library that is given a key proves that its two halves belong together, which costs two thirds of a signature. That is proved when a
//! certificate is packed, and its seal says that nothing has changed since: so a handshake need not prove it again. The library that
//! signs everywhere else signs here too; its Rust interface has no way to leave the proof out, its C interface has.

use std::ffi::c_uint;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_sys as c;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
/// Two numbers of 33 bytes at most, and what DER says around them.
const SIGNATURE_MAX: usize = 72;

/// A secret number, ready to sign with.
#[derive(Clone, Debug)]
pub(super) struct Secret(Arc<Key>);

#[derive(Debug)]
struct Key(NonNull<c::EC_KEY>);

// SAFETY: nobody else has the pointer, and after it is made the key is only read; the library allows that from several threads at once.
unsafe impl Send for Key {}
// SAFETY: as above.
unsafe impl Sync for Key {}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: it is ours, and freed once; the library wipes what it frees.
        unsafe { c::EC_KEY_free(self.0.as_ptr()) }
    }
}

impl Secret {
    /// Of the big-endian number; none when it is no number of this curve's.
    pub(super) fn new(number: &[u8]) -> Option<Self> {
        // SAFETY: what is made is freed in any case (the number at the end, the key by `Key`), and read within its length.
        unsafe {
            let key = Key(NonNull::new(c::EC_KEY_new_by_curve_name(c::NID_X9_62_prime256v1))?);
            let number = NonNull::new(c::BN_bin2bn(number.as_ptr(), number.len(), ptr::null_mut()))?;
            // Refuses nought and whatever is not below the order of the curve.
            let taken = c::EC_KEY_set_private_key(key.0.as_ptr(), number.as_ptr());
            c::BN_clear_free(number.as_ptr());
            (taken == 1 && c::ECDSA_size(key.0.as_ptr()) <= SIGNATURE_MAX).then(|| Self(Arc::new(key)))
        }
    }
}

impl SigningKey for Secret {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SCHEME).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Secret {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let digest = digest(&SHA256, message);
        let (mut signature, mut length) = (vec![0; SIGNATURE_MAX], 0 as c_uint);
        // SAFETY: the signature has room for the longest one of this key, as `new` has looked; the digest is read within its length.
        let signed = unsafe {
            let digest = digest.as_ref();
            c::ECDSA_sign(0, digest.as_ptr(), digest.len(), signature.as_mut_ptr(), &raw mut length, self.0.0.as_ptr())
        };
        if signed != 1 {
            return Err(Error::General("signing failed".to_owned()));
        }
        signature.truncate(length as usize);
        Ok(signature)
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsBigEndian;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    #[test]
    fn what_it_signs_the_public_half_verifies_and_nothing_else() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let secret = Secret::new(pair.private_key().as_be_bytes().unwrap().as_ref()).unwrap();
        assert!(secret.choose_scheme(&[SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP384_SHA384]).is_none());
        let signer = secret.choose_scheme(&[SignatureScheme::ED25519, SCHEME]).unwrap();
        let public = aws_lc_rs::signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key());
        // Signatures differ in length: many are made.
        for number in 0..200_u8 {
            let signature = signer.sign(&[number; 130]).unwrap();
            public.verify(&[number; 130], &signature).unwrap();
            assert!(public.verify(&[number; 131], &signature).is_err());
        }
    }

    #[test]
    fn what_is_no_secret_of_this_curve_is_refused() {
        let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
        let mut below = order.clone();
        *below.last_mut().unwrap() -= 1;
        for (number, good) in
            [(&below[..], true), (&[1], true), (&order, false), (&[0; 32], false), (&[], false), (&[0xff; 40], false)]
        {
            assert_eq!(Secret::new(number).is_some(), good, "{number:?}");
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
    }
}
