//! Metas to bytes and back, what is refused, and how large they are.

mod fixture;

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use suyuan_model::ValueType;
use suyuan_wire::protobuf::Writer;

use super::*;
use crate::directory::DirectoryBuilder;
use crate::layout::{KeyEntry, Layout, OverflowColumns, Place, Scope};

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_741_392_000 * SECOND;

/// What one tenant has in each slice: rows and, of them, traces; no rows: it is not there.
type Shares = Vec<(u32, u32)>;

/// A meta whose numbers fit, from what each tenant has in each slice.
fn meta_of(shares: &[Shares], keys: KeyDirectory) -> BlockMeta {
    let n_slices = shares.first().map_or(0, Vec::len);
    let total = |slice: usize| {
        let of_slice = shares.iter().map(|of_tenant| of_tenant[slice]);
        of_slice.fold((0, 0), |sum, share| (sum.0 + share.0, sum.1 + share.1))
    };
    let mut slices = Vec::new();
    let (mut first_row, mut first_trace) = (0, 0);
    for slice in 0..n_slices {
        let (n_rows, n_traces) = total(slice);
        slices.push(SliceMeta {
            first_row,
            n_rows,
            first_trace,
            n_traces,
            trace_start: time(slice as i64),
            span_time: time(slice as i64),
            events: (slice % 2 == 0).then_some(SideRows { row_group: 0, first_row: 7, n_rows: 9 }),
            links: None,
            continues: (slice + 1 < n_slices && slice % 3 == 1)
                .then(|| TraceId::from_bytes([slice as u8; 16])),
        });
        (first_row, first_trace) = (first_row + n_rows, first_trace + n_traces);
    }
    let mut next: Vec<_> = slices.iter().map(|s| (s.first_row, s.first_trace)).collect();
    let tenants = shares.iter().zip(0u32..).map(|(of_tenant, number)| {
        let mut ranges = Vec::new();
        for (slice, (n_rows, n_traces)) in of_tenant.iter().copied().enumerate() {
            if n_rows > 0 {
                let (first_row, first_trace) = next[slice];
                let slice_number = slice as u32;
                ranges.push(TenantRange {
                    slice: slice_number,
                    first_row,
                    n_rows,
                    first_trace,
                    n_traces,
                });
                next[slice] = (first_row + n_rows, first_trace + n_traces);
            }
        }
        TenantMeta {
            tenant: Tenant::parse(&format!("tenant-{number:05}")).expect("a name"),
            ranges,
            resources: number * 2..number * 2 + 2,
            scopes: number..number + 1,
            received_unix_nanos: UnixNanosRange { min: NOW as u64, max: NOW as u64 + 5 },
            span_time: time(0),
            bytes_estimate: 1500 + u64::from(number),
        }
    });
    let tenants = tenants.collect();
    let log = Uuid([7; 16]);
    let position = |offset| Position { segment: 3, offset };
    let names = ["spans.parquet", "traces.parquet", "resources.parquet", "scopes.parquet"];
    let more = ["events.parquet", "rollup.parquet", "ids.filter"];
    let file = |name: &&str| FileMeta { name: name.to_string(), bytes: 30_000_000, crc32c: 9 };
    BlockMeta {
        id: BlockId::new(NOW as u64 / 1_000_000, [9; 10]),
        writer: "suyuan 0.1.0".to_owned(),
        shard: Shard::WHOLE,
        log_ranges: vec![LogRange { log, from: position(4096), to: position(8192) }],
        received_unix_nanos: UnixNanosRange { min: NOW as u64, max: NOW as u64 + 5 },
        span_time: time(0).union(time(100)),
        trace_start: time(0),
        n_duplicates_removed: 3,
        slices,
        tenants,
        keys,
        files: names.iter().chain(&more).map(file).collect(),
        sort_rule: SORT_RULE,
        dedupe_rule: DEDUPE_RULE,
        rollup: Some(RollupMeta { rule: ROLLUP_RULE, step_nanos: 15_000_000_000 }),
        key_id: String::new(),
        compaction_level: 2,
        content_seq: 17,
        overflow_columns: OverflowColumns::Sixteen,
    }
}

fn time(slice: i64) -> TimeRange {
    let start = NOW + slice * 6 * SECOND;
    TimeRange { min_unix_nanos: start, max_unix_nanos: start + 6 * SECOND - 1 }
}

