//! The scripts of `testdata/traceql` by the obvious evaluator: they say what the language means, so
//! whatever is held against that evaluator is held against them.

use std::path::Path;

use suyuan_testkit::traceql::runner;
use suyuan_testkit::traceql::search::RefTraces;

#[test]
fn the_obvious_evaluator_answers_as_the_scripts_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/traceql");
    runner::check(&folder, |spans| {
        let spans = spans.to_vec();
        Box::new(move |question| RefTraces::of(&spans).search(question))
    });
}
