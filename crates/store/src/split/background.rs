//! The thread that finds out which traces are split before anybody asks.
//!
//! In: a view with other blocks than the last one. Out: split sets of the tenants of these blocks.
//! Nothing waits for it: who asks first does the work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use suyuan_model::Tenant;
use suyuan_wal::Uuid;

use crate::Inner;
use crate::snapshot::Snapshot;
use crate::view::View;

/// What this thread adds to its niceness.
const NICENESS: i32 = 5;

/// What the thread and its callers share.
#[derive(Default)]
pub(crate) struct Splitter {
    state: Mutex<State>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    has_news: bool,
    is_stopping: bool,
}

impl Splitter {
    pub(crate) fn start(&self, inner: &Arc<Inner>) -> std::io::Result<()> {
        let weak = Arc::downgrade(inner);
        let splitter = inner.splitter.clone();
        let thread = std::thread::Builder::new()
            .name("suyuan-split".to_owned())
            .spawn(move || splitter.run(&weak))?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        self.wake();
        Ok(())
    }

    /// Ends after the tenant it is at.
    pub(crate) fn stop(&self) {
        self.state().is_stopping = true;
        self.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            // The last handle on the store may be the thread's own.
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread that looks for split traces panicked");
        }
    }

    /// There are other blocks.
    pub(crate) fn wake(&self) {
        self.state().has_news = true;
        self.changed.notify_all();
    }

    fn run(&self, inner: &Weak<Inner>) {
        if let Err(error) = rustix::process::nice(NICENESS) {
            tracing::debug!(%error, "split traces are looked for at the priority of everything else");
        }
        let mut seen = BTreeSet::new();
        while self.wait() {
            let Some(inner) = inner.upgrade() else { return };
            let view = inner.view();
            inner.splits.retain(&view);
            for tenant in tenants_of(&view, &seen) {
                if self.state().is_stopping {
                    return;
                }
                if let Err(error) = Snapshot::new(inner.clone(), &tenant).split() {
                    tracing::warn!(%error, "cannot look for split traces; it is done when asked");
                }
            }
            seen = view.blocks.keys().copied().collect();
        }
    }

    /// Waits for news. False: it shall stop.
    fn wait(&self) -> bool {
        let is_quiet = |state: &mut State| !state.has_news && !state.is_stopping;
        let state = self.changed.wait_while(self.state(), is_quiet);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.has_news = false;
        !state.is_stopping
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tenants that have rows in new blocks, those who have most first.
fn tenants_of(view: &View, seen: &BTreeSet<Uuid>) -> Vec<Tenant> {
    let mut tenants: BTreeMap<&Tenant, u64> = BTreeMap::new();
    let new = view.blocks.iter().filter(|(id, _)| !seen.contains(id));
    for meta in new.filter_map(|(_, block)| block.meta()) {
        for tenant in &meta.tenants {
            *tenants.entry(&tenant.tenant).or_default() += tenant.n_spans();
        }
    }
    let mut tenants: Vec<(u64, &Tenant)> =
        tenants.into_iter().map(|(tenant, n_spans)| (n_spans, tenant)).collect();
    tenants.sort_by_key(|(n_spans, tenant)| (std::cmp::Reverse(*n_spans), *tenant));
    tenants.into_iter().map(|(_, tenant)| tenant.clone()).collect()
}
