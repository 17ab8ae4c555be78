//! What the strict reader takes and what it refuses.

use super::*;

fn number(digits: &str) -> Json {
    Json::Number(digits.to_owned())
}

#[test]
fn keeps_order_repetitions_and_digits() {
    let tree = parse(r#" {"b": 1.10, "a": [true, null, -0.0e+5], "b": "x"} "#).unwrap();
    let expected = Json::Object(vec![
        ("b".to_owned(), number("1.10")),
        ("a".to_owned(), Json::List(vec![Json::Bool(true), Json::Null, number("-0.0e+5")])),
        ("b".to_owned(), Json::Text("x".to_owned())),
    ]);
    assert_eq!(tree, expected);
}

#[test]
fn resolves_escapes() {
    let tree = parse(r#""\u0000 \"\\\/\b\f\n\r\t 溯 \u6eaf \ud83d\ude00""#).unwrap();
    assert_eq!(tree, Json::Text("\0 \"\\/\u{8}\u{c}\n\r\t 溯 溯 😀".to_owned()));
}

#[test]
fn refuses_what_is_not_json() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\"}",
        "{\"a\":1,}",
        "01",
        "1.",
        "1e",
        "+1",
        "NaN",
        "nul",
        "\"",
        "\"\t\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\u12\"",
        "1 2",
        "'a'",
        "-",
    ] {
        assert!(parse(text).is_err(), "accepted {text:?}");
    }
    assert!(parse(&"[".repeat(100_000)).is_err());
}

#[test]
fn written_strings_read_back() {
    for text in ["", "plain", "\"\\\u{0}\u{1f}\u{7f}", "溯源 😀"] {
        let mut out = String::new();
        write_string(&mut out, text);
        assert_eq!(parse(&out), Ok(Json::Text(text.to_owned())));
    }
}
