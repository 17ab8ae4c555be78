//! `a = x || a = y || …` as one test: a list of a thousand ids is looked up, not walked through.
//!
//! In: operands of an `||`. Out: the same with equalities of one attribute put together, if their
//! values are texts, whole numbers, or ids of spans and traces. It holds for what one of them holds.

use std::sync::Arc;

use suyuan_traceql::ast::{Attribute, AttributeScope, Intrinsic};

use super::expr::Expr;
use super::matcher::Matcher;
use super::scalar::{Comparison, Number, Scalar};

/// Values of which one must be equal; ascending.
#[derive(Clone, Debug)]
pub(super) enum OneOf {
    Numbers(Arc<[i64]>),
    Ids(Arc<[u128]>),
}

impl OneOf {
    /// Whether a value equals one of them; of an array one element must.
    pub(super) fn has(&self, value: &Scalar<'_>) -> bool {
        match (self, value) {
            (_, Scalar::Array(elements)) => elements.iter().any(|element| self.has(element)),
            (Self::Numbers(numbers), value) => match value.number() {
                Some(Number::Whole(number)) => numbers.binary_search(&number).is_ok(),
                Some(Number::Float(float)) => has_float(numbers, float),
                None => false,
            },
            (Self::Ids(ids), Scalar::Id(digits)) => {
                id_number(digits).is_some_and(|id| ids.binary_search(&id).is_ok())
            }
            (Self::Ids(_), _) => false,
        }
    }
}

/// Whether a float equals one of ascending numbers.
pub(super) fn has_float(numbers: &[i64], float: f64) -> bool {
    let place = numbers.partition_point(|number| (*number as f64) < float);
    numbers.get(place).is_some_and(|number| *number as f64 == float)
}

/// The number that a text is, if it can be an id of a span or a trace.
pub(super) fn id_number(text: &str) -> Option<u128> {
    let digits = text.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hexadecimal || digits.len() > 32 {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

/// Attributes and kinds that are put together; the rest of a longer list stays as it is.
const GROUPS_MAX: usize = 64;

/// Equalities of one attribute with values of one kind.
struct Group {
    of: Attribute,
    values: Values,
    /// If it is the only one.
    single: Option<Expr>,
}

enum Values {
    Texts(Vec<Box<str>>),
    Numbers(Vec<i64>),
    Ids(Vec<u128>),
}

/// The same expression; of an `||` equalities are put together.
pub(super) fn merged(expr: Expr) -> Expr {
    let Expr::Or(operands) = expr else { return expr };
    let mut groups: Vec<Group> = Vec::new();
    let mut others: Vec<Expr> = Vec::new();
    for operand in operands {
        let Some((of, values)) = equality(&operand) else {
            others.push(operand);
            continue;
        };
        match groups.iter().position(|group| group.takes(&of, &values)) {
            Some(place) => groups[place].add(values),
            None if groups.len() < GROUPS_MAX => {
                groups.push(Group { of, values, single: Some(operand) });
            }
            None => others.push(operand),
        }
    }
    let mut operands: Vec<Expr> = groups.into_iter().map(Group::into_expr).collect();
    operands.append(&mut others);
    if operands.len() == 1 { operands.remove(0) } else { Expr::Or(operands) }
}

/// What an expression says an attribute must equal, if that is all it says.
fn equality(expr: &Expr) -> Option<(Attribute, Values)> {
    let (of, values) = match expr {
        Expr::OneOf(of, OneOf::Numbers(numbers)) => (of, Values::Numbers(numbers.to_vec())),
        Expr::OneOf(of, OneOf::Ids(ids)) => (of, Values::Ids(ids.to_vec())),
        Expr::Matches { of, matcher, is_negated: false, .. } => {
            let Expr::Attribute(of) = &**of else { return None };
            let texts = is_text(of).then(|| matcher.texts()).flatten()?;
            (of, Values::Texts(texts.map(Box::from).collect()))
        }
        Expr::Compare(Comparison::Equal, of, other) => {
            let (Expr::Attribute(of), Expr::Constant(value)) = (&**of, &**other) else {
                return None;
            };
            let is_id = matches!(of, Attribute::Intrinsic(Intrinsic::TraceId | Intrinsic::SpanId));
            let values = match value {
                Scalar::Text(text) if is_id => Values::Ids(vec![id_number(text)?]),
                Scalar::Text(text) if is_text(of) => Values::Texts(vec![text.as_ref().into()]),
                Scalar::Int(number) | Scalar::Nanos(number) => Values::Numbers(vec![*number]),
                _ => return None,
            };
            (of, values)
        }
        _ => return None,
    };
    Some((of.clone(), values))
}

/// Whether texts are compared as they are: other ids are not.
fn is_text(of: &Attribute) -> bool {
    match of {
        Attribute::Named { scope, .. } => *scope != AttributeScope::Instrumentation,
        Attribute::Intrinsic(intrinsic) => {
            matches!(intrinsic, Intrinsic::Name | Intrinsic::StatusMessage | Intrinsic::EventName)
        }
        Attribute::Parent { .. } => false,
    }
}

impl Group {
    fn takes(&self, of: &Attribute, values: &Values) -> bool {
        let (own, other) = (std::mem::discriminant(&self.values), std::mem::discriminant(values));
        own == other && self.of == *of
    }

    fn add(&mut self, values: Values) {
        self.single = None;
        match (&mut self.values, values) {
            (Values::Texts(texts), Values::Texts(more)) => texts.extend(more),
            (Values::Numbers(numbers), Values::Numbers(more)) => numbers.extend(more),
            (Values::Ids(ids), Values::Ids(more)) => ids.extend(more),
            _ => unreachable!("groups are told apart by their kind"),
        }
    }

    fn into_expr(self) -> Expr {
        if let Some(single) = self.single {
            return single;
        }
        let list = match self.values {
            Values::Texts(texts) => return of_texts(self.of, texts),
            Values::Numbers(mut numbers) => {
                numbers.sort_unstable();
                numbers.dedup();
                OneOf::Numbers(numbers.into())
            }
            Values::Ids(mut ids) => {
                ids.sort_unstable();
                ids.dedup();
                OneOf::Ids(ids.into())
            }
        };
        Expr::OneOf(self.of, list)
    }
}

/// A list of texts is what most regular expressions are.
fn of_texts(of: Attribute, texts: Vec<Box<str>>) -> Expr {
    let of = Box::new(Expr::Attribute(of));
    let escaped: Vec<String> = texts.iter().map(|text| regex_syntax::escape(text)).collect();
    let pattern = escaped.join("|").into();
    let matcher = Arc::new(Matcher::Texts(texts.into_iter().collect()));
    Expr::Matches { of, pattern, matcher, is_negated: false }
}
