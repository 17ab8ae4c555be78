//! What patterns of Go match, and what is wrong with others.

use expect_test::{Expect, expect};
use regex::Regex;

use super::rewrite;

/// Whether the pattern matches the whole of each text, as queries ask.
fn check(pattern: &str, yes: &[&str], no: &[&str]) {
    let rewritten = rewrite(pattern).unwrap_or_else(|wrong| panic!("{pattern}: {wrong}"));
    let regex = Regex::new(&format!("^(?s:{rewritten})$")).expect("it was checked");
    for text in yes {
        assert!(regex.is_match(text), "{pattern} does not match {text:?}");
    }
    for text in no {
        assert!(!regex.is_match(text), "{pattern} matches {text:?}");
    }
}

fn wrong(pattern: &str, expected: Expect) {
    expected.assert_eq(&rewrite(pattern).expect_err("it is not valid").to_string());
}

#[test]
fn most_patterns_mean_the_same() {
    check("a.*b", &["ab", "axxb", "a\nb"], &["xab", "abx"]);
    check("us-(east|west)-[12]", &["us-east-1"], &["us-east-3", "us-east-"]);
    check("(?i)get", &["GET", "get"], &["got"]);
    check("a{2,3}?b*", &["aa", "aaab"], &["a"]);
    check("", &[""], &["a"]);
    check("a|b|", &["a", "b", ""], &["ab"]);
    check(r"(?P<x>a)(?<y>b)(?:c)", &["abc"], &[]);
}

#[test]
fn a_brace_that_counts_nothing_is_a_brace() {
    check("/users/{id}", &["/users/{id}"], &["/users/id"]);
    check("/users/{id}/.*", &["/users/{id}/x"], &[]);
    check("a{,3}", &["a{,3}"], &["aaa"]);
    check("a{2", &["a{2"], &[]);
}

#[test]
fn classes_are_ascii_and_hold_what_stands_in_them() {
    check(r"\d+", &["12"], &["٣"]);
    check(r"\w\W", &["a ", "a\u{e4}"], &["\u{e4} "]);
    check(r"\s", &[" ", "\t"], &["\u{b}", "\u{a0}"]);
    check(r"[\d\s]", &["1", " "], &["a"]);
    check(r"[^\D]", &["1"], &["a"]);
    check("[[]", &["["], &["]"]);
    check("[]a]", &["]", "a"], &["b"]);
    check("[a&&b]", &["a", "&", "b"], &[]);
    check("[a-]", &["a", "-"], &["b"]);
    check("[+--]", &["+", ",", "-"], &["."]);
    check("[[:alpha:][:^digit:]]", &["a", " "], &["1"]);
    check(r"[\x41-\x{43}\]]", &["A", "C", "]"], &["D"]);
    check(r"\pL\p{Greek}\P{^Lu}", &["aαA"], &["1αA", "aaA", "aαa"]);
}

#[test]
fn escapes_are_gos() {
    check(r"\Qa.b*\E+", &["a.b*", "a.b**"], &["axb"]);
    check(r"\Qa.b", &["a.b"], &[]);
    check(r"https?:\/\/a\.b\<\>", &["http://a.b<>"], &[]);
    check(r"\101\07\0", &["A\u{7}\0"], &[]);
    check(r"\a\f\t\n\r\v", &["\u{7}\u{c}\t\n\r\u{b}"], &[]);
    check(r"a\b.\B.*", &["a  bc"], &["abc", "a bc"]);
    check(r"\Aab\z", &["ab"], &[]);
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    wrong("[", expect!["missing closing `]`"]);
    wrong("a(b", expect!["unclosed group"]);
    // Within the group that anchors it this would be valid.
    wrong("a)(b", expect!["unopened group"]);
    wrong("*", expect!["repetition operator missing expression"]);
    wrong("a**", expect!["invalid nested repetition operator `*`"]);
    wrong("a{1001}", expect!["invalid repeat count `{1001}`"]);
    wrong("a{3,2}", expect!["invalid repeat count `{3,2}`"]);
    wrong(r"\", expect!["trailing backslash"]);
    wrong(r"\y", expect![[r#"invalid escape sequence `\y`"#]]);
    wrong(r"(a)\1", expect![[r#"invalid escape sequence `\1`"#]]);
    wrong("(?=a)", expect!["invalid or unsupported group"]);
    wrong("(?<!a)", expect!["invalid or unsupported group"]);
    wrong("[[:foo:]]", expect!["invalid character class `[:foo:]`"]);
    wrong("[b-a]", expect!["invalid character class range, the start must be <= the end"]);
    wrong(r"\p{Klingon}", expect!["Unicode property not found"]);
    wrong(&"(".repeat(10_000), expect!["unclosed group"]);
    wrong(&r"\pL".repeat(1_000), expect!["more than 100 Unicode classes"]);
    wrong(&"[a]".repeat(2_000), expect!["more than 1000 character classes"]);
}
