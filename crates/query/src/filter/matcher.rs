//! A regular expression, compiled, or what is cheaper than one.
//!
//! In: a pattern in Go's syntax, which must match the whole text, newlines included
//! (`tempo.md 2.5`). Out: yes or no for a text. Most patterns that people write are a list of texts
//! or a part of a text: these need no automaton. Of the others a literal that every match must
//! contain is kept, so that whole columns can be searched for it first (`design.md 6`: 48 -> 22 ms
//! a million statements).

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use memchr::memmem::Finder;
use regex::{Regex, RegexBuilder};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use suyuan_traceql::regex::rewrite;

use super::FilterError;

/// Memory of a compiled expression. Lists of texts do not count: they are not compiled.
const REGEX_BYTES_MAX: usize = 4 << 20;
/// Texts that an expression may stand for and still be a list of them.
const TEXTS_MAX: usize = 10_000;
/// Bytes of one of them.
const TEXT_BYTES_MAX: usize = 4_096;

#[derive(Debug)]
pub(super) enum Matcher {
    Everything,
    /// One of a few texts.
    Texts(HashSet<Box<str>, RandomState>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Finder<'static>),
    Regex {
        regex: Box<Regex>,
        /// Is part of every text that matches.
        literal: Option<Finder<'static>>,
    },
}

impl Matcher {
    pub(super) fn compile(pattern: &str) -> Result<Self, FilterError> {
        let invalid = |reason: String| FilterError::Regex { pattern: pattern.into(), reason };
        let rewritten = rewrite(pattern).map_err(|wrong| invalid(wrong.0))?;
        // Alone first: `a)(b` is not valid, and within a group it would be.
        let hir = regex_syntax::ParserBuilder::new()
            .dot_matches_new_line(true)
            .build()
            .parse(&rewritten)
            .map_err(|error| invalid(reason(&error)))?;
        if let Some(simple) = Self::without_regex(&hir) {
            return Ok(simple);
        }
        let regex = RegexBuilder::new(&format!("^(?:{rewritten})$"))
            .dot_matches_new_line(true)
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => {
                    FilterError::RegexTooLarge { pattern: pattern.into() }
                }
                other => invalid(other.to_string()),
            })?;
        let literal = required_literal(&hir).map(|literal| Finder::new(literal).into_owned());
        Ok(Self::Regex { regex: Box::new(regex), literal })
    }

    #[inline]
    pub(super) fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Texts(texts) => texts.contains(text),
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Suffix(suffix) => text.ends_with(&**suffix),
            Self::Contains(part) => part.find(text.as_bytes()).is_some(),
            Self::Regex { regex, .. } => regex.is_match(text),
        }
    }

    /// The texts that match, if they can be listed.
    pub(super) fn texts(&self) -> Option<impl Iterator<Item = &str>> {
        let Self::Texts(texts) = self else { return None };
        Some(texts.iter().map(|text| &**text))
    }

    /// What every text that matches contains, for searches over many texts at once.
    pub(super) fn literal(&self) -> Option<&Finder<'static>> {
        match self {
            Self::Contains(part) => Some(part),
            Self::Regex { literal, .. } => literal.as_ref(),
            _ => None,
        }
    }

    /// Whether [`Self::literal`] in a text is all that it takes.
    pub(super) fn is_literal_enough(&self) -> bool {
        matches!(self, Self::Contains(_))
    }

    fn without_regex(hir: &Hir) -> Option<Self> {
        let mut parts = flat(hir);
        // The whole text has to match anyway.
        if matches!(parts.first().map(|part| part.kind()), Some(HirKind::Look(Look::Start))) {
            parts.remove(0);
        }
        if matches!(parts.last().map(|part| part.kind()), Some(HirKind::Look(Look::End))) {
            parts.pop();
        }
        match &parts[..] {
            [one] if is_anything(one) => return Some(Self::Everything),
            [text, rest] if is_anything(rest) && literal(text).is_some() => {
                return Some(Self::Prefix(literal(text)?.into()));
            }
            [rest, text] if is_anything(rest) && literal(text).is_some() => {
                return Some(Self::Suffix(literal(text)?.into()));
            }
            [before, text, after] if is_anything(before) && is_anything(after) => {
                let part = literal(text)?;
                return Some(Self::Contains(Finder::new(part).into_owned()));
            }
            _ => {}
        }
        let whole = Hir::concat(parts.into_iter().cloned().collect());
        texts(&whole).map(Self::Texts)
    }
}

fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string(),
    }
}

/// What follows each other, groups opened.
fn flat(hir: &Hir) -> Vec<&Hir> {
    match hir.kind() {
        HirKind::Capture(capture) => flat(&capture.sub),
        HirKind::Concat(parts) => parts.iter().flat_map(flat).collect(),
        _ => vec![hir],
    }
}

/// `.*`, lazy or not.
fn is_anything(hir: &Hir) -> bool {
    let HirKind::Repetition(repetition) = hir.kind() else { return false };
    let is_any_char = |class: &Class| match class {
        Class::Unicode(class) => {
            matches!(class.ranges(), [all] if all.start() == '\0' && all.end() == char::MAX)
        }
        Class::Bytes(_) => false,
    };
    let any_char = match flat(&repetition.sub)[..] {
        [one] => matches!(one.kind(), HirKind::Class(class) if is_any_char(class)),
        _ => false,
    };
    any_char && repetition.min == 0 && repetition.max.is_none()
}

fn literal(hir: &Hir) -> Option<&str> {
    let HirKind::Literal(literal) = hir.kind() else { return None };
    std::str::from_utf8(&literal.0).ok()
}

/// Every text that an expression stands for, if they are few.
fn texts(hir: &Hir) -> Option<HashSet<Box<str>, RandomState>> {
    if !hir.properties().look_set().is_empty() {
        return None;
    }
    let sequence = Extractor::new()
        .limit_class(64)
        .limit_repeat(64)
        .limit_literal_len(TEXT_BYTES_MAX)
        .limit_total(TEXTS_MAX)
        .extract(hir);
    if !sequence.is_exact() {
        return None;
    }
    let text = |literal: &regex_syntax::hir::literal::Literal| {
        std::str::from_utf8(literal.as_bytes()).ok().map(Box::from)
    };
    sequence.literals()?.iter().map(text).collect()
}

/// The longest text that is part of every match.
fn required_literal(hir: &Hir) -> Option<&[u8]> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(&literal.0),
        HirKind::Capture(capture) => required_literal(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required_literal(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(required_literal).max_by_key(|l| l.len()),
        _ => None,
    }
}