fn small() -> BlockMeta {
    meta_of(&[vec![(10, 2), (5, 5)], vec![(1, 1), (0, 0)]], KeyDirectory::default())
}

/// Tenant `t` has the keys of `keys_of(t)`.
fn directory(n_tenants: u32, keys_of: impl Fn(u32) -> Vec<String>) -> KeyDirectory {
    let mut chunks = Vec::new();
    let mut counts = crate::layout::KeyCounts::default();
    for tenant in 0..n_tenants {
        let chunk = crate::directory::tests::chunk_with_keys(&keys_of(tenant));
        counts.add_chunk(&chunk);
        chunks.push(chunk);
    }
    let layout = Layout::decide(&counts, 1_000_000, 0, 0);
    let mut builder = DirectoryBuilder::new(&layout);
    for (chunk, tenant) in chunks.iter().zip(0..) {
        builder.add_chunk(tenant, chunk);
    }
    builder.finish(n_tenants)
}

#[test]
fn what_is_encoded_is_decoded() {
    let keys = directory(2, |tenant| vec!["both".to_owned(), format!("only.{tenant}")]);
    let meta = BlockMeta { keys, ..small() };
    let encoded = meta.encode().expect("it holds together");
    assert_eq!(BlockMeta::decode(&encoded), Ok(meta.clone()));
    assert_eq!(meta.encode(), Ok(encoded), "the same meta, the same bytes");
    assert_eq!((meta.n_spans(), meta.n_traces(), meta.bytes()), (16, 8, 210_000_000));
    let second = Tenant::parse("tenant-00001").expect("a name");
    let (number, tenant) = meta.tenant(&second).expect("it is there");
    assert_eq!((number, tenant.n_spans(), tenant.n_traces()), (1, 1, 1));
    assert_eq!(tenant.range_in(0).map(TenantRange::rows), Some(10..11));
    assert_eq!(tenant.range_in(0).map(TenantRange::traces), Some(2..3));
    assert_eq!(tenant.range_in(1), None);
    assert!(meta.tenant(&Tenant::single()).is_none());
}

/// The figures in the module's header.
#[test]
fn a_meta_is_small() {
    let keys = |prefix: &str, n: u32| -> Vec<String> {
        (0..n).map(|number| format!("{prefix}.attribute.key.{number}")).collect()
    };
    let size = |shares: &[Shares], keys: KeyDirectory| {
        let meta = meta_of(shares, keys);
        let encoded = meta.encode().expect("it holds together");
        assert_eq!(BlockMeta::decode(&encoded), Ok(meta));
        encoded.len()
    };
    let usual = size(&[vec![(50_000, 3_400); 20]], directory(1, |_| keys("http", 60)));
    let tenants = vec![vec![(50, 5)]; 2_000];
    let same_keys = size(&tenants, directory(2_000, |_| keys("http", 20)));
    let own_keys = size(&tenants, directory(2_000, |t| keys(&format!("tenant{t}"), 20)));
    let many_keys = size(&[vec![(50_000, 3_400); 20]], directory(1, |_| keys("user", 10_000)));
    println!(
        "one tenant of 60 keys {usual} bytes; 2,000 tenants of the same 20 keys {same_keys}, \
         of 20 own keys {own_keys}; one tenant of 10,000 keys {many_keys}"
    );
    assert!(usual < 2_500, "{usual} bytes for a block of one tenant");
    assert!(same_keys < 40_000, "{same_keys} bytes for 2,000 tenants");
    assert!(own_keys < 200_000, "{own_keys} bytes for 2,000 tenants with keys of their own");
    assert!(many_keys < 60_000, "{many_keys} bytes for 10,000 keys");
}

