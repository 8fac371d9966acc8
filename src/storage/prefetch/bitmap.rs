//! Fixed-width bitmaps: which cells of a row were found, hit or kept.

use std::fmt;
use std::ops::{Deref, DerefMut};

use smallvec::SmallVec;

const WORD_BITS: usize = u64::BITS as usize;

/// Rows of up to 128 cells are kept in the bitmap itself.
const USUAL_WORDS: usize = 2;

/// The rows of a request, a bitmap for each; the only row of a usual one lies here itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(SmallVec<[Bitmap; 1]>);

impl Rows {
    /// `rows` times the same.
    pub fn of(row: Bitmap, rows: usize) -> Self {
        Self(SmallVec::from_elem(row, rows))
    }
}

impl FromIterator<Bitmap> for Rows {
    fn from_iter<I: IntoIterator<Item = Bitmap>>(rows: I) -> Self {
        Self(rows.into_iter().collect())
    }
}

impl Deref for Rows {
    type Target = [Bitmap];

    fn deref(&self) -> &[Bitmap] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Rows {
    type Item = &'a Bitmap;
    type IntoIter = std::slice::Iter<'a, Bitmap>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl DerefMut for Rows {
    fn deref_mut(&mut self) -> &mut [Bitmap] {
        &mut self.0
    }
}

/// One bit per cell, cell 0 first. LMCache's `Bitmap`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: SmallVec<[u64; USUAL_WORDS]>,
    len: usize,
}

impl Bitmap {
    /// `len` cells, none of them set.
    pub fn new(len: usize) -> Self {
        Self { words: SmallVec::from_elem(0, len.div_ceil(WORD_BITS)), len }
    }

    /// `len` cells, all of them set.
    pub fn filled(len: usize) -> Self {
        let mut bitmap = Self { words: SmallVec::from_elem(u64::MAX, len.div_ceil(WORD_BITS)), len };
        if let Some(last) = bitmap.words.last_mut() {
            *last >>= len.div_ceil(WORD_BITS) * WORD_BITS - len;
        }
        bitmap
    }

    /// `len` cells, of which `set` says which are set.
    pub fn from_fn(len: usize, mut set: impl FnMut(usize) -> bool) -> Self {
        let mut bitmap = Self::new(len);
        (0..len).filter(|cell| set(*cell)).for_each(|cell| bitmap.set(cell));
        bitmap
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no cell.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a cell; one that is not there is ignored.
    pub fn set(&mut self, cell: usize) {
        if cell < self.len {
            self.words[cell / WORD_BITS] |= 1 << (cell % WORD_BITS);
        }
    }

    /// Takes a cell out; one that is not there is ignored.
    pub fn unset(&mut self, cell: usize) {
        if cell < self.len {
            self.words[cell / WORD_BITS] &= !(1 << (cell % WORD_BITS));
        }
    }

    /// Sets every cell that `other` has set and this bitmap has at all.
    pub fn add(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
        // A wider one can have set bits past our end in the last word.
        let spare = self.words.len() * WORD_BITS - self.len;
        if let Some(last) = self.words.last_mut() {
            *last &= u64::MAX >> spare;
        }
    }

    /// Whether a cell is there and set.
    pub fn test(&self, cell: usize) -> bool {
        cell < self.len && self.words[cell / WORD_BITS] >> (cell % WORD_BITS) & 1 == 1
    }

    /// How many cells are set.
    pub fn popcount(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The last cell that is set.
    pub fn highest_set_bit(&self) -> Option<usize> {
        let word = self.words.iter().rposition(|word| *word != 0)?;
        Some(word * WORD_BITS + self.words[word].ilog2() as usize)
    }

    /// The cells that both have set, as wide as the narrower of the two.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let words = self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect();
        // Bits past the end are zero in the narrower one, so they are in the result.
        Self { words, len: self.len.min(other.len) }
    }

    /// The cells of this one that are not set in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let others = other.words.iter().chain(std::iter::repeat(&0));
        let words = self.words.iter().zip(others).map(|(word, other)| word & !other).collect();
        Self { words, len: self.len }
    }

    /// The cells that are set, in order.
    pub fn ones(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(position, word)| {
            let rest = std::iter::successors(Some(*word), |word| Some(word & word.wrapping_sub(1)));
            rest.take_while(|word| *word != 0)
                .map(move |word| position * WORD_BITS + word.trailing_zeros() as usize)
        })
    }
}

impl fmt::Display for Bitmap {
    /// One `0` or `1` per cell, cell 0 first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.len).try_for_each(|cell| f.write_str(if self.test(cell) { "1" } else { "0" }))
    }
}

impl fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bitmap({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_past_the_end_are_ignored_and_words_have_no_seam() {
        let mut bitmap = Bitmap::new(130);
        [0, 63, 64, 129, 130, usize::MAX].into_iter().for_each(|cell| bitmap.set(cell));
        assert_eq!(bitmap.ones().collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert_eq!((bitmap.popcount(), bitmap.highest_set_bit()), (4, Some(129)));
        assert!(!bitmap.test(130));
        assert_eq!(Bitmap::new(7).highest_set_bit(), None);
        for len in [0, 1, 63, 64, 65, 128] {
            assert_eq!(Bitmap::filled(len), Bitmap::from_fn(len, |_| true));
        }
    }

    #[test]
    fn and_is_as_narrow_as_the_narrower_and_prints_cell_0_first() {
        let odd = Bitmap::from_fn(70, |cell| cell % 2 == 1);
        let low = Bitmap::from_fn(5, |cell| cell < 4);
        assert_eq!(odd.and(&low).to_string(), "01010");
        assert_eq!(low.without(&odd).to_string(), "10100");
        assert_eq!(odd.without(&low).popcount(), 33);
    }

    #[test]
    fn adding_a_wider_one_sets_nothing_past_the_end() {
        let mut narrow = Bitmap::new(3);
        narrow.add(&Bitmap::from_fn(200, |_| true));
        assert_eq!((narrow.popcount(), narrow.highest_set_bit()), (3, Some(2)));
        narrow.unset(1);
        narrow.unset(7);
        assert_eq!(narrow.ones().collect::<Vec<_>>(), [0, 2]);
        Bitmap::new(0).add(&narrow);
    }
}
