//! Traces that nobody on this project wrote, as export requests.
//!
//! In: the folder that `SUYUAN_CORPORA` names, or `shared/corpora` beside the checkout. Out:
//! requests with a name each. The files themselves are never copied into the project.

use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::jsonpb::read_otlp;

mod pairwise;

/// One request of a corpus.
#[derive(Clone, Debug)]
pub struct Case {
    /// The corpus and the file or row it comes from.
    pub name: String,
    /// What is to be sent.
    pub request: ExportTraceServiceRequest,
}

/// The folder with the corpora.
pub struct Corpora {
    root: PathBuf,
}

impl Corpora {
    /// Finds the folder. Where there is none, a machine of ours (`CI=true`) panics and any other
    /// gets `None`, with a line on stderr: the test is skipped, and says so.
    pub fn find() -> Option<Corpora> {
        let root =
            std::env::var_os("SUYUAN_CORPORA").map_or_else(beside_the_checkout, PathBuf::from);
        if root.join("README.md").is_file() {
            return Some(Corpora { root });
        }
        let missing = format!("no corpora at {}: set SUYUAN_CORPORA", root.display());
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "{missing}");
        eprintln!("skipped: {missing}");
        None
    }

    /// Every request of the corpora of traces.
    pub fn all(&self) -> Vec<Case> {
        [
            self.otlp_examples(),
            self.jaeger_storage_traces(),
            self.span_shapes(),
            self.trace_shapes(),
        ]
        .concat()
    }

    /// The example of the OTLP specification.
    pub fn otlp_examples(&self) -> Vec<Case> {
        vec![self.case("otlp/proto-examples/trace.json")]
    }

    /// The 32 traces of Jaeger's storage tests.
    pub fn jaeger_storage_traces(&self) -> Vec<Case> {
        let folder = self.root.join("jaeger/storage-traces/traces");
        let entries = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("a listed folder stays readable").file_name())
            .map(|name| name.into_string().expect("the corpora's file names are ASCII"))
            .collect();
        names.sort_unstable();
        names
            .iter()
            .map(|name| self.case(&format!("jaeger/storage-traces/traces/{name}")))
            .collect()
    }

    /// One request for each of the 306 pairwise combinations of what a span can look like.
    pub fn span_shapes(&self) -> Vec<Case> {
        pairwise::span_shapes(&self.text("otlp/pict/generated_pict_pairs_spans.txt"))
    }

    /// One request for each of the 32 pairwise combinations of what a request can look like.
    pub fn trace_shapes(&self) -> Vec<Case> {
        pairwise::trace_shapes(
            &self.text("otlp/pict/generated_pict_pairs_traces.txt"),
            &self.text("otlp/pict/generated_pict_pairs_spans.txt"),
        )
    }

    fn case(&self, path: &str) -> Case {
        let request = read_otlp(&self.text(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Case { name: path.to_owned(), request }
    }

    /// A file of the corpora, by its path below their folder.
    pub fn text(&self, path: &str) -> String {
        let path = self.root.join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

fn beside_the_checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora")
}

impl Case {
    /// The same request under trace ids of its own, so that it can be sent once more and be told
    /// from the first. The first eight bytes stay: leading zeros are part of what is tested.
    pub fn renumbered(&self, salt: u8) -> Case {
        let mut case = self.clone();
        let groups = case.request.resource_spans.iter_mut();
        for span in
            groups.flat_map(|group| &mut group.scope_spans).flat_map(|group| &mut group.spans)
        {
            span.trace_id[8] ^= salt;
        }
        case
    }
}

#[cfg(test)]
mod tests;
