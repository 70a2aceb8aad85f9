use std::{sync::Arc, time::Instant};
use tls::*;
fn time(what: &str, n: u32, mut f: impl FnMut(usize)) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let s = Instant::now();
        for i in 0..n {
            f(i as usize)
        }
        best = best.min(s.elapsed().as_secs_f64() / f64::from(n) * 1e6);
    }
    println!("{what:<30} {best:.2} us");
}
fn main() {
    let folder = std::env::temp_dir().join("scratch-ca");
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let ca = LocalCa::open_or_create(&folder, "test", &[], now).unwrap();
    let mut c = Compactor::default();
    let n = 2000usize;
    let mut packed = vec![];
    let mut keys = vec![];
    for i in 0..n {
        let one = ca.issue(&[&format!("n{i}.many.test")], 90, now).unwrap();
        let mut name = [0u8; 24];
        name[..8].copy_from_slice(&(i as u64).to_be_bytes());
        let der = one.key_der.secret_pkcs8_der().to_vec();
        packed.push((name, c.pack(&name, &one.chain_pem, &der).unwrap()));
        keys.push(der);
    }
    time("unpack", 2000, |i| {
        std::hint::black_box(c.unpack(&packed[i].0, &packed[i].1).unwrap());
    });
    use rustls_pki_types::*;
    time("any_ecdsa_type", 2000, |i| {
        std::hint::black_box(
            rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&PrivateKeyDer::from(PrivatePkcs8KeyDer::from(
                &keys[i][..],
            )))
            .unwrap(),
        );
    });
    let key = c.unpack(&packed[0].0, &packed[0].1).unwrap();
    let s = key.key.choose_scheme(&[rustls::SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
    time("sign", 2000, |_| {
        std::hint::black_box(s.sign(b"0123456789012345678901234567890123456789").unwrap());
    });
    let base = server_config(Arc::new(Resolver::new()), &["h2", "http/1.1"]).unwrap();
    time("serving", 20000, |_| {
        std::hint::black_box(serving(&base, key.clone()));
    });
}