#[test]
fn what_does_not_hold_together_is_refused_on_the_way_out() {
    let check = |change: &dyn Fn(&mut BlockMeta), expected: &str| {
        let mut meta = small();
        change(&mut meta);
        let error = meta.encode().expect_err(expected);
        assert_eq!(error.to_string(), format!("block meta: {expected}"));
    };
    check(&|m| m.slices.clear(), "`slices` are none");
    check(&|m| m.slices[1].first_row += 1, "`slices.first_row` leaves a gap");
    check(&|m| m.slices[1].first_trace += 1, "`slices.first_trace` leaves a gap");
    check(&|m| m.slices[0].n_traces = 0, "`slices.n_traces` is 0");
    check(&|m| m.slices[1].n_traces = 6, "`slices.n_traces` is above the rows");
    check(&|m| m.slices[1].n_rows = u32::MAX, "`slices.n_rows` goes beyond 2^32");
    check(&|m| m.slices[1].n_rows = 6, "`tenants.ranges` leave rows of a slice to nobody");
    check(
        &|m| m.slices[0].trace_start.max_unix_nanos = 0,
        "`slices.trace_start` ends before it begins",
    );
    check(&|m| m.tenants.swap(0, 1), "`tenants.name` is not in order, or stands twice");
    check(&|m| m.tenants[1].ranges[0].first_row = 0, "`tenants.ranges` leave a gap");
    check(&|m| m.tenants[1].ranges[0].slice = 2, "`tenants.ranges.slice` is beyond the last slice");
    check(&|m| m.tenants[0].ranges.swap(0, 1), "`tenants.ranges` are not in order of slices");
    check(&|m| m.tenants[1].ranges.clear(), "`tenants.ranges` are none");
    check(&|m| drop(m.tenants.pop()), "`tenants.ranges` leave rows of a slice to nobody");
    check(&|m| m.tenants[1].resources.start = 1, "`tenants.resources` leaves a gap");
    check(&|m| m.tenants[1].scopes.start = 0, "`tenants.scopes` leaves a gap");
    check(&|m| m.files[0].name = "../LOCK".to_owned(), "`files.name` is not a name for a file");
    check(&|m| m.files[0].name = ".".to_owned(), "`files.name` is not a name for a file");
    check(&|m| m.files[1].name = "spans.parquet".to_owned(), "`files.name` stands twice");
    check(&|m| (m.shard.first, m.shard.last) = (2, 1), "`shard` ends before it begins");
    check(&|m| m.received_unix_nanos.max = 0, "`received` ends before it begins");
    check(&|m| m.log_ranges[0].from.segment = 4, "`log_ranges` ends before it begins");
    check(&|m| m.writer = "x".repeat(257), "`writer` is too long");
    let last_goes_on = |m: &mut BlockMeta| {
        m.slices.last_mut().expect("a slice").continues = Some(TraceId::from_bytes([1; 16]));
    };
    check(&last_goes_on, "`slices.continues` is said of the last slice");
}

#[test]
fn a_block_of_64_overflow_columns_says_so_to_programs_that_do_not_know_it() {
    let sixteen = small();
    let sixty_four = BlockMeta { overflow_columns: OverflowColumns::SixtyFour, ..small() };
    let encoded = sixty_four.encode().expect("it holds together");
    let mut features = Vec::new();
    fields::each_field("BlockMeta", &encoded, |field| {
        if field.number() == 2 {
            features.push(field.long_text("features")?.to_owned());
        }
        Ok(())
    })
    .expect("what was encoded");
    assert_eq!(features, ["overflow-64"]);
    assert_eq!(BlockMeta::decode(&encoded), Ok(sixty_four.clone()));

    let refused = "block meta: `overflow_columns` is not what the features say";
    let mut feature_alone = Writer::append_to(sixteen.encode().expect("it holds together"));
    feature_alone.bytes(2, b"overflow-64");
    let error = BlockMeta::decode(feature_alone.as_bytes()).expect_err("it has 16");
    assert_eq!(error.to_string(), refused);
    let body = encoding::encode_body(&sixty_four);
    let mut number_alone = Writer::new();
    number_alone.varint(1, FORMAT_VERSION.into());
    number_alone.varint(3, body.len() as u64);
    number_alone.bytes(4, &zstd::bulk::compress(&body, 1).expect("it is compressed"));
    let error = BlockMeta::decode(number_alone.as_bytes()).expect_err("no feature says 64");
    assert_eq!(error.to_string(), refused);

    let mut body = Writer::append_to(encoding::encode_body(&sixteen));
    body.varint(19, 16);
    assert_eq!(BlockMeta::decode_body(body.as_bytes()), Ok(sixteen));
}

