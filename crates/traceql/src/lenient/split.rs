//! Cuts a text where `&&`, `||`, parentheses and braces cut it, and keeps the pieces that parse.
//!
//! In: any text. Out: a tree of conditions. Quoted text and comments are stepped over; an end that
//! has not been typed yet is where the text ends. Takes time in proportion to the text's length and
//! to [`DEPTH_MAX`].

use std::collections::HashMap;

use super::{CONDITIONS_MAX, LenientError, Node, TURNS_MAX};
use crate::ast::{FieldExpr, FieldKind, FieldOp, Root, SpansetKind, StageKind};
use crate::print;

/// Parentheses in parentheses; what is deeper is one piece.
const DEPTH_MAX: u32 = 32;

/// The conditions of all spansets before the first `|`.
pub(super) fn tree(
    text: &str,
    conditions: &mut Vec<FieldExpr>,
) -> Result<Option<Node>, LenientError> {
    let mut splitter = Splitter {
        text,
        at: 0,
        n_open: 0,
        in_stages: u32::MAX,
        conditions,
        numbers: HashMap::new(),
    };
    let mut alternatives: Option<Turned> = None;
    while splitter.find_spanset() {
        let Some(spanset) = splitter.joined(0)? else { return Ok(None) };
        alternatives = Some(match alternatives {
            None => spanset,
            Some(before) => before.join(FieldOp::Or, spanset)?,
        });
    }
    Ok(alternatives.map(|all| all.node))
}

/// A node, and how often `&&` and `||` take turns within it.
struct Turned {
    node: Node,
    n_turns: u32,
}

struct Splitter<'a> {
    text: &'a str,
    /// A place between two characters.
    at: usize,
    /// Parentheses around spansets.
    n_open: u32,
    /// Within how many of them later stages follow, which are not looked at; the least such number.
    in_stages: u32,
    conditions: &'a mut Vec<FieldExpr>,
    /// Of each condition, by its canonical text.
    numbers: HashMap<String, u32>,
}

impl Splitter<'_> {
    fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn starts_with(&self, token: &str) -> bool {
        self.rest().starts_with(token.as_bytes())
    }

    /// Steps behind the next opening brace; false: there is none before the pipeline's next stage.
    fn find_spanset(&mut self) -> bool {
        while let Some(byte) = self.rest().first() {
            match byte {
                b'{' if self.n_open < self.in_stages => {
                    self.at += 1;
                    return true;
                }
                b'(' => self.n_open += 1,
                b')' => {
                    self.n_open = self.n_open.saturating_sub(1);
                    if self.n_open < self.in_stages {
                        self.in_stages = u32::MAX;
                    }
                }
                b'|' if self.starts_with("||") => self.at += 1,
                b'|' if self.n_open == 0 => return false,
                b'|' => self.in_stages = self.in_stages.min(self.n_open),
                _ => {}
            }
            self.step();
        }
        false
    }

    /// Operands and what joins them, up to the parenthesis or brace that ends them, that one
    /// included. `&&` and `||` bind alike, from the left.
    fn joined(&mut self, depth: u32) -> Result<Option<Turned>, LenientError> {
        let mut left = self.operand(depth)?;
        loop {
            let op = match self.rest() {
                [b'&', b'&', ..] => FieldOp::And,
                [b'|', b'|', ..] => FieldOp::Or,
                // One that nothing opened.
                [b')', ..] if depth == 0 => {
                    self.at += 1;
                    self.skip_blanks();
                    continue;
                }
                [b')', ..] => {
                    self.at += 1;
                    return Ok(left);
                }
                // Ends all parentheses that are open, so it stays for the outermost.
                [b'}', ..] => {
                    self.at += usize::from(depth == 0);
                    return Ok(left);
                }
                [] => return Ok(left),
                // After a parenthesis that ends a group; what follows joins nothing.
                _ => {
                    self.condition()?;
                    continue;
                }
            };
            self.at += 2;
            let right = self.operand(depth)?;
            left = match op {
                FieldOp::And => and(left, right)?,
                _ => or(left, right)?,
            };
        }
    }

    fn operand(&mut self, depth: u32) -> Result<Option<Turned>, LenientError> {
        self.skip_blanks();
        if !self.starts_with("(") || depth == DEPTH_MAX || !self.is_group() {
            return self.condition();
        }
        self.at += 1;
        let node = self.joined(depth + 1)?;
        self.skip_blanks();
        Ok(node)
    }

    /// Whether the parenthesis here holds a whole operand, not the beginning of one: `(.a + .b) = 3`.
    fn is_group(&mut self) -> bool {
        let start = self.at;
        let mut n_open = 0_u32;
        while let Some(byte) = self.rest().first().copied() {
            self.step();
            match byte {
                b'(' => n_open += 1,
                b')' => n_open -= 1,
                b'}' => break,
                _ => {}
            }
            if n_open == 0 {
                break;
            }
        }
        self.skip_blanks();
        let is_closed = n_open == 0;
        let follows_end = matches!(
            self.rest(),
            [] | [b')', ..] | [b'}', ..] | [b'&', b'&', ..] | [b'|', b'|', ..]
        );
        self.at = start;
        !is_closed || follows_end
    }

    /// Reads up to what ends an operand. `None`: what stands there is no condition.
    fn condition(&mut self) -> Result<Option<Turned>, LenientError> {
        let start = self.at;
        let mut n_open = 0_u32;
        loop {
            match self.rest() {
                [] | [b'}', ..] => break,
                [b'(', ..] => n_open += 1,
                [b')', ..] | [b'&', b'&', ..] | [b'|', b'|', ..] if n_open == 0 => break,
                [b')', ..] => n_open -= 1,
                _ => {}
            }
            self.step();
        }
        let Some(condition) = comparison(&self.text[start..self.at]) else { return Ok(None) };
        let text = print::field_expr(&condition);
        if let Some(number) = self.numbers.get(&text) {
            return Ok(Some(Turned::condition(*number)));
        }
        if self.conditions.len() == CONDITIONS_MAX {
            return Err(LenientError::TooManyConditions);
        }
        let number = self.conditions.len() as u32;
        self.numbers.insert(text, number);
        self.conditions.push(condition);
        Ok(Some(Turned::condition(number)))
    }

    fn skip_blanks(&mut self) {
        while let Some(byte) = self.rest().first() {
            if !byte.is_ascii_whitespace() && !self.is_comment() {
                return;
            }
            self.step();
        }
    }

    /// A name may have slashes in it: a comment does not stand at its end.
    fn is_comment(&self) -> bool {
        let is_apart = |byte: &u8| byte.is_ascii_whitespace() || b"{}()=~!<>&|^,".contains(byte);
        (self.starts_with("//") || self.starts_with("/*"))
            && self.text.as_bytes()[..self.at].last().is_none_or(is_apart)
    }

    /// Goes on by a character, a quoted text or a comment.
    fn step(&mut self) {
        let rest = self.rest();
        let len = match rest.first() {
            None => 0,
            Some(b'"') => quoted_len(rest),
            Some(b'`') => {
                rest[1..].iter().position(|byte| *byte == b'`').map_or(rest.len(), |n| n + 2)
            }
            Some(b'/') if self.is_comment() => comment_len(rest),
            Some(_) => self.text[self.at..].chars().next().map_or(0, char::len_utf8),
        };
        self.at += len;
    }
}

