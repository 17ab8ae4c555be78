//! What is known of a block without opening its files.
