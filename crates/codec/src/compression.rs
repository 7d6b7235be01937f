//! Capped gzip and zstd.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use crate::Error;

/// First bytes of a gzip member (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// First bytes of a zstd frame (RFC 8878).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The first allocation for the output; it doubles from there.
const CHUNK: usize = 64 << 10;
/// RFC 8878 asks decoders for windows of 8 MiB; the format's usual end is 128 MiB.
const WINDOW_LOG: std::ops::RangeInclusive<u32> = 23..=27;

/// The plain body: gzip (all members) and zstd (all frames) are recognised by their first bytes.
///
/// Never holds more than `bytes_max` bytes of output.
pub fn decompress(body: Bytes, bytes_max: u64) -> Result<Bytes, Error> {
    if body.starts_with(&GZIP) {
        return read_capped(MultiGzDecoder::new(&body[..]), "gzip", bytes_max);
    }
    if body.starts_with(&ZSTD) {
        let broken = |error: io::Error| Error::Compression { encoding: "zstd", reason: error.to_string() };
        let mut decoder = zstd::stream::read::Decoder::with_buffer(&body[..]).map_err(broken)?;
        let window_log =
            (u64::BITS - bytes_max.leading_zeros()).clamp(*WINDOW_LOG.start(), *WINDOW_LOG.end());
        decoder.window_log_max(window_log).map_err(broken)?;
        return read_capped(decoder, "zstd", bytes_max);
    }
    Ok(body)
}

/// Reads to the end; the buffer grows to one byte above the cap at most, which tells "full" from "too much".
fn read_capped(mut reader: impl Read, encoding: &'static str, bytes_max: u64) -> Result<Bytes, Error> {
    let cap = usize::try_from(bytes_max).unwrap_or(usize::MAX).saturating_add(1);
    let mut plain = Vec::new();
    let mut filled = 0;
    loop {
        if filled == plain.len() {
            if filled == cap {
                return Err(Error::DecompressedTooLarge { bytes_max });
            }
            let target = filled.saturating_mul(2).clamp(CHUNK.min(cap), cap);
            plain.reserve_exact(target - filled);
            plain.resize(target, 0);
        }
        match reader.read(&mut plain[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Compression { encoding, reason: error.to_string() }),
        }
    }
    plain.truncate(filled);
    Ok(Bytes::from(plain))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        zstd::encode_all(plain, 1).expect("memory")
    }

    #[test]
    fn a_plain_body_passes_without_a_copy() {
        let body = Bytes::from_static(b"cpu v=1");
        let plain = decompress(body.clone(), 3).expect("plain");
        assert_eq!(plain.as_ptr(), body.as_ptr());
    }

    #[test]
    fn all_members_and_frames_are_read() {
        for pack in [gzip, zstd] {
            let body = [pack(b"cpu v=1\n"), pack(b""), pack(b"cpu v=2\n")].concat();
            assert_eq!(decompress(body.into(), 100).expect("valid"), "cpu v=1\ncpu v=2\n");
        }
    }

    #[test]
    fn the_cap_is_inclusive() {
        for pack in [gzip, zstd] {
            let body = Bytes::from(pack(&[7; 1000]));
            assert_eq!(decompress(body.clone(), 1000).expect("fits").len(), 1000);
            let error = decompress(body, 999).expect_err("one byte too much");
            assert!(matches!(error, Error::DecompressedTooLarge { bytes_max: 999 }), "{error}");
        }
    }

    #[test]
    fn a_bomb_ends_at_the_cap() {
        for pack in [gzip, zstd] {
            let bomb = Bytes::from(pack(&vec![0; 16 << 20]));
            assert!(bomb.len() < 1 << 20);
            let error = decompress(bomb, 4096).expect_err("16 MiB");
            assert!(matches!(error, Error::DecompressedTooLarge { bytes_max: 4096 }), "{error}");
        }
    }

    #[test]
    fn truncated_and_trailing_bytes_are_errors() {
        for (pack, name) in [(gzip as fn(&[u8]) -> Vec<u8>, "gzip"), (zstd, "zstd")] {
            let whole = pack(b"cpu v=1\n");
            for end in 4..whole.len() {
                let error = decompress(whole[..end].to_vec().into(), 100).expect_err("truncated");
                assert!(
                    matches!(error, Error::Compression { encoding, .. } if encoding == name),
                    "{end}: {error}"
                );
            }
            let error = decompress([&whole[..], b"garbage"].concat().into(), 100).expect_err("garbage");
            assert!(matches!(error, Error::Compression { encoding, .. } if encoding == name), "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_stay_below_the_cap(
            kind in 0..3usize,
            body in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let magic: &[u8] = [&[][..], &[0x1f, 0x8b, 8], &ZSTD][kind];
            let body = [magic, &body].concat();
            if let Ok(plain) = decompress(body.clone().into(), 1000) {
                prop_assert!(plain.len() <= 1000 || plain == body);
            }
        }
    }
}