#[test]
fn a_later_program_may_add_and_is_refused_by_name() {
    let meta = small();
    let encoded = meta.encode().expect("it holds together");
    let with = |write: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::append_to(encoded.clone());
        write(&mut writer);
        BlockMeta::decode(&writer.into_bytes()).map_err(|error| error.to_string())
    };
    assert_eq!(with(&|w| w.varint(99, 1)), Ok(meta));
    let refused = |error: &str| Err(format!("block meta: {error}"));
    assert_eq!(with(&|w| w.varint(1, 2)), refused("format version 2, this program reads 1"));
    let error = "needs the feature `encryption`, which only a later program knows";
    assert_eq!(with(&|w| w.bytes(2, b"encryption")), refused(error));
    let error = "its body does not inflate to the 5 bytes it should have";
    assert_eq!(with(&|w| w.varint(3, 5)), refused(error));
    let error = "99999999999 bytes, more than 33554432";
    assert_eq!(with(&|w| w.varint(3, 99_999_999_999)), refused(error));
    let error = "`BlockMeta` has wire type 0 in field 4, which this field cannot have";
    assert_eq!(with(&|w| w.varint(4, 5)), refused(error));
}

#[test]
fn a_body_that_lies_is_refused_where_it_lies() {
    let check = |write: &dyn Fn(&mut Writer), expected: &str| {
        let mut writer = Writer::append_to(encoding::encode_body(&small()));
        write(&mut writer);
        let error = encoding::decode_body(writer.as_bytes())
            .and_then(|meta| check::check(&meta))
            .expect_err(expected);
        assert_eq!(error.to_string(), format!("block meta: {expected}"));
    };
    check(&|w| w.bytes(1, &[0; 15]), "`id` has not 16 bytes");
    check(&|w| w.bytes(1, &[0; 16]), "`id` is not a uuid of version 7");
    check(&|w| w.bytes(2, &[0xff]), "`writer` is not UTF-8");
    check(&|w| w.bytes(2, &[b'x'; 257]), "`writer` is too long");
    check(
        &|w| w.message(3, |w| w.varint(1, 2)),
        "`shard.hash` is a function that only a later program knows",
    );
    check(&|w| w.message(9, |w| w.varint(1, 1 << 32)), "`slices.n_rows` goes beyond 2^32");
    check(
        &|w| w.message(9, |w| w.bytes(7, &[1; 15])),
        "`slices.continues` is not a trace id of 16 bytes",
    );
    check(&|w| w.bytes(9, &[0x08]), "`slices` ends in the middle of a field");
    check(&|w| w.message(10, |w| w.bytes(1, b"a/b")), "`tenants.name` is not the name of a tenant");
    check(
        &|w| w.message(10, |w| w.bytes(2, &[9, 1, 1])),
        "`tenants.ranges.slice` is beyond the last slice",
    );
    check(&|w| w.message(10, |w| w.bytes(2, &[0, 1])), "`tenants.ranges.n_traces` is missing");
    check(&|w| w.message(10, |w| w.bytes(1, b"zz")), "`tenants.ranges` are none");
    check(&|w| w.varint(13, 1 << 40), "`sort_rule` goes beyond 2^32");
    check(&|w| w.message(15, |_| ()), "`rollup.step_nanos` is 0");
    for count in [0, 15, 32, 128] {
        check(&|w| w.varint(19, count), "`overflow_columns` is neither 16 nor 64");
    }
    check(&|w| w.varint(19, 1 << 32 | 16), "`overflow_columns` goes beyond 2^32");
    check(
        &|w| w.message(11, |w| w.message(1, |w| w.varint(3, 8))),
        "`keys.entries.type` is not one this program knows",
    );
    check(
        &|w| w.message(11, |w| w.message(1, |w| w.varint(1, 5))),
        "`keys.entries.scope` is not one this program knows",
    );
    check(
        &|w| w.message(11, |w| w.message(1, |w| w.varint(5, 4))),
        "`keys.entries.place` is not one this program knows",
    );
    check(&|w| w.message(11, |w| w.bytes(3, &[0; 33])), "`keys.unlisted` is not a filter");
    check(
        &|w| {
            w.message(11, |w| {
                w.message(1, |_| ());
                w.message(1, |_| ());
            });
        },
        "`keys.entries` say a key twice",
    );
    check(
        &|w| w.message(11, |w| w.message(1, |w| w.bytes(6, &[1, 0]))),
        "`keys.entries.tenants` has an empty run",
    );
}

