//! When a search ends early, and what it says of what it did.

use super::*;

#[test]
fn a_question_that_nobody_waits_for_ends() {
    let mut store = TestStore::new();
    store.publish(&[span(1, 1, 10, 20)]);
    let budget = budget(1);
    budget.cancelled.store(true, Relaxed);
    let result = search(&store.snapshot(), &request("{ }"), &budget);
    assert!(matches!(result, Err(QueryError::Cancelled)), "{result:?}");
}

#[test]
fn a_question_that_takes_too_long_ends() {
    let mut store = TestStore::new();
    store.publish(&[span(1, 1, 10, 20)]);
    let budget = Budget { deadline: Instant::now(), ..budget(1) };
    let result = search(&store.snapshot(), &request("{ }"), &budget);
    assert!(matches!(result, Err(QueryError::TimedOut { .. })), "{result:?}");
}

#[test]
fn an_answer_that_takes_too_much_memory_is_refused() {
    let mut store = TestStore::new();
    let spans: Vec<Span> = (1..200).map(|trace| span(trace, 1, 10, 20)).collect();
    store.publish(&spans);
    let asked = |limit| {
        let budget = Budget { memory_bytes: 10_000, ..budget(1) };
        search(&store.snapshot(), &SearchRequest { limit, ..request("{ }") }, &budget)
    };
    assert_eq!(asked(5).expect("a small answer").traces.len(), 5);
    assert!(matches!(asked(200), Err(QueryError::TooMuchMemory { bytes: 10_000 })));
}

#[test]
fn a_full_answer_needs_no_older_unit() {
    let mut store = TestStore::new();
    for block in 1..=4 {
        let spans: Vec<Span> = (1..=10)
            .map(|n| span(block * 100 + n, 1, block as i64 * 1_000 + n as i64, 9_000))
            .collect();
        store.publish(&spans);
        store.flush();
    }
    let asked = |limit| SearchRequest { limit, explain: Explain::Yes, ..request("{ }") };
    let answer = search(&store.snapshot(), &asked(10), &budget(1)).expect("answers");
    assert_eq!(answer.traces.len(), 10);
    assert_eq!(answer.traces[0].start_unix_nanos, 4_010);
    let Accounting { units_total, units_read, units_not_needed, .. } = answer.accounting;
    assert_eq!((units_total, units_read, units_not_needed), (4, 1, 3));
    let fates: Vec<bool> =
        answer.explain.iter().map(|report| report.fate == UnitFate::Read).collect();
    assert_eq!(fates, [true, false, false, false]);
    let answer = store.ask(&asked(11));
    assert_eq!(answer.accounting.units_read, 2);
    assert_eq!(answer.traces.last().map(|trace| trace.start_unix_nanos), Some(3_010));
}

#[test]
fn units_that_cannot_hold_an_answer_are_not_read() {
    let mut store = TestStore::new();
    store.publish(&[Span { user: Some(7), ..span(1, 1, 10, 20) }]);
    store.flush();
    store.publish(&[span(2, 1, 30, 40)]);
    let asked = SearchRequest { explain: Explain::Yes, ..request("{ span.user = 7 }") };
    let answer = store.ask(&asked);
    let Accounting { units_total, units_read, units_pruned, .. } = answer.accounting;
    assert_eq!((units_total, units_read, units_pruned), (2, 1, 1));
    assert!(matches!(&answer.explain[0].fate, UnitFate::Pruned(why) if why.contains("user")));
    let range = Some(TimeRange { min_unix_nanos: 30, max_unix_nanos: 99 });
    let answer = store.ask(&SearchRequest { range, ..request("{ }") });
    assert_eq!((answer.accounting.units_outside, answer.traces.len()), (1, 1));
}

#[test]
fn what_could_not_be_read_is_named() {
    let mut store = TestStore::new();
    store.publish(&[span(1, 1, 10, 20)]);
    store.flush();
    store.publish(&[span(2, 1, 30, 40)]);
    store.flush();
    let whole = store.ask(&request("{ }"));
    assert!(whole.accounting.skipped.is_empty());
    let blocks = store.objects.list("blocks").expect("a list");
    let spans = blocks.iter().find(|object| object.path.ends_with("spans.parquet"));
    store.objects.delete(&spans.expect("a block").path).expect("deleted");
    let reopened = Arc::new(store.store.snapshot(&Tenant::single()));
    let answer = search(&reopened, &request("{ name = `op` }"), &budget(1)).expect("answers");
    assert_eq!(answer.traces.len() + answer.accounting.skipped.len(), 2);
}

