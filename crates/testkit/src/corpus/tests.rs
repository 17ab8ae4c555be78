//! The corpora load, and hold as many requests as their description says.

use super::*;
use crate::oracle::{Oracle, SINGLE_TENANT};

#[test]
fn every_corpus_loads_whole() {
    let Some(corpora) = Corpora::find() else { return };
    assert_eq!(corpora.otlp_examples().len(), 1);
    assert_eq!(corpora.jaeger_storage_traces().len(), 32);
    assert_eq!(corpora.span_shapes().len(), 306);
    assert_eq!(corpora.trace_shapes().len(), 32);
    let mut oracle = Oracle::new();
    for case in corpora.all() {
        let admission = oracle.accept(SINGLE_TENANT, &case.request);
        assert_eq!(admission.refusals, [], "{}", case.name);
    }
    let n_first = oracle.trace_ids(SINGLE_TENANT).len();
    for case in corpora.all() {
        oracle.accept(SINGLE_TENANT, &case.renumbered(1).request);
    }
    assert_eq!(oracle.trace_ids(SINGLE_TENANT).len(), 2 * n_first);
}
