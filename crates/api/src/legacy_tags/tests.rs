//! What tags mean, drawn as TraceQL.

use expect_test::{Expect, expect};
use suyuan_traceql::print;

use super::*;

fn check(tags: &str, expected: Expect) {
    let drawn = match filter(tags) {
        Ok(filter) => print::field_expr(&filter),
        Err(error) => format!("error: {error}"),
    };
    expected.assert_eq(&drawn);
}

#[test]
fn a_text_is_looked_for_inside_values() {
    check("service.name=pay", expect![".service.name =~ `.*pay.*`"]);
    check("http.url=/api/v1?id=(7)", expect![[r#".http.url =~ `.*/api/v1\?id=\(7\).*`"#]]);
    check("path=\"C:\\\\a b\" x=y", expect![[r#"(.path =~ `.*C:\\a b.*`) && (.x =~ `.*y.*`)"#]]);
    check("\"odd key\"=\"say \\\"hi\\\"\"", expect![[r#"."odd key" =~ `.*say "hi".*`"#]]);
    check("empty=", expect![".empty =~ `.*.*`"]);
}

#[test]
fn numbers_and_truths_are_compared_too() {
    check(
        "http.status_code=500",
        expect!["(.http.status_code =~ `.*500.*`) || (.http.status_code = 500)"],
    );
    check("retry=-1", expect!["(.retry =~ `.*-1.*`) || (.retry = -1)"]);
    check("cached=true", expect!["(.cached =~ `.*true.*`) || (.cached = true)"]);
    check("ratio=0.5", expect![[r#".ratio =~ `.*0\.5.*`"#]]);
}

#[test]
fn some_names_are_not_attributes() {
    check("name=GET status.code=error", expect!["(name =~ `.*GET.*`) && (status = error)"]);
    check(
        "root.name=cart root.service.name=gate",
        expect!["(rootName =~ `.*cart.*`) && (rootServiceName =~ `.*gate.*`)"],
    );
    check("error=true", expect!["(status = error) || (.error = true)"]);
    check("error=timeout", expect![".error =~ `.*timeout.*`"]);
}

#[test]
fn what_is_wrong_is_said() {
    check("a=1 a=2", expect!["error: invalid tags: tag a has been set twice"]);
    check(
        "status.code=bad",
        expect!["error: invalid tags: status.code is one of unset, ok, error"],
    );
    check(
        "a=\"open",
        expect!["error: invalid tags: a value begins with a quote that is not closed"],
    );
    check(
        "a=\"open\\",
        expect!["error: invalid tags: a value begins with a quote that is not closed"],
    );
    check("lonely", expect!["error: invalid tags: `lonely` has no value: write lonely=value"]);
    check("=1", expect!["error: invalid tags: a value stands without a key: write key=value"]);
    let many: Vec<String> = (0..65).map(|n| format!("k{n}=1")).collect();
    check(&many.join(" "), expect!["error: invalid tags: more than 64 of them"]);
}

#[test]
fn no_tags_ask_for_everything() {
    assert_eq!(filter("  "), Ok(literal(Value::Bool(true))));
}
