//! The page for users: its examples are read, and what it calls an error is one.

use expect_test::expect;

use crate::parse;

const PAGE: &str = include_str!("../../../../docs/traceql.md");

/// The queries of the page: code with braces, in its lines and between its fences.
fn queries() -> Vec<String> {
    let mut queries = Vec::new();
    let mut is_fenced = false;
    for line in PAGE.lines() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced {
            queries.push(line.to_owned());
        } else {
            let code = line.split('`').skip(1).step_by(2);
            queries.extend(code.map(|code| code.replace("\\|", "|")));
        }
    }
    // Neither the list of characters that end a name nor parts of queries.
    queries.retain(|query| {
        query.contains("{ ") && query.ends_with(['}', ')']) && !query.contains('…')
    });
    queries
}

#[test]
fn examples_are_read() {
    let queries = queries();
    assert!(queries.len() >= 30, "{queries:#?}");
    let mut refused = String::new();
    for query in &queries {
        if let Err(error) = parse(query) {
            refused += &format!("{query}\n    {error}\n");
        }
    }
    expect![[r#"
        { name = 5 }
            invalid query at line 1, col 3: cannot compare `name`, which is text, and `5`, which is a number; text stands in quotes: `"5"`
        { status = "error" }
            invalid query at line 1, col 3: cannot compare `status`, which is a status, and `"error"`, which is text; it is a keyword, without quotes: `status = error`
        { status > ok }
            invalid query at line 1, col 3: `>` is not for a status, as `status` is; only `=` and `!=` compare it
        { statuss = error }
            parse error at line 1, col 3: found unknown name `statuss`, expected an attribute, an intrinsic or a literal; did you mean `status`?
    "#]].assert_eq(&refused);
}
