//! An S3-style store in this process, on a port of its own.
//!
//! In: requests of any S3 client. Out: what `s3s-fs` answers, from a folder that disappears with
//! it. `s3s-fs` looks whether an object exists and then writes it; here such requests wait for each
//! other, so that creation is as atomic as a real store's. Requests can be made to go wrong.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The one bucket.
pub const BUCKET: &str = "spans";
/// The one user.
pub const ACCESS_KEY_ID: &str = "suyuan";
/// The user's password.
pub const SECRET_ACCESS_KEY: &str = "suyuan-secret";

/// What goes wrong with a request that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpFault {
    /// Answered with this status, without effect.
    Refuse(StatusCode),
    /// Takes effect, and is answered with this status.
    Answer(StatusCode),
    /// Takes effect, and the connection breaks instead of an answer.
    HangUp,
    /// Takes effect, and no answer ever comes.
    Silence,
}

/// The store. It ends when it is dropped.
pub struct FakeS3 {
    address: SocketAddr,
    folder: TempDir,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

struct Shared {
    service: S3Service,
    one_put_at_a_time: tokio::sync::Mutex<()>,
    faults: Mutex<VecDeque<HttpFault>>,
    requests: AtomicU64,
}

impl FakeS3 {
    /// Starts an empty store.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
        let files = FileSystem::new(folder.path()).expect("a store in the folder");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let shared = Arc::new(Shared {
            service: builder.build(),
            one_put_at_a_time: tokio::sync::Mutex::default(),
            faults: Mutex::default(),
            requests: AtomicU64::new(0),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("its number");
        runtime.spawn(serve(listener, Arc::clone(&shared)));
        Self { address, folder, shared, _runtime: runtime }
    }

    /// The store's URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next requests that write go wrong, one after the other.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = HttpFault>) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
    }

    /// How many requests came so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// How many files of uploads in parts that were neither completed nor aborted.
    pub fn n_unfinished_upload_files(&self) -> usize {
        let names = std::fs::read_dir(self.folder.path()).expect("the store's folder");
        let names = names.map(|entry| entry.expect("a name").file_name());
        names.filter(|name| name.to_string_lossy().starts_with(".upload")).count()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&shared), request));
            // A client that hangs up is none of the store's concern.
            let _ = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let is_write = matches!(*request.method(), Method::PUT | Method::POST | Method::DELETE);
    let fault = if is_write {
        shared.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    } else {
        None
    };
    if let Some(HttpFault::Refuse(status)) = fault {
        return Ok(empty(status));
    }
    let request = request.map(Body::from);
    let answered = if is_write {
        let _alone = shared.one_put_at_a_time.lock().await;
        shared.service.call(request).await
    } else {
        shared.service.call(request).await
    };
    match fault {
        Some(HttpFault::Answer(status)) => Ok(empty(status)),
        Some(HttpFault::Silence) => std::future::pending().await,
        Some(HttpFault::HangUp) => Err(HttpError::new("the connection breaks".into())),
        _ => answered,
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
