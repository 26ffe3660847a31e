//! Decompresses bodies within limits: of size, of memory per caller, and of time at once on a thread.

use std::io::{self, BufRead, Read};

use axum::body::Bytes;
use flate2::bufread::MultiGzDecoder;
use switchtower_core::memory::Charge;

use super::body::BodyError;

/// Decompressed bytes after which other requests get the thread.
const PIECE_BYTES: usize = 256 << 10;
/// Compressed bytes after which other requests get the thread. Few of them may take long: an empty member is 20 bytes,
/// and its decoder is set up anew.
const INPUT_PIECE_BYTES: usize = 64 << 10;

/// A compressed body that blocks after [`INPUT_PIECE_BYTES`] until it is refilled.
struct Pieces<'a> {
    compressed: &'a [u8],
    /// Bytes that may still be read before it blocks.
    budget: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.budget == 0 && !self.compressed.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(&self.compressed[..self.budget.min(self.compressed.len())])
    }

    fn consume(&mut self, bytes: usize) {
        self.compressed = &self.compressed[bytes..];
        self.budget -= bytes;
    }
}

/// Decompresses a gzip body of at most `max` bytes. They are charged beside what the charge holds already, and stay
/// charged; after an error the charge is as before.
///
/// # Errors
/// `TooLarge`, `NoSpace`; `NotGzip`: the body is not in gzip's format, or ends early.
pub(crate) async fn gunzip(compressed: &[u8], max: u64, charge: &Charge) -> Result<Bytes, BodyError> {
    let before = charge.bytes();
    let plain = decompress(compressed, max, charge, before).await;
    let length = plain.as_ref().map_or(0, |plain| plain.len() as u64);
    charge.shrink(before + length);
    plain
}

async fn decompress(compressed: &[u8], max: u64, charge: &Charge, before: u64) -> Result<Bytes, BodyError> {
    let mut decoder = MultiGzDecoder::new(Pieces { compressed, budget: INPUT_PIECE_BYTES });
    let mut plain = Vec::new();
    loop {
        if plain.len() == plain.capacity() {
            // Doubled, but no more than the maximum and the one byte that shows that it is exceeded.
            let capacity = (plain.capacity() * 2)
                .max(PIECE_BYTES)
                .min(usize::try_from(max).unwrap_or(usize::MAX).saturating_add(1));
            charge.reach(before + capacity as u64)?;
            plain.reserve_exact(capacity - plain.len());
        }
        let piece = PIECE_BYTES.min(plain.capacity() - plain.len()) as u64;
        decoder.get_mut().budget = INPUT_PIECE_BYTES;
        let is_end = match decoder.by_ref().take(piece).read_to_end(&mut plain) {
            Ok(read) => read == 0,
            // What was decompressed until then is in `plain`, and the decoder goes on from there.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => return Err(BodyError::NotGzip(error.to_string())),
        };
        if plain.len() as u64 > max {
            return Err(BodyError::TooLarge(max));
        }
        if is_end {
            break;
        }
        tokio::task::yield_now().await;
    }
    plain.shrink_to_fit();
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use switchtower_core::memory::{self, MemoryAccount};
    use switchtower_core::request::Caller;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn open(share: u64) -> (MemoryAccount, Charge) {
        let account = MemoryAccount::new(&memory::Config { total: 2 * share, per_caller: share });
        let charge = account.open(&Caller::default());
        (account, charge)
    }

    #[tokio::test]
    async fn any_number_of_members_is_decompressed_and_charged_once() {
        let (account, charge) = open(1 << 30);
        charge.resize(7).unwrap();
        let plain: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        let both = [gzip(&plain), gzip(b"end")].concat();
        let read = gunzip(&both, 1 << 30, &charge).await.unwrap();
        assert_eq!(read, [plain.as_slice(), b"end"].concat());
        assert_eq!(account.total(), 7 + read.len() as u64);
        assert_eq!(gunzip(&gzip(b""), 0, &charge).await.unwrap(), "");
    }

    #[tokio::test]
    async fn other_requests_get_the_thread_between_the_pieces_of_a_body_of_nothing_but_empty_members() {
        let members = gzip(b"").repeat(50_000);
        let (_, charge) = open(1 << 30);
        let turns = Cell::new(0);
        let others = async {
            loop {
                turns.set(turns.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        let plain = tokio::select! {
            biased;
            plain = gunzip(&members, 1000, &charge) => plain,
            () = others => unreachable!("it has no end"),
        };
        assert_eq!(plain.unwrap(), "");
        assert!(turns.get() >= members.len() / INPUT_PIECE_BYTES, "{} turns", turns.get());
    }

    #[tokio::test]
    async fn a_body_is_the_same_wherever_a_piece_of_it_ends() {
        let (_, charge) = open(1 << 30);
        let plain: Vec<u8> =
            (0..40_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let body = gzip(&plain);
        // The end of the first piece moves through the last bytes of a member, its trailer, and the next header.
        for shift in 0..40 {
            let before = vec![7; INPUT_PIECE_BYTES - shift];
            let mut stored = GzEncoder::new(Vec::new(), Compression::none());
            stored.write_all(&before).unwrap();
            let both = [stored.finish().unwrap(), body.clone()].concat();
            let read = gunzip(&both, 1 << 30, &charge).await.unwrap();
            assert_eq!(read, [before, plain.clone()].concat(), "{shift}");
        }
    }

    #[tokio::test]
    async fn a_body_that_grows_beyond_its_limits_or_is_not_gzip_is_refused_and_not_charged() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        let (account, charge) = open(1 << 30);
        assert_eq!(gunzip(&bomb, 1000, &charge).await, Err(BodyError::TooLarge(1000)));
        assert_eq!(gunzip(&gzip(&[0; 1000]), 1000, &charge).await.unwrap().len(), 1000);
        charge.shrink(0);
        let (small_account, small) = open(4 << 20);
        assert!(matches!(gunzip(&bomb, 1 << 30, &small).await, Err(BodyError::NoSpace(_))));
        for broken in [b"".as_slice(), b"plain", &gzip(b"whole")[..20], &[gzip(b"a"), b"tail".to_vec()].concat()] {
            assert!(matches!(gunzip(broken, 1000, &charge).await, Err(BodyError::NotGzip(_))), "{broken:?}");
        }
        assert_eq!((account.total(), small_account.total()), (0, 0));
    }
}
