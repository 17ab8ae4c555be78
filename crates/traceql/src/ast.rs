//! The tree of a query: what a text says, and where in the text each part of it stands.
//!
//! In: calls of the parser. Out: plain data that the printer, the type rules and the planner read.
//! Every node knows its [`Place`]; two trees are equal if they say the same, wherever it stood, so
//! `Place` takes no part in comparisons.

use std::sync::Arc;

/// A range of bytes of the query's text. All places are equal: trees are compared by what they say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    pub start: u32,
    pub end: u32,
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A whole query.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub root: Root,
    /// `with(name = literal, …)`; a later `with` replaces an earlier one.
    pub hints: Vec<Hint>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Root {
    /// Answers with traces.
    Spansets(Pipeline),
    /// Answers with series.
    Metrics(MetricsExpr),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Hint {
    pub name: Arc<str>,
    pub value: Value,
    pub place: Place,
}

/// Stages that follow each other: `stage | stage | …`; at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    pub stages: Vec<Stage>,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    pub kind: StageKind,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StageKind {
    Spanset(SpansetExpr),
    /// `count() > 1`: spansets for which it does not hold go.
    ScalarFilter(ScalarFilter),
    /// `by(expr)`
    GroupBy(FieldExpr),
    Coalesce,
    /// `select(attr, …)`
    Select(Vec<PlacedAttribute>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct SpansetExpr {
    pub kind: SpansetKind,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SpansetKind {
    /// `{ expr }`; `{}` is `{ true }`.
    Filter(FieldExpr),
    Binary {
        op: SpansetOp,
        left: Box<SpansetExpr>,
        right: Box<SpansetExpr>,
    },
    /// `( pipeline )` as an operand.
    Pipeline(Pipeline),
}

/// Operators between spansets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpansetOp {
    And,
    Or,
    /// The right-hand spans that stand in a relation to a left-hand span.
    Related {
        relation: Relation,
        mode: RelationMode,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// `>`
    Child,
    /// `<`
    Parent,
    /// `>>`
    Descendant,
    /// `<<`
    Ancestor,
    /// `~`
    Sibling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelationMode {
    /// `>`
    Plain,
    /// `!>`: those that do not stand in it.
    Negated,
    /// `&>`: spans of both sides.
    Union,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ScalarFilter {
    pub op: FieldOp,
    pub left: ScalarExpr,
    pub right: ScalarExpr,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ScalarExpr {
    pub kind: ScalarKind,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ScalarKind {
    Literal(Value),
    Aggregate(Aggregate),
    Binary {
        op: FieldOp,
        left: Box<ScalarExpr>,
        right: Box<ScalarExpr>,
    },
    /// `( pipeline | count() )`
    Pipeline {
        pipeline: Pipeline,
        aggregate: Aggregate,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub op: AggregateOp,
    /// `None` for `count()` alone.
    pub of: Option<FieldExpr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    Count,
    Min,
    Max,
    Avg,
    Sum,
}

/// An expression that has a value for each span.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldExpr {
    pub kind: FieldKind,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FieldKind {
    Literal(Value),
    Attribute(Attribute),
    Unary { op: UnaryOp, expr: Box<FieldExpr> },
    Binary { op: FieldOp, left: Box<FieldExpr>, right: Box<FieldExpr> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Not,
    Minus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    /// `^`, right associative.
    Pow,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// `=~`: the whole text matches.
    Regex,
    NotRegex,
    And,
    Or,
}

/// A literal.
#[derive(Clone, Debug)]
pub enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    DurationNanos(i64),
    String(Arc<str>),
    Status(Status),
    Kind(Kind),
}

impl PartialEq for Value {
    /// As data: of numbers the bits, so that a tree is equal to itself.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nil, Self::Nil) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Float(one), Self::Float(other)) => one.to_bits() == other.to_bits(),
            (Self::DurationNanos(one), Self::DurationNanos(other)) => one == other,
            (Self::String(one), Self::String(other)) => one == other,
            (Self::Status(one), Self::Status(other)) => one == other,
            (Self::Kind(one), Self::Kind(other)) => one == other,
            _ => false,
        }
    }
}

/// The numbers are OTLP's `StatusCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Unset = 0,
    Ok = 1,
    Error = 2,
}

/// The numbers are OTLP's `SpanKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Unspecified = 0,
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PlacedAttribute {
    pub attribute: Attribute,
    pub place: Place,
}

/// What a span is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    Intrinsic(Intrinsic),
    /// `span.http.method`, `.foo`
    Named {
        scope: AttributeScope,
        name: Arc<str>,
    },
    /// `parent.…`: an attribute of the parent span; `parent.foo` has the scope `Any`.
    Parent {
        scope: AttributeScope,
        name: Arc<str>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeScope {
    /// `.foo`: the span's, else the resource's.
    Any,
    Span,
    Resource,
    Event,
    Link,
    Instrumentation,
}

/// What every span has. Both spellings (`name`, `span:name`) are one intrinsic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Intrinsic {
    TraceDuration,
    TraceRootName,
    TraceRootService,
    TraceId,
    Duration,
    Name,
    Kind,
    Status,
    StatusMessage,
    SpanId,
    ParentId,
    ChildCount,
    NestedSetLeft,
    NestedSetRight,
    NestedSetParent,
    EventName,
    EventTimeSinceStart,
    LinkTraceId,
    LinkSpanId,
    InstrumentationName,
    InstrumentationVersion,
    /// `parent` alone: that there is a parent span.
    Parent,
}

/// A question that answers with series.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsExpr {
    pub kind: MetricsKind,
    /// Applied one after the other; none of a scalar.
    pub second: Vec<SecondStage>,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MetricsKind {
    /// `pipeline | rate() by (…)`
    Pipeline { pipeline: Pipeline, function: MetricsFunction },
    /// `(…) op (…)`, operators `+ - * /`.
    Binary { op: FieldOp, left: Box<MetricsExpr>, right: Box<MetricsExpr> },
    /// A number in arithmetic between series.
    Scalar(Value),
}

#[derive(Clone, Debug, PartialEq)]
pub struct MetricsFunction {
    pub kind: MetricsFunctionKind,
    pub by: Vec<PlacedAttribute>,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MetricsFunctionKind {
    Rate,
    CountOverTime,
    MinOverTime(PlacedAttribute),
    MaxOverTime(PlacedAttribute),
    SumOverTime(PlacedAttribute),
    AvgOverTime(PlacedAttribute),
    QuantileOverTime {
        of: PlacedAttribute,
        quantiles: Vec<f64>,
    },
    HistogramOverTime(PlacedAttribute),
    Compare {
        filter: FieldExpr,
        top_n: Option<i64>,
        start_unix_nanos: Option<i64>,
        end_unix_nanos: Option<i64>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum SecondStage {
    TopK(i64),
    BottomK(i64),
    /// `> 5`: points for which it does not hold go.
    Filter {
        op: FieldOp,
        value: Value,
    },
}
