//! RESP2, the protocol of Redis and Valkey, as far as an object store needs it: commands to bytes, and the first
//! line of a reply to what it says. Pure; [`connection`](super::connection) moves the bytes.

use std::io::Write;

/// The first line of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Head<'a> {
    /// `+OK`.
    Simple(&'a [u8]),
    /// `-ERR what is wrong`: the command was refused, and nothing else is.
    Error(&'a [u8]),
    /// `:1`.
    Integer(i64),
    /// `$5`: so many bytes follow, and a line's end.
    Bulk(u64),
    /// `$-1`: there is no such value.
    Nil,
    /// `*2`: so many replies follow, one behind the other.
    Array(u64),
}

/// What a line without its end says; `None` if it is not the first line of a reply to one of our commands.
pub(super) fn parse_head(line: &[u8]) -> Option<Head<'_>> {
    let (kind, rest) = line.split_first()?;
    match kind {
        b'+' => Some(Head::Simple(rest)),
        b'-' => Some(Head::Error(rest)),
        b':' => integer(rest).map(Head::Integer),
        b'$' => match integer(rest)? {
            -1 => Some(Head::Nil),
            bytes => u64::try_from(bytes).ok().map(Head::Bulk),
        },
        b'*' => integer(rest).and_then(|count| u64::try_from(count).ok()).map(Head::Array),
        _ => None,
    }
}

/// Digits, and a sign in front of them; no more than 64 bits hold.
fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}

/// Appends a command of these words.
pub(super) fn push_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    push_count(out, b'*', words.len());
    words.iter().for_each(|word| push_bulk(out, word));
}

/// Appends a `SET` up to the bytes of its value, of which there are `value_bytes`. They come next, and [`END`].
pub(super) fn push_set(out: &mut Vec<u8>, key: &[u8], value_bytes: usize) {
    push_count(out, b'*', 3);
    push_bulk(out, b"SET");
    push_bulk(out, key);
    push_count(out, b'$', value_bytes);
}

/// What ends a line, and a value.
pub(super) const END: &[u8; 2] = b"\r\n";

fn push_count(out: &mut Vec<u8>, kind: u8, count: usize) {
    out.push(kind);
    // A `Vec` takes all that it is given.
    let _ = write!(out, "{count}\r\n");
}

fn push_bulk(out: &mut Vec<u8>, word: &[u8]) {
    push_count(out, b'$', word.len());
    out.extend_from_slice(word);
    out.extend_from_slice(END);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redis::Value;

    use super::*;

    #[test]
    fn commands_are_lmcaches_byte_for_byte() {
        let mut out = Vec::new();
        push_command(&mut out, &[b"GET", b"m@00000000@0@01"]);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$15\r\nm@00000000@0@01\r\n");
        out.clear();
        push_set(&mut out, b"k", 1_048_576);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\n");
    }

    #[test]
    fn lengths_are_taken_to_the_limit() {
        assert_eq!(parse_head(b"$9223372036854775807"), Some(Head::Bulk(i64::MAX as u64)));
        assert_eq!(parse_head(b"$0"), Some(Head::Bulk(0)));
        assert_eq!(parse_head(b"$-1"), Some(Head::Nil));
        assert_eq!(parse_head(b"*2"), Some(Head::Array(2)));
        for bad in [
            "$9223372036854775808",
            "$-2",
            "$",
            "$+1",
            "$ 1",
            "$1 ",
            ":",
            ":-",
            ":1.5",
            "*-1",
            "*",
            "_",
            "",
            "HTTP/1.1 400",
        ] {
            assert_eq!(parse_head(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse_head(b":9223372036854775807"), Some(Head::Integer(i64::MAX)));
        assert_eq!(parse_head(b":9223372036854775808"), None);
    }

    /// What the `redis` crate reads in the same reply.
    fn oracle(reply: &[u8]) -> Option<Value> {
        redis::parse_redis_value(reply).ok()
    }

    proptest! {
        #[test]
        fn commands_are_what_the_redis_crate_packs(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..5)) {
            let mut out = Vec::new();
            push_command(&mut out, &words.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let mut command = redis::Cmd::new();
            words.iter().for_each(|word| { command.arg(&word[..]); });
            prop_assert_eq!(out, command.get_packed_command());
        }

        #[test]
        fn replies_say_what_the_redis_crate_reads(number in any::<i64>(), text in "[ -~]{0,40}") {
            let line = format!(":{number}");
            prop_assert_eq!(parse_head(line.as_bytes()), Some(Head::Integer(number)));
            prop_assert_eq!(oracle(format!("{line}\r\n").as_bytes()), Some(Value::Int(number)));
            let line = format!("+{text}");
            prop_assert_eq!(parse_head(line.as_bytes()), Some(Head::Simple(text.as_bytes())));
            let expected = if text == "OK" { Value::Okay } else { Value::SimpleString(text) };
            prop_assert_eq!(oracle(format!("{line}\r\n").as_bytes()), Some(expected));
        }
    }
}
