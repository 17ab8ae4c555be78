//! The language as a whole: lists of queries that others wrote, errors, random trees.

use expect_test::Expect;

use crate::parse;

mod corpora;
mod errors;
mod limits;
mod misfits;
mod page;
mod random;
mod tokens;

/// The error of each query, and where it points.
fn check_errors(queries: &[&str], expected: Expect) {
    let mut shown = String::new();
    for query in queries {
        let Err(error) = parse(query) else { panic!("{query} is valid") };
        shown += &format!("{}\n{error}\n\n", error.draw(query));
    }
    expected.assert_eq(&shown);
}
