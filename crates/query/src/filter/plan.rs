//! The plan of a condition: tests by column where that is possible, rows one by one where not.
//!
//! In: an expression's truth. Out: the rows of a batch for which it holds. Of a span's events one
//! must do for the whole expression: what reads only events is answered event by event and then
//! says it of spans; what mixes them with something else looks at every pair.

use std::borrow::Borrow;

use suyuan_model::{Chunk, Resources, Scopes};
use suyuan_traceql::ast::Attribute;

use super::expr::{Absent, Expr, is_of_event, is_of_link};
use super::kernel::{Positions, select};
use super::look::{Look, RowsOf};
use super::row::Row;
use super::rows::RowSet;
use super::source::SourceState;
use super::test::{Check, Possible, Test};

#[derive(Debug)]
pub(super) enum Node {
    Constant(bool),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Test(Test),
    /// One event for which it holds; the boolean: whether it does for a span without events.
    Event(Box<Node>, bool),
    Link(Box<Node>, bool),
    RowByRow(Expr),
    /// Spans above which there is nothing, as far as the batch says.
    AtDepthZero,
}

/// Numbers tests.
#[derive(Debug, Default)]
pub(super) struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

/// Operands of an `&&` that have to be answered together: those that read the same events or links.
pub(super) fn grouped<T: Borrow<Expr>>(operands: Vec<T>) -> Vec<Vec<T>> {
    let (mut groups, mut events, mut links, mut both) = (Vec::new(), vec![], vec![], vec![]);
    for operand in operands {
        let expr: &Expr = operand.borrow();
        match (expr.reads_events(), expr.reads_links()) {
            (false, false) => groups.push(vec![operand]),
            (true, false) => events.push(operand),
            (false, true) => links.push(operand),
            (true, true) => both.push(operand),
        }
    }
    if !both.is_empty() {
        both.append(&mut events);
        both.append(&mut links);
    }
    groups.extend([events, links, both].into_iter().filter(|group| !group.is_empty()));
    groups
}

/// The plan of an expression that is looked at for spans.
pub(super) fn of_spans(expr: &Expr, numbers: &mut Numbers) -> Node {
    if !expr.reads_events() && !expr.reads_links() {
        return of_rows(expr, numbers);
    }
    match expr {
        Expr::Or(operands) => {
            Node::Or(operands.iter().map(|operand| of_spans(operand, numbers)).collect())
        }
        Expr::And(operands) => {
            let groups = grouped(operands.iter().collect());
            if groups.len() == 1 {
                return of_one_item(expr, numbers);
            }
            let together = groups
                .into_iter()
                .map(|group| of_spans(&Expr::all(group.into_iter().cloned().collect()), numbers));
            Node::And(together.collect())
        }
        _ => of_one_item(expr, numbers),
    }
}

/// The plan of what must hold for one event, one link.
fn of_one_item(expr: &Expr, numbers: &mut Numbers) -> Node {
    let only = |is_it: fn(&Attribute) -> bool| !expr.reads(|attribute| !is_it(attribute));
    if only(is_of_event) {
        return Node::Event(Box::new(of_rows(expr, numbers)), expr.holds(&Absent));
    }
    if only(is_of_link) {
        return Node::Link(Box::new(of_rows(expr, numbers)), expr.holds(&Absent));
    }
    Node::RowByRow(expr.clone())
}

