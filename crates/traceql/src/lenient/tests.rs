//! Half-typed texts, and what is complete of them.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::print;

/// The whole as one expression, and each group in a line of its own.
fn check(text: &str, expected: Expect) {
    let alternatives = parse(text).expect("within the limits");
    let mut shown =
        alternatives.expr().map_or("everything".to_owned(), |expr| print::field_expr(&expr));
    for group in alternatives.groups() {
        let conditions: Vec<String> =
            group.iter().map(|condition| print::field_expr(condition)).collect();
        shown += &format!("\n- {}", conditions.join(", "));
    }
    expected.assert_eq(&shown);
}

#[test]
fn what_is_half_typed_asks_for_nothing() {
    for text in [
        "",
        "no query at all ???",
        "{",
        "{ }",
        "{ true }",
        "{ false }",
        "{ .a",
        "{ .a }",
        "{ .a = }",
        "{ .a = && .b",
        "{ .a = \"x }",
        "{ .a = \"x\" || .b = }",
        "{ .a = 1 .b = 2 }",
        "{ 1 = 1 }",
        "{ parent.a = 1 }",
        // Breaks the type rules.
        "{ status = \"error\" }",
        "{ .a =~ \"(\" }",
        ".a = 1",
        "{{{{",
        "}}}{",
        ")))",
    ] {
        assert!(parse(text).is_ok_and(|found| found.is_empty()), "{text}");
    }
}

