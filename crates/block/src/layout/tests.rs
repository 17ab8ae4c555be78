//! What gets a column, and in which order keys stand.

use suyuan_model::{AttributeOwner, Chunk, SpanHead, TableBuilder};

use super::*;
use crate::column::Kind;

/// A chunk of spans: each word of a line is a key with a text, `key:int` one with an integer,
/// `key:n` one with an integer that changes.
fn chunk(lines: &[(usize, &str)]) -> Chunk {
    let mut table = TableBuilder::default();
    for (n_rows, line) in lines {
        for n in 0..*n_rows {
            for word in line.split_whitespace() {
                match word.split_once(':') {
                    Some((key, "int")) => table.push_int(AttributeOwner::Span, key.as_bytes(), 1),
                    Some((key, "n")) => {
                        table.push_int(AttributeOwner::Span, key.as_bytes(), (n / 4) as i64);
                    }
                    Some((key, "empty")) => table.push_empty(AttributeOwner::Span, key.as_bytes()),
                    Some((key, "id")) => {
                        let id = format!("user-{n:06}");
                        table.push_string(AttributeOwner::Span, key.as_bytes(), id.as_bytes());
                    }
                    _ => table.push_string(AttributeOwner::Span, word.as_bytes(), b"some text"),
                }
            }
            table.finish_span(&SpanHead::default());
        }
    }
    table.freeze()
}

fn counts(lines: &[(usize, &str)]) -> KeyCounts {
    let mut counts = KeyCounts::default();
    counts.add_chunk(&chunk(lines));
    counts
}

