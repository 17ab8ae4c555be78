//! Every attribute key of a block: its type, how often it occurs, where it is.
