//! What is read of a certificate without trusting it: its fingerprint, and from when to when it holds.
//!
//! Certificates are made and verified by libraries. These tell neither a certificate's end nor its fingerprint, which
//! operators and monitors ask for; the few bytes of DER on the way there are read here.

use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::{hex, ids, sha256_hex, unhex};

/// From when to when a certificate holds, Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub from_s: i64,
    /// Last second.
    pub until_s: i64,
}

/// When a certificate that lasts so long from now on is renewed: at two thirds of that, or up to a twentieth of it earlier, so
/// that those that were issued together are not renewed together. Seconds from now.
pub fn renewal_s(lasts_s: i64) -> i64 {
    let jitter = ids::secret::<1>().map(|[byte]| i64::from(byte)).unwrap_or_default();
    lasts_s * 2 / 3 - lasts_s * jitter / (255 * 20)
}

/// SHA-256 of a certificate in DER, as `openssl x509 -fingerprint -sha256` has it: 64 hexadecimal digits, here without
/// colons and in lower case.
pub fn fingerprint(der: &[u8]) -> String {
    sha256_hex(der)
}

/// A fingerprint as people paste it, with colons or without, in the form of [`fingerprint`]; `None` = it is none.
pub fn read_fingerprint(text: &str) -> Option<String> {
    let digits: String = text.trim().chars().filter(|c| *c != ':').collect();
    unhex::<32>(&digits).map(|bytes| hex(&bytes))
}

/// The first certificate of a PEM text, in DER; `None` = there is none.
pub fn first_in_pem(pem: &str) -> Option<Vec<u8>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok().map(|der| der.to_vec())
}

/// All certificates of a PEM text, in DER; `None` = there is none, or one is damaged.
pub fn all_in_pem(pem: &str) -> Option<Vec<Vec<u8>>> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| der.ok().map(|der| der.to_vec()));
    all.collect::<Option<Vec<_>>>().filter(|all| !all.is_empty())
}

/// From when to when a certificate in DER holds; `None` = it is no certificate.
///
/// RFC 5280, section 4.1: `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { [0] version, serialNumber, signature,
/// issuer, validity SEQUENCE { notBefore, notAfter }, ... } ... }`.
pub fn validity(der: &[u8]) -> Option<Validity> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    const VERSION: u8 = 0xa0;
    let inside = |from| match element(from)? {
        (SEQUENCE, content, _) => Some(content),
        _ => None,
    };
    let mut rest = inside(inside(der)?)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    for expected in [INTEGER, SEQUENCE, SEQUENCE] {
        let (tag, _, after) = element(rest)?;
        if tag != expected {
            return None;
        }
        rest = after;
    }
    let (from, after) = time(inside(rest)?)?;
    let (until, _) = time(after)?;
    Some(Validity { from_s: from, until_s: until })
}

/// Tag and content of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], mut rest) = der.split_first_chunk::<2>()?;
    let mut len = usize::from(first);
    if first >= 0x80 {
        let bytes = usize::from(first & 0x7f);
        // Longer than any certificate, or of no length in advance, which DER has not.
        if bytes == 0 || bytes > 3 {
            return None;
        }
        let (digits, after) = rest.split_at_checked(bytes)?;
        len = digits.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(len)?;
    Some((tag, content, after))
}

/// `UTCTime` (two digits of the year, 1950 to 2049) or `GeneralizedTime`; Unix seconds and what follows.
fn time(der: &[u8]) -> Option<(i64, &[u8])> {
    const UTC: u8 = 0x17;
    const GENERALIZED: u8 = 0x18;
    let (tag, text, after) = element(der)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let text = match (tag, text.len()) {
        (UTC, 12) if text < "50" => format!("20{text}"),
        (UTC, 12) => format!("19{text}"),
        (GENERALIZED, 14) => text.to_owned(),
        _ => return None,
    };
    let two = |at: usize| text[at..at + 2].parse::<i8>().ok();
    let year = text[..4].parse::<i16>().ok()?;
    let at = jiff::civil::DateTime::new(year, two(4)?, two(6)?, two(8)?, two(10)?, two(12)?, 0).ok()?;
    Some((jiff::tz::TimeZone::UTC.to_timestamp(at).ok()?.as_second(), after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn made(from: i32, until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["gw.lab".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 3, 1);
        params.not_after = date_time_ymd(until, 12, 31);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn noon(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_second()
    }

    #[test]
    fn both_ends_are_read_in_both_forms_of_time() {
        let of = validity(&made(2026, 2049)).unwrap();
        assert_eq!((of.from_s, of.until_s), (noon("2026-03-01T00:00:00Z"), noon("2049-12-31T00:00:00Z")));
        let of = validity(&made(1975, 4096)).unwrap();
        assert_eq!((of.from_s, of.until_s), (noon("1975-03-01T00:00:00Z"), noon("4096-12-31T00:00:00Z")));
    }

    #[test]
    fn a_fingerprint_is_taken_as_people_paste_it() {
        let print = fingerprint(b"x");
        let colons: Vec<String> =
            print.to_uppercase().as_bytes().chunks(2).map(|two| String::from_utf8_lossy(two).into()).collect();
        assert_eq!(read_fingerprint(&format!(" {}\n", colons.join(":"))), Some(print.clone()));
        assert_eq!(read_fingerprint(&print), Some(print.clone()));
        assert_eq!(read_fingerprint(&print[1..]), None);
        assert_eq!(read_fingerprint("SHA256:abc"), None);
    }

    proptest! {
        #[test]
        fn damaged_certificates_are_no_certificates_and_no_panic(at in 0usize..400, byte in any::<u8>(), cut in 0usize..600) {
            let mut der = made(2026, 2049);
            let len = der.len();
            der[at % len] = byte;
            der.truncate(cut.max(1));
            let _ = validity(&der);
        }
    }
}
