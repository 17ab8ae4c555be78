//! Types against the tables of the corpora.
