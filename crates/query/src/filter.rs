//! Conditions over batches: which rows fulfil a filter.
//!
//! In: the expression of a `{ … }` that passed the type rules. Out: a compiled [`Filter`], cut into
//! [`Condition`]s that all must hold; each says which columns it reads, what can be ruled out
//! before they are read, and which rows of a batch fulfil it. Never here: reading, and traces.
//!
//! What an expression means (`tempo.md` 2.3 to 2.5 and 2.7; all of it in `docs/traceql.md`):
//! - An attribute that is missing is nil. Every comparison with nil is false but `= nil`. A key
//!   without a value (OTLP allows it) is there, and only `!= nil`.
//! - Operands that do not fit at run time make a comparison false, `= nil` too: arithmetic on nil,
//!   text or arrays, `!` of what is no boolean, division of integers by zero.
//! - A side of `&&` and `||` that is missing or no boolean counts as false.
//! - Integers and durations compare exactly, with floats as floats. Arithmetic of two integers
//!   gives an integer and wraps; all other arithmetic gives floats.
//! - An array of texts, integers, floats or booleans holds if one element does, for `!=` and `!~`
//!   if all do. Other arrays, maps and bytes are only `!= nil`.
//! - A key that a span has twice: of one type the first value counts; of several types the one that
//!   stands first in [`ValueType`](suyuan_model::ValueType).
//! - `.foo` is the span's, else the resource's. `resource.service.name` is never missing: it is the
//!   empty text then.
//! - Ids compare without regard to case and leading zeros; regular expressions see all digits, a
//!   root's `span:parentID` is 16 zeros.
//! - A trace without a root has the empty text as `rootName` and `rootServiceName`.
//! - Events and links: there must be one event and one link for which the whole filter holds. For a
//!   span without events (links) every value of them is neither nil nor anything else.

mod explain;
mod expr;
mod kernel;
mod look;
mod matcher;
mod one_of;
mod plan;
mod prune;
mod row;
mod rows;
mod scalar;
mod source;
mod test;
mod texts;
mod traces;

use suyuan_model::{AttributeOwner, Batch, Columns, Field, Resources, Scopes, ValueType};
use suyuan_store::{Between, Probe, Unit, UnitPresence};
use suyuan_traceql::ast::{Attribute, AttributeScope, FieldExpr, FieldKind, Intrinsic};

use self::expr::Expr;
use self::look::{Look, RowsOf, Unknown};
use self::matcher::Room;
use self::plan::{Node, Numbers};

pub use self::rows::RowSet;
pub use self::source::SourceState;
pub use self::traces::{TraceContext, TraceFacts, TraceNeeds};

/// A compiled filter. Immutable: threads share it.
#[derive(Debug)]
pub struct Filter {
    conditions: Vec<Condition>,
    is_never: bool,
    reads: Vec<Attribute>,
}

/// A part of a filter that every row must fulfil.
#[derive(Debug)]
pub struct Condition {
    expr: Expr,
    plan: Node,
    columns: Columns,
    /// Those that can be read of whole traces alone.
    trace_columns: Columns,
    needs: TraceNeeds,
}

/// Why a filter cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("the regular expression `{pattern}` is not valid: {reason}")]
    Regex { pattern: String, reason: String },
    #[error(
        "the regular expression `{pattern}` is too large, or all of the filter together are: use fewer or shorter ones"
    )]
    RegexTooLarge { pattern: String },
}

/// What is known of keys before anything is read.
pub trait KeyPresence {
    fn presence(&self, owner: AttributeOwner, key: &str, value_type: ValueType) -> UnitPresence;
}

impl KeyPresence for Unit {
    fn presence(&self, owner: AttributeOwner, key: &str, value_type: ValueType) -> UnitPresence {
        Unit::presence(self, owner, key, value_type)
    }
}

/// The rows that fulfil a condition, of those that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub yes: RowSet,
    /// Those that may, once more is known of their traces; empty if a [`TraceContext`] was given.
    pub maybe: RowSet,
}

