//! Finding an id and a value, and how often the store is asked.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use suyuan_objects::{Created, ObjectInfo, ObjectWriter};

use super::*;

/// Counts the questions to a store.
struct Counting {
    objects: Arc<dyn Objects>,
    n_calls: AtomicUsize,
    n_bytes: AtomicUsize,
}

impl Counting {
    fn take(&self) -> (usize, usize) {
        (self.n_calls.swap(0, Ordering::Relaxed), self.n_bytes.swap(0, Ordering::Relaxed))
    }
}

impl Objects for Counting {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError> {
        self.objects.put(path, bytes)
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, ObjectError> {
        self.objects.create(path, bytes)
    }

    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>, ObjectError> {
        self.objects.writer(path)
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, ObjectError> {
        self.objects.get(path)
    }

    fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ObjectError> {
        let n_bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        self.n_calls.fetch_add(1, Ordering::Relaxed);
        self.n_bytes.fetch_add(n_bytes as usize, Ordering::Relaxed);
        self.objects.get_ranges(path, ranges)
    }

    fn head(&self, path: &str) -> Result<Option<ObjectInfo>, ObjectError> {
        self.objects.head(path)
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, ObjectError> {
        self.objects.list(folder)
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        self.objects.delete(path)
    }

    fn delete_folder(&self, folder: &str) -> Result<(), ObjectError> {
        self.objects.delete_folder(folder)
    }

    fn now_unix_nanos(&self) -> Result<u64, ObjectError> {
        self.objects.now_unix_nanos()
    }
}

fn id(number: u32) -> [u8; 16] {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    id
}

fn ids(numbers: &[u32]) -> ArrayRef {
    let ids = numbers.iter().map(|number| id(*number));
    Arc::new(FixedSizeBinaryArray::try_from_iter(ids).expect("16 bytes each"))
}

fn properties(page_rows: usize, has_dictionary: bool) -> WriterProperties {
    WriterProperties::builder()
        .set_compression(zstd())
        .set_dictionary_enabled(has_dictionary)
        .set_data_page_row_count_limit(page_rows)
        .set_write_batch_size(page_rows)
        .set_max_row_group_row_count(Some(100_000))
        .set_bloom_filter_enabled(true)
        .build()
}

fn counted(bytes: Vec<u8>) -> (Arc<Counting>, u64) {
    let (objects, n_bytes) = store(bytes);
    let counting = Counting { objects, n_calls: AtomicUsize::new(0), n_bytes: AtomicUsize::new(0) };
    (Arc::new(counting), n_bytes)
}

#[test]
fn the_store_is_asked_once_for_everything() {
    let numbers: Vec<u32> = (0..60_000).map(|row| row / 9).collect();
    let columns = batch(vec![
        ("trace_id", ids(&numbers)),
        ("name", texts(60_000, 70)),
        ("path", texts(60_000, 50_000)),
        ("nothing", Arc::new(UInt32Array::new_null(60_000))),
    ]);
    let (objects, n_bytes) = counted(write(&columns, properties(1_000, true)));
    let reader = FileReader::open(Arc::clone(&objects) as Arc<dyn Objects>, PATH, n_bytes)
        .expect("a whole file");
    assert!(objects.take().0 <= 2, "footer and page index");
    let rows = reader.find_id(0, 0, 0..60_000, &id(3_000)).expect("a whole file");
    assert_eq!(rows, Some(27_000..27_009));
    assert_eq!(objects.take().0, 1, "the page that holds it, and its dictionary");
    assert_eq!(reader.find_id(0, 0, 0..60_000, &id(90_000)).expect("a whole file"), None);
    assert_eq!(objects.take(), (0, 0), "the bounds of pages are known");
    let read = reader.read(0, 27_000..27_009, &[0, 1, 2, 3]).expect("a whole file");
    assert_eq!(read.len(), 4);
    let (n_calls, n_first) = objects.take();
    assert_eq!(n_calls, 1);
    reader.read(0, 27_000..27_009, &[0, 1, 2, 3]).expect("a whole file");
    let (n_calls, n_again) = objects.take();
    assert_eq!(n_calls, 1);
    assert!(n_again < n_first, "dictionaries are kept: {n_again} bytes after {n_first}");
    reader.read(0, 0..60_000, &[3]).expect("a whole file");
    assert_eq!(objects.take(), (0, 0), "nothing is read of what is not there");
}

#[test]
fn a_footer_longer_than_the_first_look_takes_two() {
    let columns: Vec<(String, ArrayRef)> =
        (0..400).map(|number| (format!("attribute number {number}"), texts(50, 50))).collect();
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let (objects, n_bytes) = counted(write(&batch, properties(10, true)));
    let reader = FileReader::open(Arc::clone(&objects) as Arc<dyn Objects>, PATH, n_bytes)
        .expect("a whole file");
    assert_eq!(objects.take().0, 2);
    let read = reader.read(0, 7..9, &[399]).expect("a whole file");
    assert_eq!(cells(&read[0], 2), [Some(b"/7".to_vec()), Some(b"/8".to_vec())]);
}

#[test]
fn what_is_not_in_a_bloom_filter_is_not_there() {
    let numbers: Vec<u32> = (0..5_000).map(|row| row * 2).collect();
    let columns = batch(vec![("trace_id", ids(&numbers)), ("name", texts(5_000, 70))]);
    let (objects, n_bytes) = counted(write(&columns, properties(1_000, false)));
    let reader = FileReader::open(Arc::clone(&objects) as Arc<dyn Objects>, PATH, n_bytes)
        .expect("a whole file");
    objects.take();
    let may = |number| {
        reader.may_contain(0, 0, &id(number), &ReadMeter::default()).expect("a whole file")
    };
    assert!((0..5_000).all(|row| may(row * 2)));
    let n_false = (0..5_000).filter(|row| may(row * 2 + 1)).count();
    assert!(n_false < 500, "{n_false} of 5,000 absent ids seem to be there");
    assert_eq!(objects.take().0, 1, "the filter is kept");
    assert!(reader.may_contain(0, 1, b"/69", &ReadMeter::default()).expect("a whole file"));
    assert!(
        !reader.may_contain(0, 1, b"no such name", &ReadMeter::default()).expect("a whole file")
    );
    let without = WriterProperties::builder().build();
    let reader = open(write(&columns, without));
    assert!(
        reader.may_contain(0, 1, b"no such name", &ReadMeter::default()).expect("a whole file")
    );
}

#[test]
fn bounds_of_pages() {
    let values = UInt32Array::from_iter((0..300).map(|row| (row >= 100).then_some(row)));
    let reader = open(write(&batch(vec![("number", Arc::new(values))]), properties(100, false)));
    let bounds = reader.page_bounds(0, 0, &ReadMeter::default()).expect("a whole file");
    let bytes = |n: u32| Box::<[u8]>::from(n.to_le_bytes());
    let bounds_of = |min, max| Some(MinMax { min: bytes(min), max: bytes(max) });
    let page = |rows, min_max| PageBounds { rows, is_null: Option::is_none(&min_max), min_max };
    assert_eq!(
        bounds,
        [
            page(0..100, None),
            page(100..200, bounds_of(100, 199)),
            page(200..300, bounds_of(200, 299)),
        ]
    );
}

#[test]
fn a_full_cache_drops_what_was_not_used() {
    let key = |chunk| Key { reader: 1, chunk, part: Part::Dictionary };
    let value = || Cached::Dictionary(Arc::new(Values::U32(vec![1_u32].into())));
    let cache = ReadCache::new(10_000);
    for chunk in 0..8 {
        cache.insert(key(chunk), value(), 1_000);
    }
    assert_eq!(cache.bytes(), 8 * 1_128);
    assert!(cache.get([key(0)])[0].is_some());
    cache.insert(key(8), value(), 1_000);
    let kept = cache.get_all((0..9).map(key)).iter().map(Option::is_some).collect::<Vec<_>>();
    assert_eq!(kept, [true, false, true, true, true, true, true, true, true]);
    cache.insert(key(9), value(), 5_000);
    assert!(cache.get([key(9)])[0].is_none(), "one value shall not take a quarter of the cache");
    cache.forget(2);
    assert_eq!(cache.bytes(), 8 * 1_128);
    cache.forget(1);
    assert_eq!(cache.bytes(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Two tenants' rows in one row group, each in the order of ids.
    #[test]
    fn an_id_is_found_where_it_is(
        lens in prop::collection::vec((0..60_u32, 0..40_usize), 1..60),
        border in any::<prop::sample::Index>(),
        page_rows in 1..200_usize,
        has_dictionary in any::<bool>(),
        is_split in any::<bool>(),
    ) {
        let mut runs = lens;
        let border = border.index(runs.len());
        runs[..border].sort_by_key(|run| run.0);
        runs[border..].sort_by_key(|run| run.0);
        let numbers_of = |runs: &[(u32, usize)]| -> Vec<u32> {
            runs.iter().flat_map(|(number, len)| std::iter::repeat_n(*number, *len)).collect()
        };
        let first = numbers_of(&runs[..border]);
        let numbers = [first.clone(), numbers_of(&runs[border..])].concat();
        prop_assume!(!numbers.is_empty());
        let mut properties = properties(page_rows, has_dictionary).into_builder();
        if is_split {
            properties = properties.set_encoding(parquet::basic::Encoding::BYTE_STREAM_SPLIT);
        }
        let reader = open(write(&batch(vec![("trace_id", ids(&numbers))]), properties.build()));
        let border = first.len() as u32;
        for rows in [0..border, border..numbers.len() as u32] {
            for number in 0..61 {
                let found = reader.find_id(0, 0, rows.clone(), &id(number)).expect("a whole file");
                let places: Vec<u32> =
                    rows.clone().filter(|row| numbers[*row as usize] == number).collect();
                let expected = places.first().map(|first| *first..first + places.len() as u32);
                prop_assert_eq!(found, expected, "id {} in rows {:?}", number, rows);
            }
        }
    }
}
