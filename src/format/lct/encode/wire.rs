//! msgpack's shortest forms, appended to bytes in memory: the forms that LMCache's encoder writes.
//!
//! A string, blob or list that is longer than msgpack can say is longer than a frame, too. Its length is written as
//! the largest there is, and the frame around it is refused when it is closed.

use rmp::Marker;

/// The longest string, list and map whose length fits into the first byte.
const MAX_FIX_STR_BYTES: usize = 31;
const MAX_FIX_ELEMENTS: usize = 15;

#[inline]
pub(super) fn nil(out: &mut Vec<u8>) {
    out.push(Marker::Null.to_u8());
}

#[inline]
pub(super) fn boolean(value: bool, out: &mut Vec<u8>) {
    out.push(if value { Marker::True } else { Marker::False }.to_u8());
}

/// A whole number: the shortest form, unsigned unless it is negative.
#[inline]
pub(super) fn int(value: i64, out: &mut Vec<u8>) {
    match u64::try_from(value) {
        Ok(value) => uint(value, out),
        Err(_) => negative(value, out),
    }
}

#[inline]
pub(super) fn uint(value: u64, out: &mut Vec<u8>) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => out.extend_from_slice(&[Marker::U8.to_u8(), value as u8]),
        0x100..=0xffff => marked(Marker::U16, (value as u16).to_be_bytes(), out),
        0x1_0000..=0xffff_ffff => marked(Marker::U32, (value as u32).to_be_bytes(), out),
        _ => marked(Marker::U64, value.to_be_bytes(), out),
    }
}

fn negative(value: i64, out: &mut Vec<u8>) {
    if value >= -32 {
        out.push(value as u8);
    } else if let Ok(value) = i8::try_from(value) {
        marked(Marker::I8, value.to_be_bytes(), out);
    } else if let Ok(value) = i16::try_from(value) {
        marked(Marker::I16, value.to_be_bytes(), out);
    } else if let Ok(value) = i32::try_from(value) {
        marked(Marker::I32, value.to_be_bytes(), out);
    } else {
        marked(Marker::I64, value.to_be_bytes(), out);
    }
}

/// A number that Python holds as a float: eight bytes, whatever its value.
#[inline]
pub(super) fn float(value: f64, out: &mut Vec<u8>) {
    marked(Marker::F64, value.to_be_bytes(), out);
}

#[inline]
pub(super) fn str(text: &str, out: &mut Vec<u8>) {
    str_head(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// The head of a string of so many bytes, which the caller appends.
#[inline]
pub(super) fn str_head(len_bytes: usize, out: &mut Vec<u8>) {
    match len_bytes {
        0..=MAX_FIX_STR_BYTES => out.push(Marker::FixStr(len_bytes as u8).to_u8()),
        0x20..=0xff => out.extend_from_slice(&[Marker::Str8.to_u8(), len_bytes as u8]),
        _ => long_head(len_bytes, Marker::Str16, Marker::Str32, out),
    }
}

#[inline]
pub(super) fn bin(bytes: &[u8], out: &mut Vec<u8>) {
    match u8::try_from(bytes.len()) {
        Ok(len_bytes) => out.extend_from_slice(&[Marker::Bin8.to_u8(), len_bytes]),
        Err(_) => long_head(bytes.len(), Marker::Bin16, Marker::Bin32, out),
    }
    out.extend_from_slice(bytes);
}

#[inline]
pub(super) fn array(elements: usize, out: &mut Vec<u8>) {
    match elements {
        0..=MAX_FIX_ELEMENTS => out.push(Marker::FixArray(elements as u8).to_u8()),
        _ => long_head(elements, Marker::Array16, Marker::Array32, out),
    }
}

#[inline]
pub(super) fn map(entries: usize, out: &mut Vec<u8>) {
    match entries {
        0..=MAX_FIX_ELEMENTS => out.push(Marker::FixMap(entries as u8).to_u8()),
        _ => long_head(entries, Marker::Map16, Marker::Map32, out),
    }
}

fn long_head(length: usize, two_bytes: Marker, four_bytes: Marker, out: &mut Vec<u8>) {
    match u16::try_from(length) {
        Ok(length) => marked(two_bytes, length.to_be_bytes(), out),
        Err(_) => marked(four_bytes, u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes(), out),
    }
}

#[inline]
fn marked<const N: usize>(marker: Marker, big_endian: [u8; N], out: &mut Vec<u8>) {
    out.push(marker.to_u8());
    out.extend_from_slice(&big_endian);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn whole_numbers_take_the_shortest_form_on_both_sides_of_each_limit() {
        let forms: [(i64, &[u8]); 18] = [
            (0, b"\x00"),
            (0x7f, b"\x7f"),
            (0x80, b"\xcc\x80"),
            (0xff, b"\xcc\xff"),
            (0x100, b"\xcd\x01\x00"),
            (0xffff, b"\xcd\xff\xff"),
            (0x1_0000, b"\xce\x00\x01\x00\x00"),
            (0xffff_ffff, b"\xce\xff\xff\xff\xff"),
            (0x1_0000_0000, b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00"),
            (-1, b"\xff"),
            (-32, b"\xe0"),
            (-33, b"\xd0\xdf"),
            (-128, b"\xd0\x80"),
            (-129, b"\xd1\xff\x7f"),
            (-32_768, b"\xd1\x80\x00"),
            (-32_769, b"\xd2\xff\xff\x7f\xff"),
            (i64::from(i32::MIN), b"\xd2\x80\x00\x00\x00"),
            (i64::from(i32::MIN) - 1, b"\xd3\xff\xff\xff\xff\x7f\xff\xff\xff"),
        ];
        for (value, form) in forms {
            assert_eq!(written(|out| int(value, out)), form, "{value}");
        }
        assert_eq!(written(|out| uint(u64::MAX, out)), b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    }

    #[test]
    fn lengths_take_the_shortest_form_on_both_sides_of_each_limit() {
        let str_heads: [(usize, &[u8]); 6] = [
            (31, b"\xbf"),
            (32, b"\xd9\x20"),
            (255, b"\xd9\xff"),
            (256, b"\xda\x01\x00"),
            (65_535, b"\xda\xff\xff"),
            (65_536, b"\xdb\x00\x01\x00\x00"),
        ];
        for (len_bytes, head) in str_heads {
            assert_eq!(written(|out| str_head(len_bytes, out)), head);
        }
        for (len_bytes, head) in
            [(255, &b"\xc4\xff"[..]), (256, b"\xc5\x01\x00"), (65_536, b"\xc6\x00\x01\x00\x00")]
        {
            assert!(written(|out| bin(&vec![7; len_bytes], out)).starts_with(head));
        }
        for (elements, array_head, map_head) in [
            (15, &b"\x9f"[..], &b"\x8f"[..]),
            (16, b"\xdc\x00\x10", b"\xde\x00\x10"),
            (65_536, b"\xdd\x00\x01\x00\x00", b"\xdf\x00\x01\x00\x00"),
        ] {
            assert_eq!(written(|out| array(elements, out)), array_head);
            assert_eq!(written(|out| map(elements, out)), map_head);
        }
    }
}
