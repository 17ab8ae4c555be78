//! What gets a column, and in which order keys stand.

use super::*;
