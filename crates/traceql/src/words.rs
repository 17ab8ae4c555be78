//! The words of the language, with what they mean.
//!
//! In: a word of a text. Out: the intrinsic, the literal or the operator it stands for, and back.

use crate::ast::{
    AggregateOp, AttributeScope, FieldOp, Intrinsic, Kind, Relation, RelationMode, SpansetOp,
    Status, Value,
};

/// Each intrinsic once: as it is printed, and the other spelling if it has one (`tempo.md` 2.2).
const INTRINSICS: [(Intrinsic, &str, Option<&str>); 22] = [
    (Intrinsic::TraceDuration, "traceDuration", Some("trace:duration")),
    (Intrinsic::TraceRootName, "rootName", Some("trace:rootName")),
    (Intrinsic::TraceRootService, "rootServiceName", Some("trace:rootService")),
    (Intrinsic::TraceId, "trace:id", None),
    (Intrinsic::Duration, "duration", Some("span:duration")),
    (Intrinsic::Name, "name", Some("span:name")),
    (Intrinsic::Kind, "kind", Some("span:kind")),
    (Intrinsic::Status, "status", Some("span:status")),
    (Intrinsic::StatusMessage, "statusMessage", Some("span:statusMessage")),
    (Intrinsic::SpanId, "span:id", None),
    (Intrinsic::ParentId, "span:parentID", None),
    (Intrinsic::ChildCount, "span:childCount", None),
    (Intrinsic::NestedSetLeft, "nestedSetLeft", None),
    (Intrinsic::NestedSetRight, "nestedSetRight", None),
    (Intrinsic::NestedSetParent, "nestedSetParent", None),
    (Intrinsic::EventName, "event:name", None),
    (Intrinsic::EventTimeSinceStart, "event:timeSinceStart", None),
    (Intrinsic::LinkTraceId, "link:traceID", None),
    (Intrinsic::LinkSpanId, "link:spanID", None),
    (Intrinsic::InstrumentationName, "instrumentation:name", None),
    (Intrinsic::InstrumentationVersion, "instrumentation:version", None),
    (Intrinsic::Parent, "parent", None),
];

static LITERALS: [(&str, Value); 14] = [
    ("true", Value::Bool(true)),
    ("false", Value::Bool(false)),
    ("nil", Value::Nil),
    ("minInt", Value::Int(i64::MIN)),
    ("maxInt", Value::Int(i64::MAX)),
    ("unset", Value::Status(Status::Unset)),
    ("ok", Value::Status(Status::Ok)),
    ("error", Value::Status(Status::Error)),
    ("unspecified", Value::Kind(Kind::Unspecified)),
    ("internal", Value::Kind(Kind::Internal)),
    ("server", Value::Kind(Kind::Server)),
    ("client", Value::Kind(Kind::Client)),
    ("producer", Value::Kind(Kind::Producer)),
    ("consumer", Value::Kind(Kind::Consumer)),
];

/// What stands before the dot of an attribute; `None` is nothing.
const SCOPES: [(AttributeScope, &str); 6] = [
    (AttributeScope::Any, ""),
    (AttributeScope::Span, "span"),
    (AttributeScope::Resource, "resource"),
    (AttributeScope::Event, "event"),
    (AttributeScope::Link, "link"),
    (AttributeScope::Instrumentation, "instrumentation"),
];

const AGGREGATES: [(AggregateOp, &str); 5] = [
    (AggregateOp::Count, "count"),
    (AggregateOp::Min, "min"),
    (AggregateOp::Max, "max"),
    (AggregateOp::Avg, "avg"),
    (AggregateOp::Sum, "sum"),
];

const FIELD_OPS: [(FieldOp, &str); 16] = [
    (FieldOp::Add, "+"),
    (FieldOp::Sub, "-"),
    (FieldOp::Mul, "*"),
    (FieldOp::Div, "/"),
    (FieldOp::Mod, "%"),
    (FieldOp::Pow, "^"),
    (FieldOp::Equal, "="),
    (FieldOp::NotEqual, "!="),
    (FieldOp::Less, "<"),
    (FieldOp::LessOrEqual, "<="),
    (FieldOp::Greater, ">"),
    (FieldOp::GreaterOrEqual, ">="),
    (FieldOp::Regex, "=~"),
    (FieldOp::NotRegex, "!~"),
    (FieldOp::And, "&&"),
    (FieldOp::Or, "||"),
];

const RELATIONS: [(Relation, [&str; 3]); 5] = [
    (Relation::Child, [">", "!>", "&>"]),
    (Relation::Parent, ["<", "!<", "&<"]),
    (Relation::Descendant, [">>", "!>>", "&>>"]),
    (Relation::Ancestor, ["<<", "!<<", "&<<"]),
    (Relation::Sibling, ["~", "!~", "&~"]),
];

const RELATION_MODES: [RelationMode; 3] =
    [RelationMode::Plain, RelationMode::Negated, RelationMode::Union];

