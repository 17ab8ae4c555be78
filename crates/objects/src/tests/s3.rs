//! A bucket of an S3-style store in this process.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use suyuan_testkit::fake_s3::{ACCESS_KEY_ID, BUCKET, FakeS3, HttpFault, SECRET_ACCESS_KEY};
use tokio::runtime::Runtime;

use super::contract::{self, some_bytes};
use crate::{CachedObjects, Created, ObjectError, Objects, S3Objects, S3Options};

const MEBIBYTE: usize = 1024 * 1024;

struct Stage {
    store: FakeS3,
    runtime: Runtime,
}

impl Stage {
    fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        Self { store: FakeS3::start(), runtime }
    }

    fn options(&self) -> S3Options {
        S3Options {
            endpoint: Some(self.store.endpoint()),
            region: Some("us-east-1".to_owned()),
            access_key_id: Some(ACCESS_KEY_ID.to_owned()),
            secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()),
            allow_http: true,
            retries_max: 2,
            part_bytes: 5 * MEBIBYTE,
            ..S3Options::for_bucket(BUCKET)
        }
    }

    fn objects(&self, options: &S3Options) -> S3Objects {
        S3Objects::new(options, self.runtime.handle().clone()).unwrap()
    }
}

#[test]
fn a_whole_bucket() {
    let stage = Stage::new();
    contract::check(Arc::new(stage.objects(&stage.options())));
}

#[test]
fn a_folder_of_a_bucket() {
    let stage = Stage::new();
    let elsewhere = stage.objects(&stage.options());
    elsewhere.put("a/prefix-2/other", Bytes::new()).unwrap();
    elsewhere.put("other", Bytes::new()).unwrap();
    let options = S3Options { prefix: "a/prefix".to_owned(), ..stage.options() };
    let objects = Arc::new(stage.objects(&options));
    contract::check(Arc::new(CachedObjects::new(objects, 1_000_000)));
    let left: Vec<_> = elsewhere.list("").unwrap().into_iter().map(|info| info.path).collect();
    assert_eq!(left, ["a/prefix-2/other", "a/prefix/probe/create-if-absent", "other"]);
}

#[test]
fn an_object_in_parts() {
    let stage = Stage::new();
    let objects = stage.objects(&stage.options());
    let bytes = some_bytes(1, 17 * MEBIBYTE + 3);
    let mut writer = objects.writer("blocks/1/spans.parquet").unwrap();
    for piece in bytes.chunks(MEBIBYTE / 2 + 1) {
        writer.write_all(piece).unwrap();
    }
    assert_eq!(objects.head("blocks/1/spans.parquet").unwrap(), None);
    assert!(stage.store.n_unfinished_upload_files() > 0, "it was sent in parts");
    assert_eq!(writer.finish().unwrap(), bytes.len() as u64);
    assert_eq!(objects.get("blocks/1/spans.parquet").unwrap().unwrap(), bytes);
    let ranges = [0..10, 5_242_870..5_242_890, 17_825_790..17_825_795];
    let found = objects.get_ranges("blocks/1/spans.parquet", &ranges).unwrap();
    assert_eq!(found, ranges.map(|range| bytes.slice(range.start as usize..range.end as usize)));

    // Exactly one part, exactly two.
    for parts in [1, 2] {
        let bytes = some_bytes(2, 5 * MEBIBYTE * parts);
        let mut writer = objects.writer("exact").unwrap();
        writer.write_all(&bytes).unwrap();
        assert_eq!(writer.finish().unwrap(), bytes.len() as u64);
        assert_eq!(objects.get("exact").unwrap().unwrap(), bytes);
    }
}

#[test]
fn an_abandoned_upload_leaves_nothing() {
    let stage = Stage::new();
    let objects = stage.objects(&stage.options());
    let mut writer = objects.writer("abandoned").unwrap();
    writer.write_all(&some_bytes(1, 12 * MEBIBYTE)).unwrap();
    drop(writer);
    assert_eq!(objects.list("").unwrap(), []);
    assert_eq!(stage.store.n_unfinished_upload_files(), 0);
}

#[test]
fn a_part_that_fails_fails_the_object() {
    let stage = Stage::new();
    let options = S3Options { retries_max: 0, ..stage.options() };
    let objects = stage.objects(&options);
    let mut writer = objects.writer("broken").unwrap();
    writer.write_all(&some_bytes(1, 6 * MEBIBYTE)).unwrap();
    stage.store.fail_next([HttpFault::Refuse(StatusCode::FORBIDDEN)]);
    // The failure of a part in flight may be seen by a later write or at the end.
    let _ = writer.write_all(&some_bytes(2, 20 * MEBIBYTE));
    writer.finish().unwrap_err();
    assert_eq!(objects.list("").unwrap(), []);
    assert_eq!(stage.store.n_unfinished_upload_files(), 0);
}

#[test]
fn more_objects_than_a_page_has() {
    let stage = Stage::new();
    let objects = Arc::new(stage.objects(&stage.options()));
    let path = |number: u64| format!("many/{number:04}");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let objects = &objects;
            scope.spawn(move || {
                for number in (thread..1100).step_by(8) {
                    objects.put(&path(number), Bytes::new()).unwrap();
                }
            });
        }
    });
    let listed: Vec<_> = objects.list("many").unwrap().into_iter().map(|info| info.path).collect();
    assert_eq!(listed, (0..1100).map(path).collect::<Vec<_>>());
    objects.delete_folder("many").unwrap();
    assert_eq!(objects.list("").unwrap(), []);
}

