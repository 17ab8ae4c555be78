//! Tokens against the tables of the corpora.

use serde_json::Value as Json;
use suyuan_testkit::corpus::Corpora;

use crate::ast::{Attribute, AttributeScope, Value};
use crate::lexer::{self, TokenKind, is_name_char};
use crate::words;

/// Texts of the table that are errors here, for an error says more than the tokens would: a unit
/// that does not exist, and a dot without a name.
const BROKEN: [&str; 2] = ["1t", ". foo"];

/// The tokens of a text by the names of the table, in which scopes and names are tokens apart.
fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for token in lexer::tokens(text) {
        match token.kind {
            TokenKind::Attribute(Attribute::Named { scope, .. }) => {
                names.push(scope_name(scope));
                names.extend(["IDENTIFIER".into(), "END_ATTRIBUTE".into()]);
            }
            TokenKind::Attribute(Attribute::Parent { scope, .. }) => {
                names.push("PARENT_DOT".into());
                if scope != AttributeScope::Any {
                    names.push(scope_name(scope));
                }
                names.extend(["IDENTIFIER".into(), "END_ATTRIBUTE".into()]);
            }
            TokenKind::Attribute(Attribute::Intrinsic(_)) => {
                let start = token.place.start as usize;
                let (scope, name) = text[start..token.place.end as usize]
                    .split_once(':')
                    .expect("other intrinsics are words");
                names.push(format!("{}_COLON", scope.to_uppercase()));
                names.push(intrinsic_name(name));
            }
            TokenKind::Word(word) => names.push(match words::literal(word) {
                None if word.starts_with("nested") || word == "duration" => intrinsic_name(word),
                _ => "IDENTIFIER".into(),
            }),
            TokenKind::Int(_) => names.push("INTEGER".into()),
            TokenKind::Float(_) => names.push("FLOAT".into()),
            TokenKind::DurationNanos(_) => names.push("DURATION".into()),
            TokenKind::Symbol(symbol) => names.push(symbol_name(symbol).into()),
            TokenKind::String(_) => names.push("STRING".into()),
            TokenKind::End => {}
            TokenKind::Broken(_) => names.push("BROKEN".into()),
        }
    }
    names
}

fn scope_name(scope: AttributeScope) -> String {
    match scope {
        AttributeScope::Any => "DOT".into(),
        _ => format!("{}_DOT", scope.spelling().to_uppercase()),
    }
}

fn intrinsic_name(name: &str) -> String {
    match name {
        "duration" => "IDURATION",
        "statusMessage" => "STATUS_MESSAGE",
        "parentID" => "PARENT_ID",
        "traceID" => "TRACE_ID",
        "spanID" => "SPAN_ID",
        _ => return name.to_uppercase(),
    }
    .into()
}

fn symbol_name(symbol: &str) -> &'static str {
    match symbol {
        "&&" => "AND",
        ">>" => "DESC",
        "!<<" => "NOT_ANCE",
        "!" => "NOT",
        "!~" => "NRE",
        "&>>" => "UNION_DESC",
        "{" => "OPEN_BRACE",
        "}" => "CLOSE_BRACE",
        "(" => "OPEN_PARENS",
        ")" => "CLOSE_PARENS",
        "," => "COMMA",
        _ => "a symbol that the table does not have",
    }
}

#[test]
fn tokens_are_those_of_the_table() {
    let Some(corpora) = Corpora::find() else { return };
    let mut n_rows = 0;
    for line in corpora.text("traceql/lexer.jsonl").lines() {
        let row: Json = serde_json::from_str(line).expect("a line of JSON");
        let text = row["input"].as_str().expect("each row has an input");
        n_rows += 1;
        if BROKEN.contains(&text) {
            assert_eq!(names(text).last().map(String::as_str), Some("BROKEN"), "{text}");
            continue;
        }
        let expected: Vec<String> =
            serde_json::from_value(row["tokens"].clone()).expect("each row has tokens");
        assert_eq!(names(text), expected, "{text}");
    }
    assert_eq!(n_rows, 114);
}

#[test]
fn durations_and_name_characters_are_those_of_the_table() {
    let Some(corpora) = Corpora::find() else { return };
    let mut n_rows = 0;
    for line in corpora.text("traceql/lexer_misc.jsonl").lines() {
        let row: Json = serde_json::from_str(line).expect("a line of JSON");
        let text = row["input"].as_str().expect("each row has an input");
        n_rows += 1;
        if row["from"] == "TestLexerParseDuration" {
            let nanos = row["expected"].as_u64().expect("a duration");
            let tokens = lexer::tokens(text);
            let TokenKind::DurationNanos(found) = tokens[0].kind else { panic!("{text}") };
            assert_eq!((found, tokens.len()), (nanos, 2), "{text}");
        } else {
            assert_eq!(!text.chars().all(is_name_char), row["expected"] == true, "{text:?}");
        }
    }
    assert_eq!(n_rows, 34);
}

#[test]
fn durations_are_of_prometheus_or_of_go() {
    let nanos = |text: &str| match &lexer::tokens(text)[0].kind {
        TokenKind::DurationNanos(nanos) => Some(*nanos),
        _ => None,
    };
    assert_eq!(nanos("1d12h"), Some(129_600_000_000_000));
    assert_eq!(nanos("1.5h"), Some(5_400_000_000_000));
    assert_eq!(nanos("1m1h"), Some(3_660_000_000_000));
    assert_eq!(nanos("2h0.5ns"), Some(7_200_000_000_000));
    assert_eq!(nanos("0.0000000000000000000000001s"), Some(0));
    // Days are whole, the largest first, each once.
    assert_eq!(nanos("1.5d"), None);
    assert_eq!(nanos("1h1d"), None);
    assert_eq!(nanos("1d1d"), None);
    assert_eq!(nanos("300y"), None);
    assert_eq!(nanos("292y"), Some(292 * 365 * 86_400_000_000_000));
}

#[test]
fn durations_are_printed_as_go_prints_them() {
    for (nanos, expected) in [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (999_999, "999.999µs"),
        (10_000_000, "10ms"),
        (1_000_000_001, "1.000000001s"),
        (60_000_000_000, "1m0s"),
        (10_800_000_000_000, "3h0m0s"),
        (-90_500_000_000, "-1m30.5s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
    ] {
        assert_eq!(Value::DurationNanos(nanos).to_string(), expected);
    }
}

#[test]
fn text_has_gos_escapes() {
    let string = |text: &str| match &lexer::tokens(text)[0].kind {
        TokenKind::String(text) => text.to_string(),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(string(r#""a\"b\\c\n\t\u00e4\U0001F600\x41\101""#), "a\"b\\c\n\tä😀AA");
    assert_eq!(string(r#""\xc3\xa4""#), "ä");
    assert_eq!(string("`a\\n\"\n`"), "a\\n\"\n");
    for broken in
        [r#""\q""#, r#""\xc3""#, r#""\ud800""#, r#""\400""#, r#""\'""#, "\"a\nb\"", "\"", "`"]
    {
        assert!(matches!(lexer::tokens(broken)[0].kind, TokenKind::Broken(_)), "{broken}");
    }
}

#[test]
fn blanks_and_comments_are_skipped() {
    assert_eq!(names("// { \n && /* ! */ && // end"), ["AND", "AND"]);
    assert_eq!(names("&& /* "), ["AND", "BROKEN"]);
}
