//! Regular expressions: whole texts, and the shapes that need no automaton.

use super::fixture::{Sent, check, parse, span};
use crate::filter::matcher::{Matcher, Room};
use crate::filter::{Filter, FilterError};

fn matches(pattern: &str, texts: &[&str]) -> Vec<bool> {
    let matcher = Matcher::compile(pattern, &Room::default())
        .unwrap_or_else(|error| panic!("{pattern}: {error}"));
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
    let shape = |pattern: &str| match Matcher::compile(pattern, &Room::default())
        .expect("a valid pattern")
    {
        Matcher::Texts(_) => "texts",
        Matcher::Outline(_) => "outline",
        Matcher::Regex { .. } => "regex",
    };
    for (pattern, expected) in [
        ("foo", "texts"),
        ("foo|bar|baz", "texts"),
        ("(200|201|404)", "texts"),
        ("50[0-9]", "texts"),
        ("^foo$", "texts"),
        ("", "texts"),
        (".*", "outline"),
        ("foo.*", "outline"),
        ("^foo.*", "outline"),
        ("(?:foo).*?", "outline"),
        (".*foo", "outline"),
        (".*foo.*", "outline"),
        (".*foo.*bar.*", "outline"),
        ("foo.*bar", "outline"),
        ("(?i)foo.*", "regex"),
        // Lists that are much longer than what stands for them.
        ("((a{60}){60})[ab]{5}", "regex"),
        (r"foo\d+", "regex"),
        (r"a\bb", "regex"),
        ("foo.+", "regex"),
        ("(?-s)foo.*", "regex"),
    ] {
        assert_eq!(shape(pattern), expected, "{pattern}");
    }
}

#[test]
fn parts_of_an_outline_do_not_overlap() {
    let texts = ["aba", "abaaba", "ababa", "ab", "abxa", "ba"];
    assert_eq!(matches("ab.*ba", &texts), [false, true, true, false, false, false]);
    assert_eq!(matches("ab.*a", &texts), [true, true, true, false, true, false]);
    assert_eq!(matches(".*ab.*ba.*", &texts), [false, true, true, false, false, false]);
    assert_eq!(matches("ab.*ba.*a", &["abaaba", "abbaa", "abxbaxa"]), [false, true, true]);
    assert_eq!(matches(".*(ab)(a).*", &texts), [true, true, true, false, false, false]);
    assert_eq!(matches("ab.*[a-c]+.*ba", &texts), [false, true, true, false, false, false]);
}

#[test]
fn literals_of_a_regular_expression_are_part_of_every_match() {
    let literals = |pattern: &str| {
        let matcher = Matcher::compile(pattern, &Room::default()).expect("a valid pattern");
        let texts = matcher.literals().iter().map(|found| String::from_utf8_lossy(found.needle()));
        texts.collect::<Vec<_>>().join("; ")
    };
    assert_eq!(literals("SELECT .* FROM orders[0-9]+"), "SELECT ;  FROM orders");
    assert_eq!(literals("(abc)d?e+f"), "abc; f");
    assert_eq!(literals("(?i)abc.*x"), "");
    assert_eq!(literals("abc.*|x.*"), "");
    assert_eq!(literals("(abc.*)?x*"), "");
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
    assert!(matches!(Matcher::compile("a)(b", &Room::default()), Err(FilterError::Regex { .. })));
    assert!(matches!(Matcher::compile("[", &Room::default()), Err(FilterError::Regex { .. })));
}

#[test]
fn expressions_of_a_filter_share_a_memory() {
    let many = |pattern: &str, n: usize| {
        let all = vec![format!("span.a =~ `{pattern}`"); n];
        Filter::compile(&parse(&all.join(" || "))).map(|_| ())
    };
    assert!(many("x[0-9]+y", 300).is_ok());
    assert!(matches!(many("x[0-9]+y", 1_000), Err(FilterError::RegexTooLarge { .. })));
    assert!(many("x.*", 1_000).is_ok());
    assert!(many("x|y|z", 1_000).is_ok());
    assert!(many("x.{900}", 4).is_ok());
    assert!(matches!(many("x.{900}", 40), Err(FilterError::RegexTooLarge { .. })));
}
