//! Expressions that have a value for each span: what stands in braces.
//!
//! In: tokens from `{` on. Out: a tree of attributes, literals and operators. The strengths of all
//! operators stand here.

use super::{Parser, Tall};
use crate::advice;
use crate::ast::{
    AggregateOp, Attribute, FieldExpr, FieldKind, FieldOp, Intrinsic, Place, PlacedAttribute,
    SpansetOp, UnaryOp, Value,
};
use crate::error::ParseError;
use crate::lexer::TokenKind;
use crate::words;

/// How strongly operators bind.
pub(super) const LOGIC: u8 = 1;
pub(super) const COMPARISON: u8 = 2;
pub(super) const SUM: u8 = 3;
/// `!`: what binds more strongly belongs to its operand.
const NOT: u8 = 4;
pub(super) const PRODUCT: u8 = 5;
pub(super) const POWER: u8 = 6;
const MINUS: u8 = 7;

/// A chain of one of `&&` and `||` that is longer becomes a balanced tree: programs ask for
/// thousands of ids at once, and both operators may be grouped at will.
const CHAIN_MAX: usize = 64;

impl Parser<'_> {
    /// `{ expression }`, without the braces.
    pub(super) fn braces(&mut self) -> Result<Tall<FieldExpr>, Box<ParseError>> {
        let start = self.place();
        self.expect("{", "`{`")?;
        if self.eat("}") {
            let kind = FieldKind::Literal(Value::Bool(true));
            let tree = FieldExpr { kind, place: self.place_from(start) };
            return self.above(tree, &[]);
        }
        let filter = self.field(0)?;
        if self.is("}") {
            self.skip();
            return Ok(filter);
        }
        Err(self.unexpected_behind_field("`}`"))
    }

    /// An expression whose operators bind at least so strongly.
    pub(super) fn field(&mut self, power: u8) -> Result<Tall<FieldExpr>, Box<ParseError>> {
        self.deeper(|parser| {
            let mut left = parser.field_operand()?;
            while let Some(op) = parser.field_op().filter(|op| power_of(*op) >= power) {
                left = if matches!(op, FieldOp::And | FieldOp::Or) {
                    parser.field_chain(op, left)?
                } else {
                    parser.skip();
                    // A power's right side may be a power again: `2 ^ 3 ^ 2` is `2 ^ (3 ^ 2)`.
                    let right_power = power_of(op) + u8::from(op != FieldOp::Pow);
                    let right = parser.field(right_power)?;
                    parser.field_binary(op, left, right)?
                };
            }
            Ok(left)
        })
    }

    fn field_op(&self) -> Option<FieldOp> {
        self.symbol().and_then(FieldOp::parse)
    }

    /// `left op right op right …` with one operator of logic.
    fn field_chain(
        &mut self,
        op: FieldOp,
        left: Tall<FieldExpr>,
    ) -> Result<Tall<FieldExpr>, Box<ParseError>> {
        let mut operands = vec![left];
        while self.field_op() == Some(op) {
            self.skip();
            operands.push(self.field(LOGIC + 1)?);
        }
        if operands.len() > CHAIN_MAX {
            return self.balanced(op, operands);
        }
        let mut operands = operands.into_iter();
        let mut tree = operands.next().expect("the left side was put in");
        for operand in operands {
            tree = self.field_binary(op, tree, operand)?;
        }
        Ok(tree)
    }

    fn balanced(
        &self,
        op: FieldOp,
        mut operands: Vec<Tall<FieldExpr>>,
    ) -> Result<Tall<FieldExpr>, Box<ParseError>> {
        if operands.len() == 1 {
            return Ok(operands.pop().expect("there is one"));
        }
        let right = operands.split_off(operands.len() / 2);
        let left = self.balanced(op, operands)?;
        let right = self.balanced(op, right)?;
        self.field_binary(op, left, right)
    }

    fn field_binary(
        &self,
        op: FieldOp,
        left: Tall<FieldExpr>,
        right: Tall<FieldExpr>,
    ) -> Result<Tall<FieldExpr>, Box<ParseError>> {
        let place = Place { start: left.tree.place.start, end: right.tree.place.end };
        let heights = [left.height, right.height];
        let (left, right) = (Box::new(left.tree), Box::new(right.tree));
        let kind = FieldKind::Binary { op, left, right };
        self.above(FieldExpr { kind, place }, &heights)
    }

    fn field_operand(&mut self) -> Result<Tall<FieldExpr>, Box<ParseError>> {
        let start = self.place();
        if let Some(number) = self.number()? {
            return self.leaf(FieldKind::Literal(number), start);
        }
        if self.eat("(") {
            let mut inner = self.field(0)?;
            if !self.eat(")") {
                return Err(self.unexpected_behind_field("`)`"));
            }
            inner.tree.place = self.place_from(start);
            return Ok(inner);
        }
        if self.eat("!") {
            return self.unary(UnaryOp::Not, NOT + 1, start);
        }
        if self.eat("-") {
            return self.unary(UnaryOp::Minus, MINUS, start);
        }
        let kind = match self.kind() {
            TokenKind::String(text) => FieldKind::Literal(Value::String(text.clone())),
            TokenKind::Attribute(attribute) => FieldKind::Attribute(attribute.clone()),
            TokenKind::Word(word) => {
                let intrinsic = |word| {
                    Intrinsic::parse(word).map(Attribute::Intrinsic).map(FieldKind::Attribute)
                };
                let literal = words::literal(word).map(FieldKind::Literal);
                literal.or_else(|| intrinsic(word)).ok_or_else(|| self.unknown_word(word))?
            }
            _ => return Err(self.no_operand()),
        };
        self.skip();
        self.leaf(kind, start)
    }

    fn leaf(&self, kind: FieldKind, start: Place) -> Result<Tall<FieldExpr>, Box<ParseError>> {
        self.above(FieldExpr { kind, place: self.place_from(start) }, &[])
    }

    fn unary(
        &mut self,
        op: UnaryOp,
        power: u8,
        start: Place,
    ) -> Result<Tall<FieldExpr>, Box<ParseError>> {
        let operand = self.field(power)?;
        let place = Place { start: start.start, end: operand.tree.place.end };
        let kind = FieldKind::Unary { op, expr: Box::new(operand.tree) };
        self.above(FieldExpr { kind, place }, &[operand.height])
    }

    /// An attribute or intrinsic.
    pub(super) fn attribute(&mut self, expected: &str) -> Result<PlacedAttribute, Box<ParseError>> {
        let start = self.place();
        let attribute = match self.kind() {
            TokenKind::Attribute(attribute) => attribute.clone(),
            TokenKind::Word(word) => match Intrinsic::parse(word) {
                Some(intrinsic) => Attribute::Intrinsic(intrinsic),
                None => return Err(self.unknown_word(word)),
            },
            _ => return Err(self.unexpected(expected)),
        };
        self.skip();
        Ok(PlacedAttribute { attribute, place: self.place_from(start) })
    }

    fn no_operand(&self) -> Box<ParseError> {
        let expected = "an attribute or a literal";
        match self.symbol() {
            Some("{") => self.unexpected_with(expected, "braces do not stand in braces"),
            _ => self.unexpected(expected),
        }
    }

    /// A word that is neither intrinsic nor literal.
    fn unknown_word(&self, word: &str) -> Box<ParseError> {
        let shown = advice::cut(word);
        let found = format!("unknown name `{shown}`");
        let expected = "an attribute, an intrinsic or a literal";
        let error = ParseError::new(self.text, self.place(), found, expected);
        if let Some(operator) = self.word_for_operator() {
            return error.advise(format!("write `{operator}`"));
        }
        if matches!(word.to_ascii_lowercase().as_str(), "null" | "none" | "undefined") {
            return error.advise("a value that is not there is `nil`");
        }
        if AggregateOp::parse(word).is_some() {
            return error.advise(format!(
                "aggregates are of all spans found, behind the braces: `{{ … }} | {shown}(…) > 1`"
            ));
        }
        let is_value = matches!(
            self.previous(),
            Some(TokenKind::Symbol("=" | "!=" | "=~" | "!~" | "<" | "<=" | ">" | ">="))
        );
        let known = words::intrinsic_words().chain(words::literal_words());
        match advice::similar(word, known) {
            Some(similar) if is_value => {
                error.advise(format!("did you mean `{similar}`, or the text \"{shown}\"?"))
            }
            Some(similar) => error.advise(format!("did you mean `{similar}`?")),
            None if is_value => error.advise(format!("text stands in quotes: \"{shown}\"")),
            None => error.advise(format!(
                "attributes begin with a dot or their scope: `.{shown}`, `span.{shown}`, \
                 `resource.{shown}`"
            )),
        }
    }

    /// What stands behind an expression that is whole.
    pub(super) fn unexpected_behind_field(&self, closing: &str) -> Box<ParseError> {
        let expected = format!("an operator or {closing}");
        let advice = match self.kind() {
            TokenKind::Symbol("|") => {
                "write `||`, or close the braces before the next stage".into()
            }
            TokenKind::Symbol(symbol) if SpansetOp::parse(symbol).is_some() => {
                format!("structure is asked for between braces: `{{ … }} {symbol} {{ … }}`")
            }
            TokenKind::Word(word) if is_unit(word) && self.is_behind_number() => {
                format!("no blank before the unit: `5{word}`")
            }
            TokenKind::Word(word) if word.eq_ignore_ascii_case("is") => {
                "write `= nil` or `!= nil`".into()
            }
            TokenKind::Word(word) if word.eq_ignore_ascii_case("in") => {
                "write `.a = 1 || .a = 2`, or `.a =~ \"one|two\"`".into()
            }
            TokenKind::Attribute(_) => "join conditions by `&&` or `||`".into(),
            TokenKind::String(_) | TokenKind::Int(_) | TokenKind::Float(_) => {
                "is `=` missing?".into()
            }
            _ => return self.unexpected(expected),
        };
        self.unexpected_with(expected, advice)
    }

    fn is_behind_number(&self) -> bool {
        matches!(self.previous(), Some(TokenKind::Int(_) | TokenKind::Float(_)))
    }
}

pub(super) fn power_of(op: FieldOp) -> u8 {
    match op {
        FieldOp::And | FieldOp::Or => LOGIC,
        FieldOp::Add | FieldOp::Sub => SUM,
        FieldOp::Mul | FieldOp::Div | FieldOp::Mod => PRODUCT,
        FieldOp::Pow => POWER,
        _ => COMPARISON,
    }
}

fn is_unit(word: &str) -> bool {
    matches!(word, "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h" | "d" | "w" | "y")
}