#[test]
fn complete_conditions_stay() {
    check(
        "{ .a = 1 && .b = }",
        expect![[r#"
        .a = 1
        - .a = 1"#]],
    );
    check(
        "{ .a = 1 && .b =",
        expect![[r#"
        .a = 1
        - .a = 1"#]],
    );
    check(
        "{ .a = 1 &&",
        expect![[r#"
        .a = 1
        - .a = 1"#]],
    );
    check(
        "{ && .a = 1 && && .b = 2 }",
        expect![[r#"
        (.a = 1) && (.b = 2)
        - .a = 1, .b = 2"#]],
    );
    check(
        "{ (.a = ) && .b = \"x\" }",
        expect![[r#"
        .b = `x`
        - .b = `x`"#]],
    );
    check(
        "{ (.a = 1 && .b = ",
        expect![[r#"
        .a = 1
        - .a = 1"#]],
    );
    check(
        "{ .a = 1) && .b = 2",
        expect![[r#"
        (.a = 1) && (.b = 2)
        - .a = 1, .b = 2"#]],
    );
    check(
        "{ .a = 1 }) && .b = 2 }",
        expect![[r#"
        .a = 1
        - .a = 1"#]],
    );
}

#[test]
fn quotes_and_comments_are_stepped_over() {
    check(
        r#"{ span."a && b" = "} || (" && .b = `"&&` && name = }"#,
        expect![[r#"
        (span."a && b" = `} || (`) && (.b = `"&&`)
        - span."a && b" = `} || (`, .b = `"&&`"#]],
    );
    check(
        "{ .a = 1 /* && .b = 2 } */ && .c = 3 // && .d = 4\n && .e = 5 }",
        expect![[r#"
        ((.a = 1) && (.c = 3)) && (.e = 5)
        - .a = 1, .c = 3, .e = 5"#]],
    );
    check(
        r#"{ .http://x = "\"" && .b = }"#,
        expect![[r#"
        .http://x = `"`
        - .http://x = `"`"#]],
    );
}

#[test]
fn and_and_or_bind_alike() {
    check(
        "{ .a = 1 || .b = 2 && .c = 3 }",
        expect![[r#"
        ((.a = 1) || (.b = 2)) && (.c = 3)
        - .a = 1, .c = 3
        - .b = 2, .c = 3"#]],
    );
    check(
        "{ .a = 1 || (.b = 2 && .c = 3) }",
        expect![[r#"
        (.a = 1) || ((.b = 2) && (.c = 3))
        - .a = 1
        - .b = 2, .c = 3"#]],
    );
    // What is half-typed takes its own side only.
    check(
        "{ (.a = 1 || .b = ) && .c = 3 }",
        expect![[r#"
        .c = 3
        - .c = 3"#]],
    );
}

#[test]
fn comparisons_of_all_kinds_are_conditions() {
    check(
        "{ (.a + .b) = 3 && .c = .d && -1 < .e && `x` = name }",
        expect![[r#"
        ((((.a + .b) = 3) && (.c = .d)) && (-1 < .e)) && (`x` = name)
        - (.a + .b) = 3, .c = .d, -1 < .e, `x` = name"#]],
    );
    check(
        "{ .a != nil && .b =~ \"x.*\" && duration > 5s && kind = server }",
        expect![[r#"
        (((.a != nil) && (.b =~ `x.*`)) && (duration > 5s)) && (kind = server)
        - .a != nil, .b =~ `x.*`, duration > 5s, kind = server"#]],
    );
    check(
        "{ (.a = .b) && !(.c = 1) && !.d && .e = 1 }",
        expect![[r#"
        (.a = .b) && (.e = 1)
        - .a = .b, .e = 1"#]],
    );
}

#[test]
fn spansets_are_alternatives_up_to_the_next_stage() {
    check(
        "{ .a = 1 } >> { .b = 2 && .c = }",
        expect![[r#"
        (.a = 1) || (.b = 2)
        - .a = 1
        - .b = 2"#]],
    );
    check("{ .a = 1 } >> { .b = }", expect!["everything"]);
    check(
        "{ .a = 1 } && { .b = 2 } || { .c = 3 } | count() > 4",
        expect![[r#"
        ((.a = 1) || (.b = 2)) || (.c = 3)
        - .a = 1
        - .b = 2
        - .c = 3"#]],
    );
    check(
        "{ .a = 1 } | { .b = 2 } | select(.c)",
        expect![[r#"
        .a = 1
        - .a = 1"#]],
    );
    check(
        "({ .a = 1 } | { .x = 2 } | count() > 1) >> { .b = 2 }",
        expect![[r#"
        (.a = 1) || (.b = 2)
        - .a = 1
        - .b = 2"#]],
    );
    check(
        "{ .a = 1 } | compare({ status = error })",
        expect![[r#"
        .a = 1
        - .a = 1"#]],
    );
    check(
        "{ .a = 1 } | rate() by (.b) with (sample = 0.5)",
        expect![[r#"
        .a = 1
        - .a = 1"#]],
    );
}

#[test]
fn conditions_and_groups_are_told_once() {
    check(
        "{ .a = 1 || .a = 1 }",
        expect![[r#"
            .a = 1
            - .a = 1"#]],
    );
    check(
        "{ (.a = 1 || .b = 2) && (.b = 2 || .a = 1) }",
        expect![[r#"
        ((.a = 1) || (.b = 2)) && ((.b = 2) || (.a = 1))
        - .a = 1, .b = 2
        - .a = 1
        - .b = 2"#]],
    );
}

#[test]
fn groups_of_the_editors_examples() {
    let n_groups = |text: &str| parse(text).expect("within the limits").groups().len();
    assert_eq!(n_groups("{ .a = 1 && (.b = 1 || .c = 1 || .d = 1) }"), 3);
    assert_eq!(n_groups("{ (.a = 1 || .b = 1) && (.c = 1 || .d = 1 || .e = 1) }"), 6);
    assert_eq!(n_groups("{ (.a = 1 && .b = 1) || .c = 1 || .d = 1 || (.b = 1 && .a = 1) }"), 3);
}

#[test]
fn a_literal_may_stand_on_the_left() {
    let alternatives = parse("{ 5 > .a }").expect("within the limits");
    let group = alternatives.groups().next().expect("one group");
    let matcher = Matcher::of(group[0]).expect("an attribute and a literal");
    assert_eq!((matcher.op, matcher.value), (FieldOp::Less, &Value::Int(5)));
    assert_eq!(print::attribute(matcher.attribute), ".a");
}

#[test]
fn groups_and_conditions_are_bounded() {
    let ors = |n: usize| {
        let conditions: Vec<String> = (0..n).map(|n| format!(".a{n} = 1")).collect();
        format!("{{ {} }}", conditions.join(" || "))
    };
    assert_eq!(parse(&ors(GROUPS_MAX)).map(|found| found.groups().len()), Ok(GROUPS_MAX));
    assert_eq!(parse(&ors(GROUPS_MAX + 1)), Err(LenientError::TooManyGroups));
    let product = ["(.a = 1 || .b = 1)"; 7].join(" && ");
    assert_eq!(parse(&format!("{{ {product} }}")).map(|found| found.groups().len()), Ok(2));
    let product: Vec<String> = (0..7).map(|n| format!("(.a{n} = 1 || .b{n} = 1)")).collect();
    let product = format!("{{ {} }}", product.join(" && "));
    assert_eq!(parse(&product), Err(LenientError::TooManyGroups));
    let ands = |n: usize| ors(n).replace("||", "&&");
    assert_eq!(parse(&ands(CONDITIONS_MAX)).map(|found| found.groups().len()), Ok(1));
    assert_eq!(parse(&ands(CONDITIONS_MAX + 1)), Err(LenientError::TooManyConditions));
    let again_and_again = format!("{{ {} }}", [".a = 1"; CONDITIONS_MAX + 1].join(" || "));
    assert_eq!(parse(&again_and_again), parse("{ .a = 1 }"));
}

#[test]
fn depth_is_no_danger() {
    for text in ["{ ".to_owned() + &"(".repeat(100_000), "{ ".to_owned() + &"!(".repeat(50_000)] {
        assert!(parse(&text).is_ok_and(|found| found.is_empty()));
    }
}

/// Half-typed queries that nobody on this project wrote: `traceql/lenient_half.jsonl` in the folder
/// that `SUYUAN_CORPORA` names. Rows say how the query should be completed, or how many groups it
/// has.
#[test]
fn queries_of_others_are_read_as_they_say() {
    let beside_the_checkout = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora");
    let root = std::env::var("SUYUAN_CORPORA").unwrap_or(beside_the_checkout.to_owned());
    let Ok(rows) = std::fs::read_to_string(format!("{root}/traceql/lenient_half.jsonl")) else {
        let missing = format!("no corpora at {root}: set SUYUAN_CORPORA");
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "{missing}");
        return eprintln!("skipped: {missing}");
    };
    let mut n_checked = 0;
    for row in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
        let found = parse(row["q"].as_str().expect("a query")).expect("within the limits");
        if let Some(expected) = row["expected"].as_str() {
            let expected = parse(expected).expect("within the limits");
            assert_eq!(found.expr(), expected.expr(), "{row}");
            n_checked += 1;
        }
        if let Some(n_groups) = row["count"].as_u64() {
            assert_eq!(found.groups().len() as u64, n_groups, "{row}");
            n_checked += 1;
        }
    }
    assert_eq!(n_checked, 72, "rows that say what is expected");
}

#[test]
fn whatever_is_long_is_no_deep_tree() {
    let deep = || {
        let conditions: Vec<String> = (0..CONDITIONS_MAX).map(|n| format!(".a = {n}")).collect();
        let found =
            parse(&format!("{{ {} }}", conditions.join(" && "))).expect("within the limits");
        let filter = print::field_expr(&found.expr().expect("conditions"));
        // Deeper trees than the parser allows would be refused here.
        assert_eq!(crate::parse(&format!("{{ {filter} }}")).map(|_| ()), Ok(()));
        let turns = format!("{{ {} }}", [".a = 1 && .b = 2"; 10_000].join(" || "));
        assert_eq!(parse(&turns), Err(LenientError::TooManyTurns));
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(deep);
    thread.expect("a thread starts").join().expect("the stack is large enough");
}

proptest! {
    /// Whatever is typed, nothing panics, and what was understood is understood again.
    #[test]
    fn what_was_understood_is_understood_again(
        tokens in prop::collection::vec(prop::sample::select(TOKENS.to_vec()), 0..40),
    ) {
        let text = tokens.concat();
        let Ok(found) = parse(&text) else { return Ok(()) };
        let Some(expr) = found.expr() else { return Ok(()) };
        let again = parse(&format!("{{ {} }}", print::field_expr(&expr))).expect("within the limits");
        prop_assert_eq!(again.expr(), Some(expr), "{}", text);
        prop_assert_eq!(&again.groups().collect::<Vec<_>>(), &found.groups().collect::<Vec<_>>());
    }
}

const TOKENS: [&str; 24] = [
    "{ ",
    " }",
    "(",
    ")",
    " && ",
    " || ",
    ".a = 1",
    ".b = \"x\"",
    "name =~ `a|b`",
    "status = ",
    ".c",
    " | ",
    " >> ",
    "!",
    "\"",
    "`",
    "/* ",
    " */",
    "// ",
    "\n",
    "count() > 1",
    ".a + .b = 3",
    "\u{e9}",
    "duration > 1s",
];
