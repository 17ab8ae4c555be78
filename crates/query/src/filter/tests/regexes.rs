//! Regular expressions: whole texts, and the shapes that need no automaton.

use super::fixture::{Sent, check, parse, span};
use crate::filter::matcher::Matcher;
use crate::filter::{Filter, FilterError};

fn matches(pattern: &str, texts: &[&str]) -> Vec<bool> {
    let matcher = Matcher::compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    texts.iter().map(|text| matcher.is_match(text)).collect()
}

#[test]
fn the_whole_text_matches_newlines_included() {
    let texts = ["", "foo", "foobar", "a\nfoo", "FOO"];
    assert_eq!(matches("foo", &texts), [false, true, false, false, false]);
    assert_eq!(matches("foo.*", &texts), [false, true, true, false, false]);
    assert_eq!(matches(".*foo", &texts), [false, true, false, true, false]);
    assert_eq!(matches(".*oo.*", &texts), [false, true, true, true, false]);
    assert_eq!(matches(".*", &texts), [true; 5]);
    assert_eq!(matches(".+", &texts), [false, true, true, true, true]);
    assert_eq!(matches("", &texts), [true, false, false, false, false]);
    assert_eq!(matches("(?i)foo", &texts), [false, true, false, false, true]);
    assert_eq!(matches("^foo$", &texts), [false, true, false, false, false]);
    assert_eq!(matches("^(foo|FOO)$", &texts), [false, true, false, false, true]);
    assert_eq!(matches("foo(bar)?", &texts), [false, true, true, false, false]);
    assert_eq!(matches("[a-z]o+b?.*", &texts), [false, true, true, false, false]);
    assert_eq!(matches("foo|.*bar", &texts), [false, true, true, false, false]);
    assert_eq!(matches("(?-s).*foo", &texts), [false, true, false, false, false]);
}

#[test]
fn what_people_write_most_needs_no_automaton() {
    let shape = |pattern: &str| match Matcher::compile(pattern).expect("a valid pattern") {
        Matcher::Everything => "everything",
        Matcher::Texts(_) => "texts",
        Matcher::Prefix(_) => "prefix",
        Matcher::Suffix(_) => "suffix",
        Matcher::Contains(_) => "contains",
        Matcher::Regex { .. } => "regex",
    };
    for (pattern, expected) in [
        (".*", "everything"),
        ("foo", "texts"),
        ("foo|bar|baz", "texts"),
        ("(200|201|404)", "texts"),
        ("50[0-9]", "texts"),
        ("^foo$", "texts"),
        ("foo.*", "prefix"),
        ("^foo.*", "prefix"),
        ("(?:foo).*?", "prefix"),
        (".*foo", "suffix"),
        (".*foo.*", "contains"),
        (".*foo.*bar.*", "regex"),
        ("(?i)foo.*", "regex"),
        (r"foo\d+", "regex"),
        (r"a\bb", "regex"),
    ] {
        assert_eq!(shape(pattern), expected, "{pattern}");
    }
}

#[test]
fn a_literal_of_a_regular_expression_is_part_of_every_match() {
    let literal = |pattern: &str| {
        let matcher = Matcher::compile(pattern).expect("a valid pattern");
        matcher.literal().map(|found| String::from_utf8_lossy(found.needle()).into_owned())
    };
    assert_eq!(literal("SELECT .* FROM orders.*").as_deref(), Some(" FROM orders"));
    assert_eq!(literal("(abc)+d?").as_deref(), Some("abc"));
    assert_eq!(literal("(?i)abc.*x").as_deref(), None);
    assert_eq!(literal("abc.*|x.*"), None);
    assert_eq!(literal("(abc.*)?x*"), None);
}

#[test]
fn columns_of_many_values_are_searched_as_one_text() {
    // So many different texts that the column keeps no dictionary.
    let texts: Vec<&'static str> = (0..3_000)
        .map(|n| &*Box::leak(format!("select {n} from t{} where x", n % 7).into_boxed_str()))
        .collect();
    let spans: Vec<_> = texts.iter().map(|text| span(&[("q", Sent::Text(text))])).collect();
    let rows_with = |holds: &dyn Fn(usize) -> bool| -> Vec<u32> {
        (0..3_000u32).filter(|n| holds(*n as usize)).collect()
    };
    check(
        &spans,
        &[
            (r#".q =~ ".*from t3 .*""#, &rows_with(&|n| n % 7 == 3)),
            (
                r#".q =~ "select 1[0-9]* from t3 .*""#,
                &rows_with(&|n| n % 7 == 3 && n.to_string().starts_with('1')),
            ),
            (r#".q !~ ".*from t3 .*""#, &rows_with(&|n| n % 7 != 3)),
            // It would be found across the border of two texts.
            (r#".q =~ ".*xselect.*""#, &[]),
            (r#".q =~ "select 1.*""#, &rows_with(&|n| n.to_string().starts_with('1'))),
            (r#".q = "select 8 from t1 where x""#, &[8]),
        ],
    );
}

#[test]
fn what_cannot_be_used_is_said() {
    let error = |filter: &str| Filter::compile(&parse(filter)).map(|_| ()).expect_err(filter);
    let large = error(r#".a =~ "(\\pL{900}x){900}""#);
    assert!(matches!(large, FilterError::RegexTooLarge { .. }), "{large}");
    assert!(matches!(Matcher::compile("a)(b"), Err(FilterError::Regex { .. })));
    assert!(matches!(Matcher::compile("["), Err(FilterError::Regex { .. })));
}
