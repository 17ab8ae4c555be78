//! Half-typed queries: which conditions of them are complete.
//!
//! An editor asks for names and values while its user types, so the text is seldom a query. In: any
//! text. Out: [`Alternatives`]: the comparisons that are complete, and how `&&` and `||` join them,
//! as one expression and as groups (an OR of ANDs). Never an error for what is half-typed: what is
//! not understood asks for nothing, so the answer only gets wider.
//!
//! - A condition is a comparison that stands alone in braces: `{ .a = 1 && .b = }` has one. What is
//!   incomplete, what breaks the type rules, negations and attributes alone ask for nothing.
//! - A side of `||` that asks for nothing takes the other one with it: `{ .a = 1 || .b = }` asks
//!   for nothing.
//! - Several spansets before the first `|` are alternatives, whatever joins them: each span that
//!   takes part in `{ a } >> { b }` fulfils one of them. Later stages only take spansets away.

mod split;

use crate::ast::{Attribute, FieldExpr, FieldKind, FieldOp, Place, Value};

/// Groups of one query.
pub const GROUPS_MAX: usize = 100;
/// Different conditions of one query.
pub const CONDITIONS_MAX: usize = 1_000;
/// Turns between `&&` and `||` within one another: whoever walks a filter needs little stack.
pub const TURNS_MAX: u32 = 32;
/// A chain of one operator that is longer becomes a balanced tree.
const CHAIN_MAX: usize = 8;

/// What a half-typed query asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alternatives {
    /// Each once.
    conditions: Vec<FieldExpr>,
    /// `None`: everything is asked for.
    tree: Option<Node>,
    groups: Vec<Vec<u32>>,
}

/// A condition that compares an attribute with a literal; the attribute is on the left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matcher<'a> {
    pub attribute: &'a Attribute,
    pub op: FieldOp,
    pub value: &'a Value,
}

/// Why a text cannot be used even so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LenientError {
    #[error("the filter has more than {GROUPS_MAX} alternatives: join fewer conditions by `||`")]
    TooManyGroups,
    #[error("the filter has more than {CONDITIONS_MAX} conditions: leave some out")]
    TooManyConditions,
    #[error("the filter changes between `&&` and `||` more than {TURNS_MAX} times: shorten it")]
    TooManyTurns,
}

/// Conditions, by number, and how they are joined.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Condition(u32),
    /// At least two.
    And(Vec<Node>),
    /// At least two.
    Or(Vec<Node>),
}

/// Reads what is complete of a query.
pub fn parse(text: &str) -> Result<Alternatives, LenientError> {
    let mut conditions = Vec::new();
    let tree = split::tree(text, &mut conditions)?;
    let groups = tree.as_ref().map_or(Ok(Vec::new()), groups_of)?;
    Ok(Alternatives { conditions, tree, groups })
}

impl Alternatives {
    /// Whether everything is asked for.
    pub fn is_empty(&self) -> bool {
        self.tree.is_none()
    }

    /// All of it as one expression; `None`: everything is asked for.
    pub fn expr(&self) -> Option<FieldExpr> {
        self.tree.as_ref().map(|tree| self.expr_of(tree))
    }

    /// The conditions of each group: a span that fulfils all of one is asked for.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = Vec<&FieldExpr>> {
        let conditions = |group: &Vec<u32>| {
            group.iter().map(|condition| &self.conditions[*condition as usize]).collect()
        };
        self.groups.iter().map(conditions)
    }

    fn expr_of(&self, node: &Node) -> FieldExpr {
        match node {
            Node::Condition(condition) => self.conditions[*condition as usize].clone(),
            Node::And(nodes) => self.join(FieldOp::And, nodes),
            Node::Or(nodes) => self.join(FieldOp::Or, nodes),
        }
    }

    fn join(&self, op: FieldOp, nodes: &[Node]) -> FieldExpr {
        let exprs = nodes.iter().map(|node| self.expr_of(node)).collect();
        joined(op, exprs).expect("a node joins at least two")
    }
}

/// All conditions of a group as one expression; `None`: there are none.
pub fn conjunction<'a>(group: impl IntoIterator<Item = &'a FieldExpr>) -> Option<FieldExpr> {
    joined(FieldOp::And, group.into_iter().cloned().collect())
}

/// What holds if one of the expressions does; `None`: there are none.
pub fn disjunction(alternatives: impl IntoIterator<Item = FieldExpr>) -> Option<FieldExpr> {
    joined(FieldOp::Or, alternatives.into_iter().collect())
}

/// All of `exprs` in a low tree; `None`: there are none.
fn joined(op: FieldOp, mut exprs: Vec<FieldExpr>) -> Option<FieldExpr> {
    if exprs.len() > CHAIN_MAX {
        let behind = exprs.split_off(exprs.len() / 2);
        return Some(both(op, joined(op, exprs)?, joined(op, behind)?));
    }
    exprs.into_iter().reduce(|left, right| both(op, left, right))
}

fn both(op: FieldOp, left: FieldExpr, right: FieldExpr) -> FieldExpr {
    let place = Place { start: left.place.start, end: right.place.end };
    let kind = FieldKind::Binary { op, left: Box::new(left), right: Box::new(right) };
    FieldExpr { kind, place }
}

impl<'a> Matcher<'a> {
    /// `None`: the condition is another comparison, such as of two attributes.
    pub fn of(condition: &'a FieldExpr) -> Option<Self> {
        let FieldKind::Binary { op, left, right } = &condition.kind else { return None };
        match (&left.kind, &right.kind) {
            (FieldKind::Attribute(attribute), FieldKind::Literal(value)) => {
                Some(Self { attribute, op: *op, value })
            }
            (FieldKind::Literal(value), FieldKind::Attribute(attribute)) => {
                Some(Self { attribute, op: mirrored(*op)?, value })
            }
            _ => None,
        }
    }
}

/// The operator that says the same when its sides are exchanged.
fn mirrored(op: FieldOp) -> Option<FieldOp> {
    Some(match op {
        FieldOp::Equal | FieldOp::NotEqual => op,
        FieldOp::Less => FieldOp::Greater,
        FieldOp::LessOrEqual => FieldOp::GreaterOrEqual,
        FieldOp::Greater => FieldOp::Less,
        FieldOp::GreaterOrEqual => FieldOp::LessOrEqual,
        _ => return None,
    })
}

/// The OR of ANDs of a tree; of groups with the same conditions one.
fn groups_of(node: &Node) -> Result<Vec<Vec<u32>>, LenientError> {
    let mut groups = Vec::new();
    match node {
        Node::Condition(condition) => groups.push(vec![*condition]),
        Node::Or(nodes) => {
            for node in nodes {
                for group in groups_of(node)? {
                    add_group(&mut groups, group)?;
                }
            }
        }
        Node::And(nodes) => {
            groups.push(Vec::new());
            for node in nodes {
                let others = groups_of(node)?;
                let mut products = Vec::new();
                for (group, other) in
                    groups.iter().flat_map(|group| others.iter().map(move |other| (group, other)))
                {
                    let mut product = group.clone();
                    product.extend(other.iter().filter(|condition| !group.contains(condition)));
                    product.sort_unstable();
                    add_group(&mut products, product)?;
                }
                groups = products;
            }
        }
    }
    Ok(groups)
}

fn add_group(groups: &mut Vec<Vec<u32>>, group: Vec<u32>) -> Result<(), LenientError> {
    if groups.contains(&group) {
        return Ok(());
    }
    groups.push(group);
    match groups.len() > GROUPS_MAX {
        true => Err(LenientError::TooManyGroups),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
