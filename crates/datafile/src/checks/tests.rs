use object_store::path::Path;
use proptest::prelude::*;

use super::*;

/// A file whose footer is `footer`, with its length and the magic behind it.
fn file(data: &[u8], footer: &[u8], step: usize) -> (StoredFile, Vec<u8>) {
    let mut summing = Summing::default();
    data.chunks(step).for_each(|part| summing.add(part));
    let mut end = footer.to_vec();
    end.extend((footer.len() as u32).to_le_bytes());
    end.extend(b"PAR1");
    let sums = summing.finish(&end);
    let footer_bytes = (sums.len() + end.len()) as u32;
    let bytes = [data, &sums, &end].concat();
    (StoredFile { path: Path::from("f"), bytes: bytes.len() as u64, footer_bytes }, bytes)
}

fn tail<'a>(file: &StoredFile, bytes: &'a [u8]) -> &'a [u8] {
    &bytes[file.data_end() as usize..]
}

fn data(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn a_file_without_sums_is_read_as_it_is() {
    let mut bytes = b"some data and a footer".to_vec();
    bytes.extend(8_u32.to_le_bytes());
    bytes.extend(b"PAR1");
    let file = StoredFile { path: Path::from("f"), bytes: bytes.len() as u64, footer_bytes: 16 };
    let checks = Checks::read(&file, tail(&file, &bytes)).expect("a footer");
    assert_eq!(checks.widened(&(3..5)), 3..5);
    assert_eq!(checks.compare(3, b"anything"), Ok(()));
}

#[test]
fn every_flipped_bit_of_sums_and_footer_is_seen() {
    let (file, bytes) = file(&data(200_000), b"the footer of the file", 1_000);
    for at in file.data_end() as usize..bytes.len() - 4 {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            assert!(Checks::read(&file, tail(&file, &damaged)).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn the_length_of_sums_is_odd() {
    for blocks in 0..70 {
        let (file, bytes) = file(&data(blocks * BLOCK_BYTES as usize), b"footer", usize::MAX);
        assert_eq!((bytes.len() as u64 - file.data_end() - 14) % 2, 1);
    }
}

proptest! {
    #[test]
    fn what_is_read_is_compared(
        length in prop_oneof![0_usize..300, 65_530_usize..65_550, 130_000_usize..200_000],
        step in 1_usize..70_000,
        places in (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let (file, mut bytes) = file(&data(length), b"footer", step);
        let checks = Checks::read(&file, tail(&file, &bytes)).expect("sound");
        let (a, b) = (places.0.index(bytes.len() + 1) as u64, places.1.index(bytes.len() + 1) as u64);
        let asked = a.min(b)..a.max(b);
        let read = checks.widened(&asked);
        prop_assert!(read.start <= asked.start && asked.end <= read.end && read.end <= bytes.len() as u64);
        prop_assert!(asked.start - read.start <= BLOCK_BYTES.max(u64::from(file.footer_bytes)));
        let place = |range: &Range<u64>| range.start as usize..range.end as usize;
        prop_assert_eq!(checks.compare(read.start, &bytes[place(&read)]), Ok(()));
        if !read.is_empty() {
            let at = place(&read).start + places.2.index(place(&read).len());
            bytes[at] ^= 0x10;
            prop_assert!(checks.compare(read.start, &bytes[place(&read)]).is_err());
        }
    }
}
