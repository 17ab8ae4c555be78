//! The bytes of version 1, for ever, and bytes that are not.

use bytes::BytesMut;
use expect_test::expect;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::change::{CommitId, Entry};
use crate::format::{decode_entry, decode_snapshot, encode_entry, encode_snapshot};
use crate::state::WriterState;

fn entry() -> Entry {
    Entry {
        shard: 3,
        number: 258,
        commit: CommitId { writer: uuid(0xee, 1), sequence: 9 },
        take_overs: vec![Owner { log: log(2), epoch: 1 }],
        change: Change {
            owners: vec![Owner { log: log(1), epoch: 2 }],
            ranges: vec![LogRange { log: log(1), from: at(4096), to: at(70_000) }],
            adds: vec![NewBlock { id: block(1), meta: Bytes::from_static(b"meta") }],
            removes: vec![block(2)],
            tombstones: vec![tombstone(Some(0x77)), tombstone(None)],
            forbids: vec![block(3)],
            forgets: Forgets {
                removed: vec![block(4)],
                forbidden: vec![block(5)],
                tombstones: vec![TombstoneId { number: 200, index: 1 }],
            },
        },
    }
}

fn state() -> State {
    let mut state = State { number: 257, ..State::default() };
    let block_1 = Block { id: block(2), added: 200, meta: Bytes::from_static(b"old meta") };
    state.blocks.insert(block(2), Arc::new(block_1));
    state.logs.insert(log(1), LogState { epoch: 2, to: Some(at(4096)) });
    state.logs.insert(log(2), LogState { epoch: 0, to: None });
    let id = TombstoneId { number: 200, index: 1 };
    state.tombstones.insert(id, Arc::new(tombstone(Some(0x77))));
    state.removed.insert(block(4), Moment { number: 201, unix_nanos: 1_767_225_600_000_000_000 });
    state.forbidden.insert(block(5), Moment { number: 202, unix_nanos: 5 });
    state.writers.insert(uuid(0xee, 1), WriterState { sequence: 8, number: 257 });
    state
}

fn hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks(32).map(line).collect::<Vec<_>>().join("\n")
}

