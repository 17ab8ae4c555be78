//! A regular expression, compiled, or what is cheaper than one.
//!
//! In: a pattern in Go's syntax, which must match the whole text, newlines included
//! (`tempo.md 2.5`). Out: yes or no for a text. Most patterns that people write are a list of texts
//! or a part of a text: these need no automaton. Of the others a literal that every match must
//! contain is kept, so that whole columns can be searched for it first (`design.md 6`: 48 -> 22 ms
//! a million statements).

use std::cell::Cell;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use memchr::memmem::Finder;
use regex::{Regex, RegexBuilder};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use suyuan_traceql::regex::rewrite;

use super::FilterError;

/// Memory of the compiled expressions of a filter. Lists of texts do not count: they are not
/// compiled, and take a few times the query's own text at most.
const REGEXES_BYTES_MAX: usize = 32 << 20;
/// What an expression is given, the least that is enough for it.
const REGEX_BYTES: [usize; 3] = [64 << 10, 512 << 10, 4 << 20];
/// What its automaton may grow to while it runs, in each thread, against the expression itself.
const AUTOMATON_TIMES: usize = 4;
const AUTOMATON_BYTES_MAX: usize = 2 << 20;
/// Texts that an expression may stand for and still be a list of them, if it is not as long itself.
const TEXTS_MAX: usize = 64;
/// Bytes of all of them, for each byte of the expression: repetitions make much of little.
const TEXT_BYTES_PER_BYTE: usize = 64;

#[derive(Debug)]
pub(super) enum Matcher {
    /// One of a few texts.
    Texts(HashSet<Box<str>, RandomState>),
    /// Nothing but texts with anything between them.
    Outline(Outline),
    /// What has this outline needs a look at the rest.
    Regex { regex: Box<Regex>, outline: Outline },
}

/// Texts that follow each other, with anything between them.
#[derive(Debug)]
pub(super) struct Outline {
    prefix: Box<str>,
    parts: Vec<Finder<'static>>,
    suffix: Box<str>,
    /// All of them, not empty, for searches.
    literals: Vec<Finder<'static>>,
}

/// The memory that is left for the expressions of a filter.
#[derive(Debug)]
pub(super) struct Room(Cell<usize>);

impl Default for Room {
    fn default() -> Self {
        Self(Cell::new(REGEXES_BYTES_MAX))
    }
}

impl Matcher {
    pub(super) fn compile(pattern: &str, room: &Room) -> Result<Self, FilterError> {
        let invalid = |reason: String| FilterError::Regex { pattern: pattern.into(), reason };
        let rewritten = rewrite(pattern).map_err(|wrong| invalid(wrong.0))?;
        let hir = regex_syntax::ParserBuilder::new()
            .dot_matches_new_line(true)
            .build()
            .parse(&rewritten)
            .map_err(|error| invalid(error.to_string()))?;
        // Put together again without groups, so that texts beside each other become one.
        let parts = without_anchors(flat(&hir));
        let hir = Hir::concat(parts.into_iter().cloned().collect());
        if let Some(texts) = texts(&hir, pattern.len()) {
            return Ok(Self::Texts(texts));
        }
        let (outline, is_all) = Outline::of(&flat(&hir));
        if is_all {
            return Ok(Self::Outline(outline));
        }
        let regex = room.compile(&format!("^(?:{rewritten})$")).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                FilterError::RegexTooLarge { pattern: pattern.into() }
            }
            other => invalid(other.to_string()),
        })?;
        Ok(Self::Regex { regex: Box::new(regex), outline })
    }

    #[inline]
    pub(super) fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Texts(texts) => texts.contains(text),
            Self::Outline(outline) => outline.is_match(text),
            Self::Regex { regex, outline } => outline.is_match(text) && regex.is_match(text),
        }
    }

    /// The texts that match, if they can be listed.
    pub(super) fn texts(&self) -> Option<impl Iterator<Item = &str>> {
        let Self::Texts(texts) = self else { return None };
        Some(texts.iter().map(|text| &**text))
    }

    /// Each is part of every text that matches, for searches over many texts at once.
    pub(super) fn literals(&self) -> &[Finder<'static>] {
        match self {
            Self::Texts(_) => &[],
            Self::Outline(outline) | Self::Regex { outline, .. } => &outline.literals,
        }
    }
}

