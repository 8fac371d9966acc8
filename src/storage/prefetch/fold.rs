//! How long a prefix all rows can serve, and what each row has to keep for it.
//!
//! A row with full attention needs every chunk of the prefix; a row with a window of `w` chunks only the last
//! `w`. A window of zero or less means full attention, as in LMCache's native code.

use super::bitmap::Bitmap;

/// Which prefixes every row can serve: cell `j` is set if they can all serve the prefix of `j + 1` chunks.
pub fn fold_grouped(rows: &[Bitmap], windows: &[i64]) -> Bitmap {
    let chunks = rows.iter().map(Bitmap::len).max().unwrap_or(0);
    let mut servable = vec![true; chunks];
    for (row, window) in rows.iter().zip(windows) {
        let window = window_chunks(*window, chunks);
        let mut present_in_a_row = 0;
        for (chunk, servable) in servable.iter_mut().enumerate() {
            present_in_a_row = if row.test(chunk) { present_in_a_row + 1 } else { 0 };
            *servable &= present_in_a_row >= window.min(chunk + 1);
        }
    }
    Bitmap::from_fn(chunks, |chunk| servable[chunk])
}

/// What each row keeps to serve the first `hit_chunks` of `chunks`.
pub fn unfold_grouped(hit_chunks: usize, chunks: usize, windows: &[i64]) -> Vec<Bitmap> {
    let hit_chunks = hit_chunks.min(chunks);
    let kept = |window: &i64| {
        let first = hit_chunks - window_chunks(*window, chunks).min(hit_chunks);
        Bitmap::from_fn(chunks, |chunk| (first..hit_chunks).contains(&chunk))
    };
    windows.iter().map(kept).collect()
}

/// The longest prefix that every row can serve, and what each row keeps for it.
pub fn fold_unfold_grouped(rows: &[Bitmap], windows: &[i64]) -> (usize, Vec<Bitmap>) {
    let servable = fold_grouped(rows, windows);
    let hit_chunks = servable.highest_set_bit().map_or(0, |last| last + 1);
    (hit_chunks, unfold_grouped(hit_chunks, servable.len(), windows))
}

/// What every row has, for each row.
pub fn all_grouped(rows: &[Bitmap]) -> Vec<Bitmap> {
    let common = rows.iter().cloned().reduce(|common, row| common.and(&row));
    rows.iter().filter_map(|_| common.clone()).collect()
}

fn window_chunks(window: i64, chunks: usize) -> usize {
    if window <= 0 { chunks } else { usize::try_from(window).unwrap_or(usize::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[&str]) -> Vec<Bitmap> {
        text.iter().map(|row| Bitmap::from_fn(row.len(), |cell| row.as_bytes()[cell] == b'1')).collect()
    }

    fn kept(text: &[&str], windows: &[i64]) -> (usize, Vec<String>) {
        let (hit_chunks, kept) = fold_unfold_grouped(&rows(text), windows);
        (hit_chunks, kept.iter().map(Bitmap::to_string).collect())
    }

    #[test]
    fn full_attention_serves_the_leading_ones_of_all_rows() {
        assert_eq!(kept(&["1110", "1101"], &[-1, -1]), (2, vec!["1100".into(), "1100".into()]));
        assert_eq!(kept(&["0111"], &[-1]), (0, vec!["0000".into()]));
        assert_eq!(kept(&["0111"], &[0]).0, 0, "a window of 0 is full attention");
    }

    #[test]
    fn a_window_forgives_what_lies_before_it() {
        assert_eq!(kept(&["1111", "0011"], &[-1, 2]), (4, vec!["1111".into(), "0011".into()]));
        assert_eq!(kept(&["11111", "10110"], &[-1, 2]), (4, vec!["11110".into(), "00110".into()]));
        assert_eq!(kept(&["001"], &[1]), (3, vec!["001".into()]));
        assert_eq!(kept(&["1"], &[i64::MAX]), (1, vec!["1".into()]));
    }

    #[test]
    fn nothing_to_fold_is_no_hit() {
        assert_eq!(kept(&[], &[]), (0, vec![]));
        assert_eq!(kept(&[""], &[-1]), (0, vec![String::new()]));
        assert_eq!(all_grouped(&rows(&["110", "011"])), rows(&["010", "010"]));
    }
}