/// The text up to the quote that ends it, both included.
fn quoted_len(text: &[u8]) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            b'"' if !is_escaped => return at + 1,
            b'\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

fn comment_len(text: &[u8]) -> usize {
    if text.starts_with(b"//") {
        return text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    }
    text.windows(2).skip(2).position(|end| end == b"*/").map_or(text.len(), |at| at + 4)
}

/// The comparison that a text says, if it says one that fits the type rules and reads the span.
fn comparison(text: &str) -> Option<FieldExpr> {
    if text.trim().is_empty() {
        return None;
    }
    // A comment would run into the brace.
    let query = crate::parse(&format!("{{ {text}\n}}")).ok()?;
    // What search does not execute, as attributes of parents, no filter does.
    query.span_filter().ok()?;
    let Root::Spansets(mut pipeline) = query.root else { return None };
    let stage = pipeline.stages.pop()?;
    let StageKind::Spanset(spanset) = stage.kind else { return None };
    let SpansetKind::Filter(expr) = spanset.kind else { return None };
    let FieldKind::Binary { op, .. } = &expr.kind else { return None };
    let compares = matches!(
        op,
        FieldOp::Equal
            | FieldOp::NotEqual
            | FieldOp::Less
            | FieldOp::LessOrEqual
            | FieldOp::Greater
            | FieldOp::GreaterOrEqual
            | FieldOp::Regex
            | FieldOp::NotRegex
    );
    (pipeline.stages.is_empty() && compares && reads_attribute(&expr)).then_some(expr)
}

fn reads_attribute(expr: &FieldExpr) -> bool {
    match &expr.kind {
        FieldKind::Literal(_) => false,
        FieldKind::Attribute(_) => true,
        FieldKind::Unary { expr, .. } => reads_attribute(expr),
        FieldKind::Binary { left, right, .. } => reads_attribute(left) || reads_attribute(right),
    }
}

fn and(left: Option<Turned>, right: Option<Turned>) -> Result<Option<Turned>, LenientError> {
    match (left, right) {
        (Some(left), Some(right)) => left.join(FieldOp::And, right).map(Some),
        (one, other) => Ok(one.or(other)),
    }
}

/// What asks for nothing holds always, and so does the whole.
fn or(left: Option<Turned>, right: Option<Turned>) -> Result<Option<Turned>, LenientError> {
    match (left, right) {
        (Some(left), Some(right)) => left.join(FieldOp::Or, right).map(Some),
        _ => Ok(None),
    }
}

impl Turned {
    fn condition(number: u32) -> Self {
        Self { node: Node::Condition(number), n_turns: 0 }
    }

    /// Both; a left side of the same operator is taken apart, so that a chain is one node.
    fn join(self, op: FieldOp, right: Self) -> Result<Self, LenientError> {
        let (mut nodes, n_left_turns) = match (op, self.node) {
            (FieldOp::And, Node::And(nodes)) | (FieldOp::Or, Node::Or(nodes)) => {
                (nodes, self.n_turns - 1)
            }
            (_, node) => (vec![node], self.n_turns),
        };
        let n_turns = 1 + n_left_turns.max(right.n_turns);
        if n_turns > TURNS_MAX {
            return Err(LenientError::TooManyTurns);
        }
        // What is repeated says nothing more, and a text may repeat it thousands of times.
        if !nodes.contains(&right.node) {
            nodes.push(right.node);
        }
        if nodes.len() == 1 {
            return Ok(Self { node: nodes.swap_remove(0), n_turns: n_left_turns });
        }
        let node = if op == FieldOp::And { Node::And(nodes) } else { Node::Or(nodes) };
        Ok(Self { node, n_turns })
    }
}