impl Room {
    /// Takes from what is left what the expression needs.
    fn compile(&self, anchored: &str) -> Result<Regex, regex::Error> {
        let mut result = Err(regex::Error::CompiledTooBig(0));
        for bytes in REGEX_BYTES.into_iter().filter(|bytes| *bytes <= self.0.get()) {
            result = RegexBuilder::new(anchored)
                .dot_matches_new_line(true)
                .size_limit(bytes)
                .dfa_size_limit((bytes * AUTOMATON_TIMES).min(AUTOMATON_BYTES_MAX))
                .build();
            match &result {
                Err(regex::Error::CompiledTooBig(_)) => {}
                Ok(_) => {
                    self.0.set(self.0.get() - bytes);
                    break;
                }
                Err(_) => break,
            }
        }
        result
    }
}

impl Outline {
    /// Of what follows each other, and whether it says everything.
    fn of(hirs: &[&Hir]) -> (Self, bool) {
        let text = |place: usize| hirs.get(place).and_then(|hir| literal(hir));
        let prefix = text(0).unwrap_or_default();
        let from = usize::from(!prefix.is_empty());
        let last = hirs.len().saturating_sub(1);
        let suffix = if last >= from { text(last).unwrap_or_default() } else { "" };
        let to = hirs.len() - usize::from(!suffix.is_empty());
        let middle = &hirs[from..to];
        let texts: Vec<&str> = middle.iter().filter_map(|hir| literal(hir)).collect();
        let is_all = middle.iter().all(|hir| is_anything(hir) || literal(hir).is_some())
            && middle.first().is_some_and(|hir| is_anything(hir))
            && middle.last().is_some_and(|hir| is_anything(hir));
        let literals = [prefix].into_iter().chain(texts.iter().copied()).chain([suffix]);
        let literals = literals.filter(|text| !text.is_empty());
        let outline = Self {
            prefix: prefix.into(),
            parts: texts.iter().map(|text| Finder::new(text).into_owned()).collect(),
            suffix: suffix.into(),
            literals: literals.map(|text| Finder::new(text).into_owned()).collect(),
        };
        (outline, is_all)
    }

    /// Taking each part where it stands first leaves most for the others.
    #[inline]
    fn is_match(&self, text: &str) -> bool {
        let Some(rest) = text.strip_prefix(&*self.prefix) else { return false };
        let Some(rest) = rest.strip_suffix(&*self.suffix) else { return false };
        let mut rest = rest.as_bytes();
        for part in &self.parts {
            let Some(place) = part.find(rest) else { return false };
            rest = &rest[place + part.needle().len()..];
        }
        true
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

/// The whole text has to match anyway.
fn without_anchors(mut parts: Vec<&Hir>) -> Vec<&Hir> {
    let is = |part: Option<&&Hir>, look| {
        part.is_some_and(|part| matches!(part.kind(), HirKind::Look(found) if *found == look))
    };
    while is(parts.first(), Look::Start) {
        parts.remove(0);
    }
    while is(parts.last(), Look::End) {
        parts.pop();
    }
    parts
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
fn texts(hir: &Hir, pattern_bytes: usize) -> Option<HashSet<Box<str>, RandomState>> {
    if !hir.properties().look_set().is_empty() {
        return None;
    }
    let bytes_max = pattern_bytes * TEXT_BYTES_PER_BYTE;
    let sequence = Extractor::new()
        .limit_class(64)
        .limit_repeat(64)
        .limit_literal_len(bytes_max)
        .limit_total(pattern_bytes.max(TEXTS_MAX))
        .extract(hir);
    let literals = sequence.literals().filter(|_| sequence.is_exact())?;
    if literals.iter().map(|literal| literal.len()).sum::<usize>() > bytes_max {
        return None;
    }
    let text = |literal: &regex_syntax::hir::literal::Literal| {
        std::str::from_utf8(literal.as_bytes()).ok().map(Box::from)
    };
    literals.iter().map(text).collect()
}