#[test]
fn requests_are_repeated() {
    let stage = Stage::new();
    let objects = stage.objects(&stage.options());
    let busy = HttpFault::Refuse(StatusCode::SERVICE_UNAVAILABLE);
    stage.store.fail_next([busy, busy]);
    objects.put("a", Bytes::from_static(b"1")).unwrap();
    stage.store.fail_next([HttpFault::HangUp]);
    objects.put("a", Bytes::from_static(b"2")).unwrap();
    assert_eq!(objects.get("a").unwrap().unwrap(), "2");
    stage.store.fail_next([busy, busy, busy]);
    let error = objects.put("a", Bytes::from_static(b"3")).unwrap_err();
    assert!(matches!(&error, ObjectError::Failed { path, .. } if path == "a"), "{error}");
}

/// What the catalog has to live with.
#[test]
fn a_creation_whose_answer_is_lost() {
    let stage = Stage::new();
    let objects =
        stage.objects(&S3Options { request_timeout: Duration::from_secs(2), ..stage.options() });
    let own = || Bytes::from_static(b"own");
    let unsettled = |error: ObjectError| matches!(error, ObjectError::Unsettled { .. });

    // Written, answered with a 5xx or not at all, asked again below: its own object exists.
    let lost = [HttpFault::Answer(StatusCode::INTERNAL_SERVER_ERROR), HttpFault::HangUp];
    for (path, fault) in ["a", "b"].into_iter().zip(lost) {
        stage.store.fail_next([fault]);
        assert_eq!(objects.create(path, own()).unwrap(), Created::Exists, "{fault:?}");
        assert_eq!(objects.get(path).unwrap().unwrap(), own());
    }

    // Written, and no answer in time or one that says nothing about this request.
    for (path, fault) in
        ["c", "d"].into_iter().zip([HttpFault::Silence, HttpFault::Answer(StatusCode::CONFLICT)])
    {
        stage.store.fail_next([fault]);
        assert!(objects.create(path, own()).is_err_and(unsettled), "{fault:?}");
        assert_eq!(objects.get(path).unwrap().unwrap(), own());
    }

    // Another creation is under way, says S3.
    stage.store.fail_next([HttpFault::Refuse(StatusCode::CONFLICT)]);
    assert!(objects.create("e", own()).is_err_and(unsettled));
    assert_eq!(objects.get("e").unwrap(), None);

    // Refused at first, then done.
    stage.store.fail_next([HttpFault::Refuse(StatusCode::SERVICE_UNAVAILABLE)]);
    assert_eq!(objects.create("e", own()).unwrap(), Created::New);
}

#[test]
fn what_cannot_be_reached_is_named() {
    let stage = Stage::new();
    let options = S3Options { secret_access_key: Some("wrong".to_owned()), ..stage.options() };
    let objects = stage.objects(&options);
    let error = objects.get("catalog/1").unwrap_err();
    assert!(matches!(&error, ObjectError::Failed { path, .. } if path == "catalog/1"), "{error}");

    let options = S3Options {
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        retries_max: 0,
        request_timeout: Duration::from_secs(5),
        ..stage.options()
    };
    let objects = stage.objects(&options);
    objects.get("a").unwrap_err();
    objects.put("a", Bytes::new()).unwrap_err();
    let unsettled = |error: ObjectError| matches!(error, ObjectError::Unsettled { .. });
    assert!(objects.create("a", Bytes::new()).is_err_and(unsettled));

    let refused = S3Options { prefix: "../up".to_owned(), ..stage.options() };
    let handle = stage.runtime.handle().clone();
    let Err(error) = S3Objects::new(&refused, handle) else { panic!("a prefix leads out") };
    assert!(error.to_string().contains("prefix"), "{error}");
}

/// Calls belong on threads that may wait; elsewhere they end all the same.
#[test]
fn a_call_from_a_task_is_no_panic() {
    let stage = Stage::new();
    let put = |objects: S3Objects| async move { objects.put("a", Bytes::new()) };
    let objects = stage.objects(&stage.options());
    stage.runtime.block_on(stage.runtime.spawn(put(objects.clone()))).unwrap().unwrap();
    stage.runtime.block_on(put(objects.clone())).unwrap();
    let blocking = {
        let objects = objects.clone();
        move || objects.put("a", Bytes::new())
    };
    stage.runtime.block_on(stage.runtime.spawn_blocking(blocking)).unwrap().unwrap();

    let one_thread = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    one_thread.block_on(put(objects)).unwrap();
    assert!(S3Objects::new(&stage.options(), one_thread.handle().clone()).is_err());
}

#[test]
fn a_call_after_the_runtime_ended_is_an_error() {
    let stage = Stage::new();
    let objects = stage.objects(&stage.options());
    drop(stage.runtime);
    let error = objects.put("a", Bytes::new()).unwrap_err();
    assert!(error.to_string().contains("runtime"), "{error}");
}

#[test]
fn secrets_are_not_printed() {
    let text = format!("{:?}", Stage::new().options());
    assert!(text.contains(BUCKET) && !text.contains(SECRET_ACCESS_KEY), "{text}");
}