#[test]
fn nothing_is_answered_where_nothing_is_wanted() {
    let mut store = TestStore::new();
    store.publish(&[span(1, 1, 10, 20)]);
    assert!(store.ask(&SearchRequest { limit: 0, ..request("{ }") }).traces.is_empty());
    let answer = store.ask(&SearchRequest { spans_per_set: 0, ..request("{ }") });
    assert_eq!((answer.traces[0].n_matched, answer.traces[0].spans.len()), (1, 0));
    let nobody = Arc::new(store.store.snapshot(&Tenant::parse("nobody").expect("a name")));
    assert_eq!(
        search(&nobody, &request("{ }"), &budget(2)).expect("answers"),
        SearchAnswer::default()
    );
}

#[test]
fn several_tenants_are_asked_as_one() {
    let mut store = TestStore::new();
    store.publish(&[span(1, 1, 10, 20), span(2, 1, 30, 40)]);
    let tenants = [Tenant::parse("nobody").expect("a name"), Tenant::single()];
    let asked = SearchRequest { limit: 1, ..request("{ }") };
    let answer = search_tenants(&store.store, &tenants, &asked, &budget(1)).expect("answers");
    assert_eq!(answer.traces.iter().map(line).collect::<Vec<_>>(), ["2 [30, 40] 1: 1"]);
}

#[test]
fn what_there_is_no_memory_to_remember_is_found_out_again() {
    let mut store = TestStore::new();
    let parents: Vec<Span> = (1..1_000).map(|trace| span(trace, 1, 10, 20)).collect();
    store.publish(&parents);
    let children = parents.iter().filter(|span| span.trace % 400 == 0);
    let children = children.map(|parent| Span { id: 2, parent: Some(1), ..*parent });
    store.publish(&children.chain(parents[..900].iter().copied()).collect::<Vec<_>>());
    let asked = |memory_bytes| {
        let budget = Budget { memory_bytes, ..budget(1) };
        let asked = search(&store.snapshot(), &request("{ span:childCount > 0 }"), &budget);
        asked.expect("an answer").traces
    };
    assert_eq!(
        asked(5_000).iter().map(line).collect::<Vec<_>>(),
        ["400 [10, 20] 1: 1", "800 [10, 20] 1: 1"]
    );
    assert_eq!(asked(5_000), asked(1 << 20));
}

#[test]
fn tenants_that_are_asked_together_share_the_memory() {
    let mut store = TestStore::new();
    let spans: Vec<Span> = (1..200).map(|trace| span(trace, 1, 10, 20)).collect();
    store.publish(&spans);
    let asked = SearchRequest { limit: 200, ..request("{ }") };
    let answer_bytes: usize = store.ask(&asked).traces.iter().map(FoundTrace::bytes).sum();
    let budget = Budget { memory_bytes: answer_bytes * 3 / 2, ..budget(1) };
    let of = |tenants: &[Tenant]| search_tenants(&store.store, tenants, &asked, &budget);
    let tenant = Tenant::single();
    assert_eq!(of(std::slice::from_ref(&tenant)).expect("fits").traces.len(), 199);
    let error = of(&[tenant.clone(), tenant]).expect_err("too much");
    assert!(matches!(error, QueryError::TooMuchMemory { .. }), "{error}");
}

#[test]
fn reasons_are_short_however_long_a_query_is() {
    let mut store = TestStore::new();
    store.publish(&[span(1, 1, 10, 20)]);
    store.flush();
    let reason = |query: &str| {
        let answer = store.ask(&SearchRequest { explain: Explain::Yes, ..request(query) });
        match &answer.explain[..] {
            [UnitReport { fate: UnitFate::Pruned(why), .. }] => why.clone(),
            other => panic!("{query}: {other:?}"),
        }
    };
    let keys: Vec<String> = (0..1_000).map(|n| format!("span.key{n} = 1")).collect();
    assert_eq!(
        reason(&format!("{{ {} }}", keys[..2].join(" || "))),
        "`span.key0` is nowhere a number, and `span.key1` is nowhere a number"
    );
    let many = reason(&format!("{{ {} }}", keys.join(" || ")));
    assert!(many.ends_with("`span.key7` is nowhere a number, and so with the others"), "{many}");
    let long = reason(&format!("{{ resource.service.name = `{}` }}", "ä".repeat(10_000)));
    assert!(long.len() <= REASON_BYTES_MAX + '…'.len_utf8() && long.ends_with("ä…"), "{long}");
}

#[test]
fn a_trace_counts_once_wherever_its_rows_stand_in_a_chunk() {
    let mut store = TestStore::new();
    store.publish(&[
        span(1, 1, 10, 20),
        span(2, 1, 10, 20),
        span(1, 2, 11, 20),
        span(2, 2, 11, 20),
    ]);
    assert_eq!(store.ask(&request("{ }")).accounting.traces_inspected, 2);
}
