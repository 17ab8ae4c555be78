//! Who has which key, what is listed when there are too many, and what absence proves.

use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use suyuan_model::{AttributeOwner, SpanHead, TableBuilder};
use suyuan_wire::protobuf::Writer;

use super::*;
use crate::layout::KeyCounts;

/// A chunk of one span that has these keys, with a number each.
pub(crate) fn chunk_with_keys(keys: &[String]) -> Chunk {
    chunk(keys, &[])
}

/// A chunk of one span with these keys, whose resource has those; a number each.
fn chunk(span_keys: &[String], resource_keys: &[String]) -> Chunk {
    let mut table = TableBuilder::default();
    for key in resource_keys {
        table.push_int(AttributeOwner::Resource, key.as_bytes(), 1);
    }
    let resource = table.finish_resource(b"resource", b"", 0, b"");
    let scope = table.finish_scope(b"scope", b"", b"", b"", 0);
    for key in span_keys {
        table.push_int(AttributeOwner::Span, key.as_bytes(), 1);
    }
    table.finish_span(&SpanHead { resource, scope, ..SpanHead::default() });
    table.freeze()
}

/// The directory of a block of `n_spans` in which each tenant has these keys on spans and resource.
fn directory_of(n_spans: u64, tenants: &[(Vec<String>, Vec<String>)]) -> KeyDirectory {
    let chunks: Vec<Chunk> = tenants.iter().map(|(span, resource)| chunk(span, resource)).collect();
    let mut counts = KeyCounts::default();
    for chunk in &chunks {
        counts.add_chunk(chunk);
    }
    let mut builder = DirectoryBuilder::new(&Layout::decide(&counts, n_spans, 0, 0));
    for (chunk, tenant) in chunks.iter().zip(0..) {
        builder.add_chunk(tenant, chunk);
    }
    builder.finish(tenants.len() as u32)
}

fn keys(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|number| format!("{prefix}{number}")).collect()
}

fn has(directory: &KeyDirectory, tenant: u32, scope: Scope, key: &str) -> &'static str {
    match directory.may_have(tenant, scope, key, ValueType::Int) {
        Presence::Listed(entry) => {
            assert_eq!((entry.scope, &*entry.key), (scope, key));
            "listed"
        }
        Presence::Maybe => "maybe",
        Presence::Absent => "absent",
    }
}

#[test]
fn a_tenant_is_told_of_its_own_keys_alone() {
    let one = (vec!["shared".to_owned(), "first".to_owned()], vec!["service".to_owned()]);
    let other = (vec!["second".to_owned(), "shared".to_owned()], Vec::new());
    let directory = directory_of(1_000_000, &[one, other]);
    let names = |tenant| -> BTreeSet<&str> {
        directory.entries_of(tenant).map(|entry| &*entry.key).collect()
    };
    assert_eq!(names(0), ["first", "service", "shared"].into());
    assert_eq!(names(1), ["second", "shared"].into());
    assert_eq!(names(2), [].into());
    assert_eq!(has(&directory, 0, Scope::Span, "first"), "listed");
    assert_eq!(has(&directory, 1, Scope::Span, "first"), "absent");
    assert_eq!(has(&directory, 1, Scope::Resource, "service"), "absent");
    assert_eq!(has(&directory, 0, Scope::Event, "shared"), "absent");
    let as_text = directory.may_have(0, Scope::Span, "shared", ValueType::String);
    assert_eq!(as_text, Presence::Absent);
    assert!(directory.is_complete_for(0) && directory.is_complete_for(1));
}

#[test]
fn of_too_many_keys_some_are_listed_and_the_rest_not_denied() {
    let (span_keys, resource_keys) = (keys("user.", 10_000), keys("host.", 1_000));
    let directory = directory_of(1_000_000, &[(span_keys.clone(), resource_keys.clone())]);
    let answers = |scope: Scope, keys: &[String]| {
        let answer = |key: &String| has(&directory, 0, scope, key);
        let count = |wanted| keys.iter().filter(|key| answer(key) == wanted).count();
        (count("listed"), count("maybe"), count("absent"))
    };
    let n_listed = Scope::Span.entries_max();
    assert_eq!(answers(Scope::Span, &span_keys), (n_listed, 10_000 - n_listed, 0));
    let n_listed = Scope::Resource.entries_max();
    assert_eq!(answers(Scope::Resource, &resource_keys), (n_listed, 1_000 - n_listed, 0));
    let (listed, maybe, absent) = answers(Scope::Span, &keys("other.", 10_000));
    assert_eq!(listed, 0);
    assert!(maybe < 200, "{maybe} of 10,000 keys that do not occur are not denied ({absent} are)");
    assert!(!directory.is_complete_for(0));
}

