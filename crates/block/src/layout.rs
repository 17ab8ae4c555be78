//! Which attribute becomes a column of its own, and which goes to the overflow.

/// What an attribute belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scope {
    Span = 0,
    Event = 1,
    Link = 2,
    Resource = 3,
    /// The instrumentation scope: the library that made the span.
    Instrumentation = 4,
}

/// Where the values of a key and type stand, in the file of its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A column of their own, `attr:<type>:<key>`.
    Column,
    /// The column `overflow_<bucket>`.
    Overflow { bucket: u8 },
    /// The column `attributes`, which holds every attribute of a row.
    List,
}

impl Scope {
    pub const ALL: [Self; 5] =
        [Self::Span, Self::Event, Self::Link, Self::Resource, Self::Instrumentation];
}
