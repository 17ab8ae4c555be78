//! Format version 1, frozen.