impl Filter {
    pub fn compile(expr: &FieldExpr) -> Result<Self, FilterError> {
        let truth = Expr::truth(expr, &Room::default())?;
        let reads = reads_of(expr);
        let operands = match truth {
            Expr::Constant(value) => {
                let is_never = !value.is(true);
                return Ok(Self { conditions: Vec::new(), is_never, reads });
            }
            Expr::And(operands) => plan::grouped(operands).into_iter().map(Expr::all).collect(),
            single => vec![single],
        };
        let mut numbers = Numbers::default();
        let mut conditions = Vec::with_capacity(operands.len());
        for expr in operands {
            conditions.extend(expr.is_of_roots().then(|| Condition::at_depth_zero(&expr)));
            conditions.push(Condition::new(expr, &mut numbers));
        }
        conditions.sort_by_cached_key(|condition| (condition.needs, condition.plan.cost()));
        Ok(Self { conditions, is_never: false, reads })
    }

    /// What all must hold, the cheapest and most selective first; one may follow from another that
    /// needs more. Whatever reads events is in one condition, whatever reads links too. None: every
    /// row fulfils the filter, unless [`Self::is_never`].
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Whether no row whatsoever fulfils it.
    pub fn is_never(&self) -> bool {
        self.is_never
    }

    /// Columns of all conditions, those that need whole traces included. Without depths: they only
    /// spare looks at traces.
    pub fn columns(&self) -> Columns {
        let needed = self.conditions.iter();
        let needed = needed.filter(|condition| !matches!(condition.plan, Node::AtDepthZero));
        needed.fold(Columns::default(), |all, condition| {
            all.union(&condition.columns).union(&condition.trace_columns)
        })
    }

    /// What has to be known of traces for all conditions.
    pub fn needs(&self) -> TraceNeeds {
        self.conditions.iter().map(Condition::needs).max().unwrap_or(TraceNeeds::Nothing)
    }

    /// What the query reads in the order of its text, each once.
    pub fn reads(&self) -> &[Attribute] {
        &self.reads
    }
}

impl Condition {
    fn new(expr: Expr, numbers: &mut Numbers) -> Self {
        let plan = plan::of_spans(&expr, numbers);
        let (mut columns, mut trace_columns) = (Columns::default(), Columns::default());
        let mut needs = TraceNeeds::Nothing;
        expr.visit_attributes(&mut |attribute| {
            add_columns(attribute, &mut columns);
            if let Attribute::Intrinsic(intrinsic) = attribute {
                needs = needs.max(look::needs(*intrinsic));
                if *intrinsic == Intrinsic::ParentId {
                    trace_columns.add(Field::ParentSpanId);
                }
            }
        });
        if let Some((key, literal)) = expr.required_text() {
            columns.require_text(key, literal);
        }
        Self { expr, plan, columns, trace_columns, needs }
    }

    /// What must hold as well where something of roots is asked: depths are read without traces.
    fn at_depth_zero(of_roots: &Expr) -> Self {
        Self {
            expr: of_roots.clone(),
            plan: Node::AtDepthZero,
            columns: Columns::default().with(Field::Depth),
            trace_columns: Columns::default(),
            needs: TraceNeeds::Nothing,
        }
    }

    /// What [`Self::evaluate`] reads without a [`TraceContext`].
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// What it reads with one: columns that need whole traces are here alone.
    pub fn trace_columns(&self) -> Columns {
        self.columns.clone().union(&self.trace_columns)
    }

    pub fn needs(&self) -> TraceNeeds {
        self.needs
    }

    /// Why no row can fulfil it, if keys alone say so.
    pub fn rules_out(&self, keys: &dyn KeyPresence) -> Option<String> {
        prune::rules_out(&self.expr, keys)
    }

    /// Why no row can fulfil it, if the resources and scopes of an open unit say so.
    pub fn rules_out_sources(
        &self,
        resources: &Resources,
        scopes: &Scopes,
        source: &mut SourceState,
    ) -> Option<String> {
        let possible = self.plan.possible(resources, scopes, source);
        (!possible.pass).then(|| format!("no resource or scope has `{self}`"))
    }

