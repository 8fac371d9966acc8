//! Differential: values and texts that Python itself wrote stand in `data/`.

use std::collections::BTreeMap;

use lmcache::storage::config::python_json::PyValue;

fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(' ').expect("a row of the table"))
}

#[test]
fn floats_are_written_as_python_writes_them() {
    let mut checked = 0;
    for (bits, expected) in rows(include_str!("data/python_floats.txt")) {
        let value = f64::from_bits(u64::from_str_radix(bits, 16).expect("a row of the table"));
        assert_eq!(PyValue::Float(value).dumps(), expected, "bits {bits}");
        checked += 1;
    }
    assert!(checked > 300, "{checked}");
}

#[test]
fn strings_are_escaped_as_python_escapes_them() {
    let mut checked = 0;
    for (hex, expected) in rows(include_str!("data/python_strings.txt")) {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|pair| {
                u8::from_str_radix(std::str::from_utf8(pair).expect("a row of the table"), 16).unwrap()
            })
            .collect();
        assert_eq!(PyValue::Str(String::from_utf8(bytes).expect("a row of the table")).dumps(), expected);
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
}

/// The same tree as a `PyValue`.
fn tree(value: &serde_json::Value) -> PyValue {
    use serde_json::Value;
    match value {
        Value::Null => PyValue::None,
        Value::Bool(value) => PyValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => PyValue::Int(value),
            None => PyValue::Float(number.as_f64().expect("a row of the table")),
        },
        Value::String(text) => PyValue::Str(text.clone()),
        Value::Array(values) => PyValue::List(values.iter().map(tree).collect()),
        Value::Object(pairs) => PyValue::Dict(
            pairs.iter().map(|(key, value)| (key.clone(), tree(value))).collect::<BTreeMap<_, _>>(),
        ),
    }
}

#[test]
fn a_tree_comes_back_byte_for_byte() {
    let text = include_str!("data/python_tree.json").trim_end();
    assert_eq!(tree(&serde_json::from_str(text).expect("a row of the table")).dumps(), text);
}

proptest::proptest! {
    #[test]
    fn every_float_reads_back_as_itself(bits: u64) {
        let value = f64::from_bits(bits);
        let text = PyValue::Float(value).dumps();
        if value.is_finite() {
            proptest::prop_assert_eq!(text.parse::<f64>().expect("a row of the table").to_bits(), bits);
            proptest::prop_assert!(text.contains(['.', 'e']));
        }
    }

    #[test]
    fn every_string_is_ascii_and_reads_back_as_itself(text: String) {
        let json = PyValue::Str(text.clone()).dumps();
        proptest::prop_assert!(json.is_ascii());
        proptest::prop_assert_eq!(serde_json::from_str::<String>(&json).expect("a row of the table"), text);
    }
}