#[test]
fn names_of_blocks_sort_by_time_and_are_read_in_one_way() {
    let id = BlockId::new(0x0195_7425_a1b2, [0xff; 10]);
    assert_eq!(id.to_string(), "01957425-a1b2-7fff-bfff-ffffffffffff");
    assert_eq!(BlockId::parse("01957425-a1b2-7fff-bfff-ffffffffffff"), Ok(id));
    assert_eq!(id.unix_millis(), 0x0195_7425_a1b2);
    assert!(BlockId::new(0x0195_7425_a1b3, [0; 10]) > id);
    for text in [
        "",
        "01957425-A1B2-7FFF-BFFF-FFFFFFFFFFFF",
        "01957425a1b27fffbfffffffffffffff",
        "01957425-a1b2-4fff-bfff-ffffffffffff",
        "01957425-a1b2-7fff-3fff-ffffffffffff",
        "01957425-a1b2-7fff-bfff-ffffffffffff0",
        "../25-a1b2-7fff-bfff-ffffffffffff",
    ] {
        assert_eq!(BlockId::parse(text), Err(BadBlockId), "{text}");
    }
}

fn shares() -> impl Strategy<Value = Vec<Shares>> {
    let share = prop_oneof![
        1 => Just((0, 0)),
        4 => (1u32..100_000).prop_flat_map(|n_rows| (Just(n_rows), 1..=n_rows)),
    ];
    (1usize..6, 1usize..8)
        .prop_flat_map(move |(n_slices, n_tenants)| vec(vec(share.clone(), n_slices), n_tenants))
}

fn key_entries() -> impl Strategy<Value = Vec<KeyEntry>> {
    let place = prop_oneof![
        Just(Place::List),
        Just(Place::Overflow),
        any::<bool>().prop_map(|has_bloom| Place::Column { has_bloom }),
    ];
    let parts = (0usize..5, "[a-zé.]{0,6}", 0usize..8, any::<u64>(), place);
    vec(parts, 0..20).prop_map(|parts| {
        let mut entries: Vec<KeyEntry> = Vec::new();
        for (scope, key, value_type, count, place) in parts {
            let (scope, value_type) = (Scope::ALL[scope], ValueType::ALL[value_type]);
            let key: Arc<str> = key.into();
            let is_it = |e: &KeyEntry| (e.scope, e.value_type, &e.key) == (scope, value_type, &key);
            if !entries.iter().any(is_it) {
                entries.push(KeyEntry { scope, key, value_type, count, place });
            }
        }
        entries
    })
}

proptest! {
    #[test]
    fn any_meta_that_holds_together_survives(
        shares in shares(),
        entries in key_entries(),
        content_seq in any::<u64>(),
        span_time in any::<(i64, i64)>(),
        overflow_columns in prop::sample::select(vec![
            OverflowColumns::Sixteen,
            OverflowColumns::SixtyFour,
        ]),
    ) {
        let mut meta = meta_of(&shares, KeyDirectory::of_entries(entries));
        meta.content_seq = content_seq;
        meta.overflow_columns = overflow_columns;
        meta.span_time = TimeRange::of(span_time.0).union(TimeRange::of(span_time.1));
        let has_rows = |share: &Vec<(u32, u32)>| share.iter().any(|(n_rows, _)| *n_rows > 0);
        let is_sound = shares.iter().all(has_rows) && meta.slices.iter().all(|s| s.n_rows > 0);
        match meta.encode() {
            Ok(encoded) => prop_assert_eq!(BlockMeta::decode(&encoded), Ok(meta)),
            Err(error) => prop_assert!(!is_sound, "{}", error),
        }
    }

    #[test]
    fn bytes_from_outside_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = BlockMeta::decode(&bytes);
        let _ = encoding::decode_body(&bytes).and_then(|meta| check::check(&meta));
    }

    #[test]
    fn a_changed_byte_of_the_body_gives_an_error_or_a_meta_that_holds_together(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut body = encoding::encode_body(&small());
        let place = place.index(body.len());
        body[place] = byte;
        if let Ok(meta) = encoding::decode_body(&body) && check::check(&meta).is_ok() {
            let encoded = meta.encode().expect("it was checked");
            prop_assert_eq!(BlockMeta::decode(&encoded), Ok(meta));
        }
    }
}