/// This expectation never changes.
#[test]
fn an_entry_of_version_1_is_read() {
    let object = encode_entry(&entry()).unwrap();
    assert_eq!(decode_entry(&object), Ok(entry()));
    expect![[r#"
        5359554e434154450100000000000000550100001b6dd03f08031082021a10ee
        00000000000000000000000000000120092a94808080000a1010000000000000
        00000000000000000110023294808080000a1010000000000000000000000000
        00000210013a9d808080000a1010000000000000000000000000000001100118
        8020200128f0a2044210b00000000000000000000000000000024a9880808000
        0a10b000000000000000000000000000000112046d65746152bd808080000a04
        6d616c6c1210777777777777777777777777777777771a96808080000a101000
        000000000000000000000000000110011814210000faed5172861852ab808080
        000a046d616c6c1a96808080000a101000000000000000000000000000000110
        011814210000faed517286185a10b00000000000000000000000000000036210
        b00000000000000000000000000000046a10b000000000000000000000000000
        000572858080800008c8011001"#]]
    .assert_eq(&hex(&object));
}

/// This expectation never changes.
#[test]
fn a_snapshot_of_version_1_is_read() {
    let object = encode_snapshot(3, &state()).unwrap();
    assert_eq!(decode_snapshot(&object), Ok((3, state())));
    expect![[r#"
        5359554e434154530100000000000000160100003088536a08031081021a9f80
        8080000a10b000000000000000000000000000000212086f6c64206d65746118
        c8012299808080000a1010000000000000000000000000000001100218012080
        202294808080000a101000000000000000000000000000000210002ace808080
        000a858080800008c801100112bd808080000a046d616c6c1210777777777777
        777777777777777777771a96808080000a101000000000000000000000000000
        000110011814210000faed51728618329f808080000a10b00000000000000000
        0000000000000410c901188080e8ef9eca9cc3183a97808080000a10b0000000
        00000000000000000000000510ca0118054297808080000a10ee000000000000
        0000000000000000011008188102"#]]
    .assert_eq(&hex(&object));
}

/// The bytes of the documentation.
#[test]
fn the_documented_entry() {
    let entry = Entry {
        shard: 0,
        number: 1,
        commit: CommitId { writer: uuid(0xee, 1), sequence: 1 },
        take_overs: Vec::new(),
        change: Change {
            ranges: vec![LogRange { log: log(1), from: at(4096), to: at(70_000) }],
            adds: vec![NewBlock { id: block(1), meta: Bytes::from_static(b"meta") }],
            ..Change::default()
        },
    };
    let object = encode_entry(&entry).unwrap();
    let page = include_str!("../../../../docs/formats/catalog.md");
    let (_, example) = page.split_once("```text\n").unwrap();
    let lines = example.lines().take_while(|line| *line != "```");
    let shown = lines.map(|line| line.split_once("   ").unwrap().0).collect::<String>();
    let shown = shown.replace(' ', "");
    assert_eq!(hex(&object).replace('\n', ""), shown);
}

/// The object with other words at 8 and 12, and a checksum that fits.
fn with_head(object: &[u8], version: u32, bits: u32) -> Vec<u8> {
    let mut object = object.to_vec();
    object[8..12].copy_from_slice(&version.to_le_bytes());
    object[12..16].copy_from_slice(&bits.to_le_bytes());
    sign(&mut object);
    object
}

fn sign(object: &mut [u8]) {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&object[..20]), &object[24..]);
    object[20..24].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn a_later_program_is_told_from_damage() {
    let object = encode_entry(&entry()).unwrap();
    let too_new = |version, bits| Err(FormatError::TooNew { version, bits });
    assert_eq!(decode_entry(&with_head(&object, 1, 0)), Ok(entry()));
    assert_eq!(decode_entry(&with_head(&object, 2, 0)), too_new(2, 0));
    assert_eq!(decode_entry(&with_head(&object, 1, 4)), too_new(1, 4));
    let mut flipped = BytesMut::from(object.clone());
    flipped[8] ^= 2;
    assert_eq!(decode_entry(&flipped), Err(FormatError::Checksum));
    let snapshot = encode_snapshot(3, &state()).unwrap();
    assert_eq!(
        decode_snapshot(&with_head(&snapshot, 1, 1)),
        Err(FormatError::TooNew { version: 1, bits: 1 })
    );
    assert_eq!(decode_entry(&snapshot), Err(FormatError::Magic("SYUNCATE")));
    assert_eq!(decode_snapshot(&object), Err(FormatError::Magic("SYUNCATS")));
}

#[test]
fn a_field_that_changes_the_meaning_is_not_passed_over() {
    let with_field = |object: &[u8], number| {
        let mut writer = suyuan_wire::protobuf::Writer::append_to(object.to_vec());
        writer.varint(number, 1);
        let mut object = writer.into_bytes();
        let body_bytes = (object.len() - 24) as u32;
        object[16..20].copy_from_slice(&body_bytes.to_le_bytes());
        sign(&mut object);
        object
    };
    let unknown = |message| FormatError::UnknownField { message, number: 63 };
    let object = encode_entry(&entry()).unwrap();
    assert_eq!(decode_entry(&with_field(&object, 64)), Ok(entry()));
    let error = decode_entry(&with_field(&object, 63)).unwrap_err();
    assert_eq!((error.is_too_new(), error), (true, unknown("entry")));
    let snapshot = encode_snapshot(3, &state()).unwrap();
    assert_eq!(decode_snapshot(&with_field(&snapshot, 64)), Ok((3, state())));
    assert_eq!(decode_snapshot(&with_field(&snapshot, 63)), Err(unknown("snapshot")));
}

#[test]
fn a_snapshot_says_nothing_twice() {
    let (body, head) = (encode_snapshot(3, &state()).unwrap().split_off(24), [0; 24]);
    let mut fields = suyuan_wire::protobuf::Reader::new(&body);
    let mut found = Vec::new();
    while let Some(field) = fields.next_field().unwrap() {
        let Ok(message) = field.bytes() else { continue };
        let mut writer = suyuan_wire::protobuf::Writer::append_to(head.to_vec());
        writer.raw_fields(&body);
        writer.bytes(field.number, message);
        let mut object = writer.into_bytes();
        object[..8].copy_from_slice(b"SYUNCATS");
        object[8] = 1;
        let body_bytes = (object.len() - 24) as u32;
        object[16..20].copy_from_slice(&body_bytes.to_le_bytes());
        sign(&mut object);
        found.push(decode_snapshot(&object).unwrap_err());
    }
    let twice = ["block", "log", "log", "tombstone", "removed block", "forbidden block", "writer"];
    assert_eq!(found, twice.map(FormatError::Twice));
}

#[test]
fn an_entry_for_a_later_program_stops_the_reader() {
    use suyuan_objects::Objects;
    let objects = MemoryObjects::new();
    let catalog = open(&objects, 1);
    let entry = Entry { shard: 0, number: 1, ..entry() };
    let object = with_head(&encode_entry(&entry).unwrap(), 2, 0);
    objects.create("catalog/0/entries/00000000000000000001", object.into()).unwrap();
    let expected = "catalog object `catalog/0/entries/00000000000000000001` asks for version 2 \
                    with must-understand bits 0x0, this program knows version 1 with bits 0x0: \
                    use the program that wrote it, or a later one";
    assert_eq!(catalog.refresh().unwrap_err().to_string(), expected);
    let error = catalog.commit(add(1)).unwrap_err();
    assert_eq!(error.to_string(), format!("the change was not committed: {expected}"));
    assert!(Catalog::open(Arc::new(objects), options(2)).is_err());
}

#[test]
fn objects_cut_or_flipped_anywhere_are_refused() {
    let (entry, snapshot) =
        (encode_entry(&entry()).unwrap(), encode_snapshot(3, &state()).unwrap());
    for object in [&entry, &snapshot] {
        let check = |bytes: &[u8], story: String| {
            assert!(decode_entry(bytes).is_err() && decode_snapshot(bytes).is_err(), "{story}");
        };
        for len in 0..object.len() {
            check(&object[..len], format!("{len} bytes"));
        }
        for bit in 0..object.len() * 8 {
            let mut flipped = object.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            check(&flipped, format!("bit {bit}"));
        }
    }
}

#[test]
fn an_entry_has_a_size_limit() {
    let objects = MemoryObjects::new();
    let catalog = open(&objects, 1);
    let meta = Bytes::from(vec![0; 64 << 20]);
    let adds = vec![NewBlock { id: block(1), meta }];
    let error = catalog.commit(Change { adds, ..Change::default() }).unwrap_err();
    assert!(matches!(error, CommitError::TooLarge { .. }), "{error}");
    assert_eq!(catalog.commit(add(2)).unwrap().number, 1);
}

proptest! {
    /// Whatever the body says behind a right head: an answer, and one that stays the same when it
    /// is written and read again.
    #[test]
    fn any_body_has_an_answer(
        cuts in vec((0_usize..600, vec(any::<u8>(), 0..6)), 0..4),
        is_entry in any::<bool>(),
    ) {
        let object = match is_entry {
            true => encode_entry(&entry()).unwrap(),
            false => encode_snapshot(3, &state()).unwrap(),
        };
        let mut object = object.to_vec();
        for (place, bytes) in cuts {
            let place = 24 + place % (object.len() - 24);
            let end = object.len().min(place + bytes.len());
            object.splice(place..end, bytes);
        }
        let body_bytes = (object.len() - 24) as u32;
        object[16..20].copy_from_slice(&body_bytes.to_le_bytes());
        sign(&mut object);
        if let Ok(entry) = decode_entry(&object) {
            prop_assert_eq!(decode_entry(&encode_entry(&entry).unwrap()), Ok(entry));
        }
        if let Ok((shard, state)) = decode_snapshot(&object) {
            prop_assert_eq!(decode_snapshot(&encode_snapshot(shard, &state).unwrap()), Ok((shard, state)));
        }
    }
}
