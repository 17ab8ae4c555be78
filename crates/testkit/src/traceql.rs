//! TraceQL, answered the obvious way: what every clever answer is held against.
//!
//! In: spans as plain structs, the tree of a query. Out: which traces a search must answer with, in
//! which order, and what it says of them. Written from the language's rules alone: a loop over
//! spans, a walk over the tree of the query; no columns, no dictionaries, no shortcuts. Beside it:
//! traces drawn as text, scripts of queries over them, and both of them at random.

pub mod drawing;
pub mod evaluate;
pub mod random;
pub mod runner;
pub mod script;
pub mod search;
pub mod shown;
pub mod span;
pub mod structure;
pub mod table;
