//! Log to live data, live data to blocks, and the one scan over both.