/// The plan of what looks at each row alone, be it a span's, an event's or a link's.
fn of_rows(expr: &Expr, numbers: &mut Numbers) -> Node {
    let mut test = |of: &Expr, check: Check| match of {
        Expr::Attribute(of) => Node::Test(Test { number: numbers.next(), of: of.clone(), check }),
        _ => Node::RowByRow(expr.clone()),
    };
    match expr {
        Expr::Constant(value) => Node::Constant(value.is(true)),
        Expr::Is(of, expected) => test(of, Check::Is(*expected)),
        Expr::IsNil(of, expected) => test(of, Check::IsNil(*expected)),
        Expr::Matches { of, matcher, is_negated, .. } => {
            test(of, Check::Matches { matcher: matcher.clone(), is_negated: *is_negated })
        }
        Expr::Compare(comparison, of, other) => match &**other {
            Expr::Constant(value) => test(of, Check::Compare(*comparison, value.clone())),
            _ => Node::RowByRow(expr.clone()),
        },
        Expr::OneOf(of, list) => {
            let check = Check::OneOf(list.clone());
            Node::Test(Test { number: numbers.next(), of: of.clone(), check })
        }
        Expr::Not(inner) => Node::Not(Box::new(of_rows(inner, numbers))),
        Expr::And(operands) => {
            Node::And(operands.iter().map(|operand| of_rows(operand, numbers)).collect())
        }
        Expr::Or(operands) => {
            Node::Or(operands.iter().map(|operand| of_rows(operand, numbers)).collect())
        }
        _ => Node::RowByRow(expr.clone()),
    }
}

/// Rows that are looked at one by one come last.
const ROW_COST: u32 = 200;

impl Node {
    /// Where it stands among others, see [`Test::cost`].
    pub(super) fn cost(&self) -> u32 {
        match self {
            Self::Constant(_) => 0,
            Self::Not(inner) => inner.cost() + 4,
            Self::And(operands) | Self::Or(operands) => operands.iter().map(Self::cost).sum(),
            Self::Test(test) => test.cost(),
            Self::Event(inner, _) | Self::Link(inner, _) => inner.cost() + 10,
            Self::RowByRow(_) => ROW_COST,
            Self::AtDepthZero => 1,
        }
    }

    /// Whether spans of these resources and scopes can fulfil it, and whether one can fail to.
    pub(super) fn possible(
        &self,
        resources: &Resources,
        scopes: &Scopes,
        source: &mut SourceState,
    ) -> Possible {
        match self {
            Self::Constant(value) => Possible { pass: *value, fail: !value },
            Self::Not(inner) => {
                let inner = inner.possible(resources, scopes, source);
                Possible { pass: inner.fail, fail: inner.pass }
            }
            Self::And(operands) => {
                let mut all = Possible { pass: true, fail: false };
                for operand in operands {
                    let one = operand.possible(resources, scopes, source);
                    all = Possible { pass: all.pass && one.pass, fail: all.fail || one.fail };
                }
                all
            }
            Self::Or(operands) => {
                let mut any = Possible { pass: false, fail: true };
                for operand in operands {
                    let one = operand.possible(resources, scopes, source);
                    any = Possible { pass: any.pass || one.pass, fail: any.fail && one.fail };
                }
                any
            }
            Self::Test(test) => test.possible(resources, scopes, source),
            Self::Event(..) | Self::Link(..) | Self::RowByRow(_) | Self::AtDepthZero => {
                Possible { pass: true, fail: true }
            }
        }
    }

    /// The rows of `within` for which it holds.
    pub(super) fn rows(
        &self,
        within: &RowSet,
        look: &Look<'_>,
        source: &mut SourceState,
    ) -> RowSet {
        match self {
            _ if within.is_empty() => within.clone(),
            Self::Constant(true) => within.clone(),
            Self::Constant(false) => RowSet::none(within.n_rows()),
            Self::Not(inner) => {
                let mut rows = within.clone();
                rows.subtract(&inner.rows(within, &look.negated(), source));
                rows
            }
            Self::And(operands) => {
                let mut rows = within.clone();
                for operand in operands {
                    if rows.is_empty() {
                        break;
                    }
                    rows = operand.rows(&rows, look, source);
                }
                rows
            }
            Self::Or(operands) => {
                let mut rows = RowSet::none(within.n_rows());
                let mut others = within.clone();
                for operand in operands {
                    if others.is_empty() {
                        break;
                    }
                    let more = operand.rows(&others, look, source);
                    others.subtract(&more);
                    rows.unite(&more);
                }
                rows
            }
            Self::Test(test) => test.rows(within, look, source),
            Self::Event(inner, if_none) => {
                let span_rows = look.batch.chunk.events.span_row.values();
                let look = look.of(RowsOf::Events);
                by_items(span_rows, within, *if_none, |asked| inner.rows(asked, &look, source))
            }
            Self::Link(inner, if_none) => {
                let span_rows = look.batch.chunk.links.span_row.values();
                let look = look.of(RowsOf::Links);
                by_items(span_rows, within, *if_none, |asked| inner.rows(asked, &look, source))
            }
            Self::RowByRow(expr) => row_by_row(expr, within, look),
            Self::AtDepthZero => match &look.batch.depth {
                Some(depths) => select(depths, Positions::Dense, within, |depth| depth == 0),
                None => within.clone(),
            },
        }
    }
}