    /// What rows must have exactly: of each list at least one. An empty list never comes.
    pub fn probes(&self, keys: &dyn KeyPresence) -> Vec<Vec<Probe<'_>>> {
        prune::probes(&self.expr, keys)
    }

    /// Bounds between which values of every row that fulfils it lie: all of them hold.
    pub fn bounds(&self, keys: &dyn KeyPresence) -> Vec<Between<'_>> {
        prune::bounds(&self.expr, keys)
    }

    /// Which of `rows` fulfil it. The batch has the columns asked for; without `traces` those of
    /// [`Self::columns`] are enough.
    pub fn evaluate(
        &self,
        rows: &RowSet,
        batch: &Batch,
        source: &mut SourceState,
        traces: Option<&TraceContext<'_>>,
    ) -> Verdict {
        debug_assert_eq!(rows.n_rows(), batch.n_rows);
        let look = Look { batch, traces, of: RowsOf::Spans, unknown: Unknown::NotFulfilled };
        let yes = self.plan.rows(rows, &look, source);
        let mut maybe = RowSet::none(rows.n_rows());
        if self.needs != TraceNeeds::Nothing && traces.is_none() {
            maybe = self.plan.rows(rows, &look.negated(), source);
            maybe.subtract(&yes);
        }
        Verdict { yes, maybe }
    }
}

/// As it would be written in a query.
impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.expr.fmt(f)
    }
}

/// The attributes of an expression in the order of its text, each once.
fn reads_of(expr: &FieldExpr) -> Vec<Attribute> {
    let mut reads = Vec::new();
    // Operands wait here, the leftmost last: a long row of `||` is a deep tree.
    let mut rest = vec![expr];
    while let Some(expr) = rest.pop() {
        match &expr.kind {
            FieldKind::Literal(_) => {}
            FieldKind::Attribute(attribute) if reads.contains(attribute) => {}
            FieldKind::Attribute(attribute) => reads.push(attribute.clone()),
            FieldKind::Unary { expr, .. } => rest.push(expr),
            FieldKind::Binary { left, right, .. } => rest.extend([&**right, &**left]),
        }
    }
    reads
}

/// What has to be read for an attribute of single rows.
fn add_columns(attribute: &Attribute, columns: &mut Columns) {
    match attribute {
        Attribute::Parent { .. } => {}
        Attribute::Named { scope, name } => match scope {
            AttributeScope::Span => columns.add_span_key(name),
            AttributeScope::Resource => columns.add(Field::Resource),
            AttributeScope::Any => {
                columns.add_span_key(name);
                columns.add(Field::Resource);
            }
            AttributeScope::Event => columns.add_event_key(name),
            AttributeScope::Link => columns.add_link_key(name),
            AttributeScope::Instrumentation => columns.add(Field::Scope),
        },
        Attribute::Intrinsic(intrinsic) => match intrinsic {
            Intrinsic::TraceId => columns.add(Field::TraceId),
            Intrinsic::Duration => columns.add(Field::Duration),
            Intrinsic::Name => columns.add(Field::Name),
            Intrinsic::Kind => columns.add(Field::Kind),
            Intrinsic::Status => columns.add(Field::StatusCode),
            Intrinsic::StatusMessage => columns.add(Field::StatusMessage),
            Intrinsic::SpanId => columns.add(Field::SpanId),
            Intrinsic::EventName => columns.add(Field::EventName),
            Intrinsic::EventTimeSinceStart => {
                columns.add(Field::EventTime);
                columns.add(Field::Start);
            }
            Intrinsic::LinkTraceId | Intrinsic::LinkSpanId => columns.add(Field::LinkIds),
            Intrinsic::InstrumentationName | Intrinsic::InstrumentationVersion => {
                columns.add(Field::Scope);
            }
            Intrinsic::TraceDuration
            | Intrinsic::TraceRootName
            | Intrinsic::TraceRootService
            | Intrinsic::ParentId
            | Intrinsic::ChildCount
            | Intrinsic::NestedSetLeft
            | Intrinsic::NestedSetRight
            | Intrinsic::NestedSetParent
            | Intrinsic::Parent => {}
        },
    }
}

#[cfg(test)]
mod tests;