/// Functions that make series of spans.
pub(crate) const METRICS_FUNCTIONS: [&str; 9] = [
    "rate",
    "count_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "avg_over_time",
    "quantile_over_time",
    "histogram_over_time",
    "compare",
];

/// Stages of a pipeline and what follows series.
pub(crate) const STAGES: [&str; 5] = ["by", "select", "coalesce", "topk", "bottomk"];

impl Intrinsic {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Intrinsic> {
        INTRINSICS.iter().map(|(intrinsic, ..)| *intrinsic)
    }

    /// As it is printed: the older spelling where there are two.
    pub fn spelling(self) -> &'static str {
        let row = INTRINSICS.iter().find(|(intrinsic, ..)| *intrinsic == self);
        row.expect("every intrinsic is in the table").1
    }

    /// By either spelling.
    pub fn parse(spelling: &str) -> Option<Intrinsic> {
        let named = |(_, first, second): &&(Intrinsic, &str, Option<&str>)| {
            *first == spelling || *second == Some(spelling)
        };
        INTRINSICS.iter().find(named).map(|(intrinsic, ..)| *intrinsic)
    }
}

impl AttributeScope {
    /// What stands before the dot; nothing for `.foo`.
    pub fn spelling(self) -> &'static str {
        name_of(&SCOPES, self)
    }

    /// Of what stands before the dot.
    pub fn parse(spelling: &str) -> Option<AttributeScope> {
        named(&SCOPES, spelling)
    }
}

impl AggregateOp {
    pub fn spelling(self) -> &'static str {
        name_of(&AGGREGATES, self)
    }

    pub(crate) fn parse(spelling: &str) -> Option<AggregateOp> {
        named(&AGGREGATES, spelling)
    }
}

impl FieldOp {
    pub fn spelling(self) -> &'static str {
        name_of(&FIELD_OPS, self)
    }

    pub(crate) fn parse(spelling: &str) -> Option<FieldOp> {
        named(&FIELD_OPS, spelling)
    }

    /// `+ - * / % ^`
    pub fn is_arithmetic(self) -> bool {
        matches!(self, Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod | Self::Pow)
    }

    /// `= != < <= > >=`
    pub fn is_comparison(self) -> bool {
        use FieldOp::*;
        matches!(self, Equal | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual)
    }

    /// `=~ !~`
    pub fn is_regex(self) -> bool {
        matches!(self, Self::Regex | Self::NotRegex)
    }
}

impl SpansetOp {
    pub fn spelling(self) -> &'static str {
        match self {
            Self::And => "&&",
            Self::Or => "||",
            Self::Related { relation, mode } => {
                let row = RELATIONS.iter().find(|(of, _)| *of == relation);
                let spellings = row.expect("every relation is in the table").1;
                spellings[mode as usize]
            }
        }
    }

    pub(crate) fn parse(spelling: &str) -> Option<SpansetOp> {
        match spelling {
            "&&" => return Some(Self::And),
            "||" => return Some(Self::Or),
            _ => {}
        }
        RELATIONS.iter().find_map(|(relation, spellings)| {
            let mode = spellings.iter().position(|of| *of == spelling)?;
            Some(Self::Related { relation: *relation, mode: RELATION_MODES[mode] })
        })
    }
}

/// The literal a word stands for: `true`, `nil`, `error`, `server`, `maxInt`.
pub(crate) fn literal(word: &str) -> Option<Value> {
    LITERALS.iter().find(|(name, _)| *name == word).map(|(_, value)| value.clone())
}

/// The word of a status or kind.
pub(crate) fn keyword(value: &Value) -> &'static str {
    LITERALS.iter().find(|(_, of)| of == value).expect("every keyword is in the table").0
}

/// All words that stand for a literal.
pub(crate) fn literal_words() -> impl Iterator<Item = &'static str> {
    LITERALS.iter().map(|(name, _)| *name)
}

/// All spellings of intrinsics.
pub(crate) fn intrinsic_words() -> impl Iterator<Item = &'static str> {
    INTRINSICS.iter().flat_map(|(_, first, second)| [Some(*first), *second]).flatten()
}

pub(crate) fn aggregate_words() -> impl Iterator<Item = &'static str> {
    AGGREGATES.iter().map(|(_, name)| *name)
}

/// All scopes but the empty one.
pub(crate) fn scope_words() -> impl Iterator<Item = &'static str> {
    SCOPES.iter().map(|(_, name)| *name).filter(|name| !name.is_empty())
}

fn name_of<T: Copy + PartialEq>(table: &[(T, &'static str)], of: T) -> &'static str {
    table.iter().find(|(one, _)| *one == of).expect("the table has every variant").1
}

fn named<T: Copy>(table: &[(T, &'static str)], name: &str) -> Option<T> {
    table.iter().find(|(_, of)| *of == name).map(|(one, _)| *one)
}