#[test]
fn keys_too_long_for_the_list_are_not_denied() {
    let long = "k".repeat(LISTED_KEY_BYTES_MAX + 1);
    let directory = directory_of(100, &[(vec![long.clone()], vec![long.clone()])]);
    assert_eq!(directory.entries().len(), 0);
    assert_eq!(has(&directory, 0, Scope::Span, &long), "maybe");
    assert_eq!(has(&directory, 0, Scope::Resource, &long), "maybe");
    assert_eq!(has(&directory, 0, Scope::Event, &long), "absent");
}

#[test]
fn more_runs_of_tenants_than_a_directory_may_have_are_not_known() {
    // Every second tenant has the key, so each is a run of its own.
    let n_tenants = 2 * TENANT_RUNS_MAX as u32 + 10;
    let with_key = chunk_with_keys(&["odd".to_owned()]);
    let mut counts = KeyCounts::default();
    counts.add_chunk(&with_key);
    let mut builder = DirectoryBuilder::new(&Layout::decide(&counts, 1_000_000, 0, 0));
    for tenant in (1..n_tenants).step_by(2) {
        builder.add_chunk(tenant, &with_key);
    }
    let directory = builder.finish(n_tenants);
    assert_eq!(has(&directory, 1, Scope::Span, "odd"), "maybe");
    assert_eq!(has(&directory, 2, Scope::Span, "odd"), "maybe");
    assert_eq!(directory.entries_of(1).count(), 0);
    assert!(!directory.is_complete_for(1));
}

/// Tenants with keys out of a few, in chunks that come in any order.
fn chunks() -> impl Strategy<Value = Vec<(u32, BTreeSet<u8>, BTreeSet<u8>)>> {
    vec((0u32..6, btree_set(0u8..12, 0..6), btree_set(0u8..4, 0..3)), 1..20)
}

proptest! {
    #[test]
    fn every_tenant_finds_what_it_has_and_nothing_else(chunks in chunks()) {
        let names = |keys: &BTreeSet<u8>| keys.iter().map(u8::to_string).collect::<Vec<_>>();
        let tables: Vec<(u32, Chunk)> = chunks
            .iter()
            .map(|(tenant, span, resource)| (*tenant, chunk(&names(span), &names(resource))))
            .collect();
        let mut counts = KeyCounts::default();
        for (_, chunk) in &tables {
            counts.add_chunk(chunk);
        }
        let mut builder = DirectoryBuilder::new(&Layout::decide(&counts, 1_000_000, 0, 0));
        for (tenant, chunk) in &tables {
            builder.add_chunk(*tenant, chunk);
        }
        let directory = builder.finish(6);
        let mut written = Writer::new();
        directory.write(&mut written);
        let read = KeyDirectory::read(written.as_bytes());
        prop_assert_eq!(read.as_ref(), Ok(&directory));
        for tenant in 0..6 {
            let of_tenant = || chunks.iter().filter(|(other, ..)| *other == tenant);
            for key in 0..12u8 {
                let on_span = of_tenant().any(|(_, span, _)| span.contains(&key));
                let on_resource = of_tenant().any(|(.., resource)| resource.contains(&key));
                let said = |has_it| if has_it { "listed" } else { "absent" };
                let key = key.to_string();
                prop_assert_eq!(has(&directory, tenant, Scope::Span, &key), said(on_span));
                prop_assert_eq!(has(&directory, tenant, Scope::Resource, &key), said(on_resource));
            }
        }
    }
}

/// Two keys and more of every scope, type and place, with who has them; for the fixture.
pub(crate) fn of_every_form() -> KeyDirectory {
    let places = [
        Place::List,
        Place::Column { has_bloom: false },
        Place::Column { has_bloom: true },
        Place::Overflow,
    ];
    let entry = |number: usize| KeyEntry {
        scope: Scope::ALL[number % 5],
        key: format!("key.{number}").into(),
        value_type: ValueType::ALL[number % 8],
        count: 1 << number,
        place: places[number % 4],
    };
    let tenants = |number: usize| match number % 3 {
        0 => TenantSet::of(vec![0, 1]),
        1 => TenantSet::of(vec![1]),
        _ => TenantSet::Unknown,
    };
    let unlisted = key_hash(Scope::Span, "key.unlisted", ValueType::Int);
    let unlisted = unlisted_filter(Some(&[unlisted].into_iter().collect()));
    let entries = (0..16).map(entry).collect();
    KeyDirectory::new(entries, Some((0..16).map(tenants).collect()), unlisted)
}
