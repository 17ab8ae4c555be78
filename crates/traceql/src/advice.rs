//! Guesses at what was meant.
//!
//! In: a word that nobody knows. Out: one that is written nearly so, or nothing.

/// Words that differ in a quarter of their letters are taken for misspelt.
const SIMILARITY_MIN: f64 = 0.7;
/// More of a text is not repeated in an error.
const SHOWN_CHARS: usize = 48;

/// The word of `known` that is nearest to `word`, if one is near.
pub(crate) fn similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > SHOWN_CHARS {
        return None;
    }
    let lower = word.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for candidate in known {
        let similarity = strsim::normalized_damerau_levenshtein(&lower, &candidate.to_lowercase());
        if similarity >= SIMILARITY_MIN && best.is_none_or(|(least, _)| similarity > least) {
            best = Some((similarity, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The start of a text that may be long.
pub(crate) fn cut(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().take(SHOWN_CHARS).map(plain).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