/// The keys of spans in canonical order: `+` has a column, `*` one with bloom filters.
fn drawn(layout: &Layout) -> String {
    let draw = |entry: &KeyEntry| {
        let mark = match entry.place {
            Place::Column { has_bloom: true } => "*",
            Place::Column { has_bloom: false } => "+",
            Place::Overflow | Place::List => "",
        };
        format!("{}{mark}", entry.key)
    };
    let spans = layout.entries().filter(|entry| entry.scope == Scope::Span);
    spans.map(draw).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check_order(lines: &[(usize, &str)], expected: &str) {
    assert_eq!(drawn(&Layout::decide(&counts(lines), 1, 0, 0)), expected);
}

#[test]
fn keys_stand_as_the_most_frequent_rows_have_them() {
    check_order(&[(9, "a b c")], "a b c");
    check_order(&[(9, "c a b"), (3, "a b c")], "c a b");
    check_order(&[(9, "a c"), (3, "a b c")], "a b c");
    check_order(&[(9, "b c"), (3, "a b c"), (1, "x a c y")], "x a b c y");
    check_order(&[(9, "a"), (3, "p q"), (2, "q r")], "p q r a");
    check_order(&[(9, "a a b")], "a b");
}

#[test]
fn the_order_depends_on_what_was_counted_not_on_when() {
    let lines = [(3, "a b"), (3, "c b"), (3, "b d:int a"), (2, "e f g"), (2, "g f")];
    let mut reversed = lines;
    reversed.reverse();
    let decide = |lines| drawn(&Layout::decide(&counts(lines), 20_000, 0, 0));
    assert_eq!(decide(&lines), decide(&reversed));
    let mut merged = KeyCounts::default();
    for line in &reversed {
        merged.merge(&counts(&[*line]));
    }
    assert_eq!(drawn(&Layout::decide(&merged, 20_000, 0, 0)), decide(&lines));
}

#[test]
fn few_rows_are_a_list_and_rare_keys_have_no_column() {
    let counts = counts(&[(50, "often"), (20, "often half"), (3, "often rare nothing:empty")]);
    let small = Layout::decide(&counts, 9_999, 0, 0);
    assert_eq!(drawn(&small), "often rare nothing half");
    let names = |layout: &Layout| -> Vec<String> {
        span_columns(layout).into_iter().map(|column| column.name).skip(19).collect()
    };
    assert_eq!(names(&small), ["attributes"]);
    let large = Layout::decide(&counts, 100_000, 0, 0);
    assert_eq!(drawn(&large), "often+ rare nothing half+");
    let overflow = |key| overflow_column_name(overflow_bucket(key, large.overflow_columns()));
    let mut overflows = vec![overflow("rare"), overflow("nothing")];
    overflows.sort();
    let mut expected = vec!["attr:string:often".to_owned(), "attr:string:half".to_owned()];
    expected.extend(overflows);
    expected.push("attribute_order".to_owned());
    assert_eq!(names(&large), expected);
}

#[test]
fn a_key_that_comes_twice_has_an_overflow_beside_its_column() {
    let layout = Layout::decide(&counts(&[(50, "a b"), (1, "a b a")]), 10_000, 0, 0);
    let columns = span_columns(&layout);
    let overflow: Vec<&str> =
        columns.iter().map(|c| &*c.name).filter(|name| name.starts_with("overflow")).collect();
    let bucket = overflow_bucket("a", OverflowColumns::Sixteen);
    assert_eq!(overflow, [overflow_column_name(bucket)]);
}

#[test]
fn ids_get_bloom_filters_and_texts_that_repeat_do_not() {
    let layout = Layout::decide(&counts(&[(2_000, "user:id method n:int")]), 10_000, 0, 0);
    assert_eq!(drawn(&layout), "user* method+ n+");
    let columns = span_columns(&layout);
    let blooms: Vec<&str> =
        columns.iter().filter(|c| c.has_bloom).map(|column| &*column.name).collect();
    assert_eq!(blooms, ["trace_id", "attr:string:user"]);
    let few = Layout::decide(&counts(&[(900, "user:id")]), 10_000, 0, 0);
    assert_eq!(drawn(&few), "user+");
}

#[test]
fn numbers_get_bloom_filters_where_their_key_says_that_they_are_ids() {
    let line = "user.id:n orderId:n SKU_ID:n id:n thread.id:int size:n grid:n GRID:n";
    let layout = Layout::decide(&counts(&[(2_000, line)]), 10_000, 0, 0);
    let expected = "user.id* orderId* SKU_ID* id* thread.id+ size+ grid+ GRID+";
    assert_eq!(drawn(&layout), expected);
}

#[test]
fn of_more_keys_than_columns_the_most_frequent_have_one() {
    let lines: Vec<(usize, String)> =
        (0..COLUMNS_MAX + 10).map(|n| (200 - n, format!("k{n:03}"))).collect();
    let lines: Vec<(usize, &str)> = lines.iter().map(|(n, line)| (*n, &**line)).collect();
    let layout = Layout::decide(&counts(&lines), 10_000, 0, 0);
    let with_column = |entry: &&KeyEntry| entry.place != Place::Overflow;
    let mut keys: Vec<&str> =
        layout.entries().filter(with_column).map(|entry| &*entry.key).collect();
    keys.sort_unstable();
    assert_eq!((keys.len(), keys[0], keys[COLUMNS_MAX - 1]), (COLUMNS_MAX, "k000", "k127"));
}

#[test]
fn of_a_flood_of_keys_the_frequent_ones_are_listed() {
    let mut counts = KeyCounts::default();
    let n_keys = 40_000;
    for n in 0..n_keys / 1_000 {
        let line: Vec<String> = (n * 1_000..(n + 1) * 1_000).map(|n| format!("k{n}")).collect();
        let line = line.join(" ");
        counts.add_chunk(&chunk(&[(1, &line), (100, "often also")]));
    }
    let layout = Layout::decide(&counts, 100_000, 0, 0);
    let listed: Vec<(&str, u64)> =
        layout.entries().map(|entry| (&*entry.key, entry.count)).collect();
    assert_eq!(listed.len(), Scope::Span.entries_max());
    assert!(listed.contains(&("often", 4_000)) && listed.contains(&("also", 4_000)));
    assert_eq!(overflow_names(&layout).len(), 64);
}

fn overflow_names(layout: &Layout) -> Vec<String> {
    let names = span_columns(layout).into_iter().map(|column| column.name);
    names.filter(|name| name.starts_with("overflow_")).collect()
}

fn keys(n_keys: usize) -> Vec<String> {
    (0..n_keys).map(|n| format!("k{n}")).collect()
}

#[test]
fn more_than_1_024_keys_without_a_column_make_64_overflow_columns() {
    let decide = |n_keys: usize, n_rows: u64| {
        let layout = Layout::decide(&counts(&[(1, &keys(n_keys).join(" "))]), n_rows, 0, 0);
        (layout.overflow_columns(), overflow_names(&layout))
    };
    let n_keys_max = SIXTEEN_KEYS_MAX + COLUMNS_MAX;
    let (columns, names) = decide(n_keys_max, COLUMNS_ROWS_MIN);
    assert_eq!((columns, names.len()), (OverflowColumns::Sixteen, 16));
    let (columns, names) = decide(n_keys_max + 1, COLUMNS_ROWS_MIN);
    assert_eq!((columns, names.len()), (OverflowColumns::SixtyFour, 64));
    assert_eq!((&*names[0], &*names[63]), ("overflow_00", "overflow_63"));
    let (columns, names) = decide(n_keys_max + 1, COLUMNS_ROWS_MIN - 1);
    assert_eq!((columns, names.len()), (OverflowColumns::Sixteen, 0), "a list shares no columns");
    let one_key_too_many = counts(&[(1, &keys(n_keys_max + 1).join(" "))]);
    let of_events = Layout::decide(&one_key_too_many, 0, COLUMNS_ROWS_MIN, 0);
    assert_eq!(of_events.overflow_columns(), OverflowColumns::Sixteen, "only spans have keys");
}

#[test]
fn a_block_of_64_overflow_columns_stays_one_whose_keys_are_not_all_known() {
    let mut from_64 = counts(&[(50, "often"), (1, "twice twice")]);
    from_64.add_overflow_columns(OverflowColumns::SixtyFour);
    from_64.add_overflow_columns(OverflowColumns::Sixteen);
    let mut merged = counts(&[(9, "often")]);
    merged.merge(&from_64);
    let layout = Layout::decide(&merged, COLUMNS_ROWS_MIN, 0, 0);
    assert_eq!(layout.overflow_columns(), OverflowColumns::SixtyFour);
    let bucket = overflow_bucket("twice", OverflowColumns::SixtyFour);
    assert_eq!(overflow_names(&layout), [overflow_column_name(bucket)]);
}

#[test]
fn what_16_columns_may_hold_has_room_in_64_and_the_other_way_round() {
    use OverflowColumns::{Sixteen, SixtyFour};
    for key in keys(500) {
        let [of_16, of_64] = [Sixteen, SixtyFour].map(|columns| overflow_bucket(&key, columns));
        assert_eq!(of_64 % 16, of_16);
        let name = |bucket: usize| overflow_column_name(bucket);
        let [said_by_16, said_by_64] = [(of_16, Sixteen), (of_64, SixtyFour)]
            .map(|(bucket, columns)| overflow_buckets([&*name(bucket)], columns));
        assert_eq!((said_by_16.count_ones(), said_by_64), (4, 1 << of_64));
        assert!(said_by_16 & said_by_64 != 0, "{key}");
        for said in [said_by_16, said_by_64] {
            let mut counts = counts(&[(1, "often")]);
            counts.add_entries(Scope::Span, [], said);
            let layout = Layout::decide(&counts, COLUMNS_ROWS_MIN, 0, 0);
            assert_eq!(overflow_names(&layout), [name(of_16)]);
            counts.add_overflow_columns(SixtyFour);
            let layout = Layout::decide(&counts, COLUMNS_ROWS_MIN, 0, 0);
            let names = overflow_names(&layout);
            assert!(names.contains(&name(of_64)) && names.len() as u32 == said.count_ones());
        }
    }
    assert_eq!(overflow_buckets(["attributes"], Sixteen), u64::MAX);
    assert_eq!(overflow_buckets(["attributes"], SixtyFour), u64::MAX);
    assert_eq!(overflow_buckets(["overflow_16", "overflow_x", "name"], Sixteen), 0);
}

#[test]
fn what_a_directory_says_is_counted_like_its_rows() {
    let lines = [(2_000, "user:id method"), (500, "method path x:int")];
    let first = Layout::decide(&counts(&lines), 20_000, 0, 0);
    let mut merged = KeyCounts::default();
    let entries: Vec<KeyEntry> = first.entries().cloned().collect();
    let buckets = overflow_buckets(["name", "overflow_03"], first.overflow_columns());
    merged.add_entries(Scope::Span, &entries, buckets);
    let second = Layout::decide(&merged, 20_000, 0, 0);
    assert_eq!(second.entries().cloned().collect::<Vec<_>>(), entries);
    assert!(span_columns(&second).iter().any(|column| column.name == "overflow_03"));
}

#[test]
fn names_of_columns_say_key_and_type() {
    for value_type in ValueType::ALL {
        for key in ["", "a", "a:b", "attr:int:x", "溯源"] {
            let name = attribute_column_name(key, value_type);
            assert_eq!(parse_attribute_column_name(&name), Some((value_type, key)));
        }
    }
    assert_eq!(parse_attribute_column_name("attr:text:a"), None);
    assert_eq!(parse_attribute_column_name("name"), None);
    let layout = Layout::decide(&counts(&[(1, "n:int")]), 10_000, 0, 0);
    let columns = span_columns(&layout);
    let column = columns.iter().find(|column| column.name == "attr:int:n").expect("it has one");
    assert_eq!((column.kind, column.is_optional), (Kind::I64, true));
}

/// These numbers stand in files.
#[test]
fn hashes_of_keys_never_change() {
    let buckets = |columns| {
        let keys = ["", "a", "http.route", "db.statement", "键", "user.id", "key.1000"];
        keys.map(|key| overflow_bucket(key, columns))
    };
    assert_eq!(buckets(OverflowColumns::Sixteen), [1, 0, 15, 10, 1, 12, 6]);
    assert_eq!(buckets(OverflowColumns::SixtyFour), [1, 0, 31, 10, 1, 60, 22]);
    assert_eq!(key_hash(Scope::Span, "a", ValueType::String), 0xd949_cd18_6c0c_84a1);
    assert_eq!(key_hash(Scope::Link, "", ValueType::Map), 0x0839_5107_b4f1_3126);
}