/// Spans by their events or links: those with one that is found, those without any if they do.
fn by_items(
    span_rows: &[u32],
    within: &RowSet,
    if_none: bool,
    find: impl FnOnce(&RowSet) -> RowSet,
) -> RowSet {
    let n_items = span_rows.len() as u32;
    // A chunk that grows has items of rows that are not visible yet.
    let is_any_unseen = span_rows.last().is_some_and(|row| *row >= within.n_rows());
    let asked = match within.count() == within.n_rows() && !is_any_unseen {
        true => RowSet::all(n_items),
        false => {
            let is_asked = |item: &u32| within.contains(span_rows[*item as usize]);
            RowSet::of(n_items, (0..n_items).filter(is_asked))
        }
    };
    let mut rows = RowSet::none(within.n_rows());
    if if_none {
        rows.unite(within);
        rows.subtract(&RowSet::of(within.n_rows(), span_rows.iter().copied()));
    }
    if !asked.is_empty() {
        find(&asked).iter().for_each(|item| rows.insert(span_rows[item as usize]));
    }
    rows
}

fn row_by_row(expr: &Expr, within: &RowSet, look: &Look<'_>) -> RowSet {
    let mut knows_all = true;
    expr.visit_attributes(&mut |attribute| {
        if let Attribute::Intrinsic(intrinsic) = attribute {
            knows_all &= look.knows(*intrinsic);
        }
    });
    if !knows_all {
        return look.unknown(within);
    }
    let (reads_events, reads_links) = (expr.reads_events(), expr.reads_links());
    let mut rows = RowSet::none(within.n_rows());
    let asked = match (look.of, expr.required_span_key()) {
        (RowsOf::Spans, Some(key)) => &having(&look.batch.chunk, key, within),
        _ => within,
    };
    for number in asked.iter() {
        let row = look.row(number);
        let holds = match look.of {
            RowsOf::Spans => holds_for_one(expr, row, reads_events, reads_links),
            RowsOf::Events | RowsOf::Links => expr.holds(&row),
        };
        if holds {
            rows.insert(number);
        }
    }
    rows
}

/// The rows of `within` that have a key.
fn having(chunk: &Chunk, key: &str, within: &RowSet) -> RowSet {
    let mut rows = RowSet::none(within.n_rows());
    for column in chunk.attributes.columns.iter().filter(|column| &*column.key == key) {
        rows.unite(&Positions::of(&column.rows, within.n_rows()).rows(within.n_rows()));
    }
    rows.intersect(within);
    rows
}

/// Whether it holds for one event and one link of the span.
fn holds_for_one(expr: &Expr, row: Row<'_>, reads_events: bool, reads_links: bool) -> bool {
    let chunk: &Chunk = &row.batch.chunk;
    let events = if reads_events { chunk.events_of(row.row) } else { 0..0 };
    let links = if reads_links { chunk.links_of(row.row) } else { 0..0 };
    let each = |range: std::ops::Range<u32>| {
        let none = range.is_empty().then_some(None);
        none.into_iter().chain(range.map(Some))
    };
    each(events)
        .any(|event| each(links.clone()).any(|link| expr.holds(&Row { event, link, ..row })))
}
